/** @file Arrays of numbers as files hold them: element types, byte orders and strides. */
import { fromHalf, toHalf } from "./half.ts";
import type { Refuse } from "./source.ts";

/**
 * What holds the elements of each type. Halves are widened to float32, which is exact; 64-bit
 * integers are float64, and refused where that is not exact.
 */
interface Holders {
  readonly bool: Uint8Array;
  readonly uint8: Uint8Array;
  readonly int8: Int8Array;
  readonly uint16: Uint16Array;
  readonly int16: Int16Array;
  readonly uint32: Uint32Array;
  readonly int32: Int32Array;
  readonly uint64: Float64Array;
  readonly int64: Float64Array;
  readonly float16: Float32Array;
  readonly bfloat16: Float32Array;
  readonly float32: Float32Array;
  readonly float64: Float64Array;
}

/** Type of an element, as numpy and PyTorch call it. */
export type ElementType = keyof Holders;
export type Elements = Holders[ElementType];

/** Row-major elements with their shape; `[]` is a single number. */
export type NumericArray = {
  readonly [D in ElementType]: {
    readonly dtype: D;
    readonly shape: readonly number[];
    readonly data: Holders[D];
  };
}[ElementType];

export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = {
  bool: 1,
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  uint64: 8,
  int64: 8,
  float16: 2,
  bfloat16: 2,
  float32: 4,
  float64: 8,
};

/** An array of these parts. Throws RangeError when data and shape disagree. */
export function numericArray<D extends ElementType>(
  dtype: D,
  shape: readonly number[],
  data: Holders[D],
): NumericArray {
  if (data.length !== elementCount(shape)) {
    throw new RangeError(
      `numericArray: data must hold ${elementCount(shape)} elements for shape [${shape.join(", ")}], got ${data.length}`,
    );
  }
  return { dtype, shape, data } as NumericArray;
}

/** Whether a value that a reader returned is an array. */
export function isNumericArray(value: unknown): value is NumericArray {
  return (
    typeof value === "object" && value !== null && "data" in value && ArrayBuffer.isView(value.data)
  );
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, axis) => product * axis, 1);
}

/** Whether `value` is a list of whole numbers from 0 whose product can be counted. */
export function isShape(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length <= 64 &&
    value.every((axis) => Number.isSafeInteger(axis) && axis >= 0) &&
    Number.isSafeInteger(elementCount(value as number[]))
  );
}

/** Elements from their bytes in a file, a copy. `refuse` is told of integers beyond ±(2⁵³ - 1). */
export function decodeElements<D extends ElementType>(
  dtype: D,
  bytes: Uint8Array,
  order: "little" | "big",
  refuse: Refuse,
): Holders[D] {
  const copy = new Uint8Array(bytes);
  if (order === "big") swapBytes(copy, ELEMENT_BYTES[dtype]);
  return widened(dtype, copy.buffer, refuse) as Holders[D];
}

function widened(dtype: ElementType, buffer: ArrayBuffer, refuse: Refuse): Elements {
  switch (dtype) {
    case "bool":
      return new Uint8Array(buffer).map((byte) => (byte === 0 ? 0 : 1));
    case "uint8":
      return new Uint8Array(buffer);
    case "int8":
      return new Int8Array(buffer);
    case "uint16":
      return new Uint16Array(buffer);
    case "int16":
      return new Int16Array(buffer);
    case "uint32":
      return new Uint32Array(buffer);
    case "int32":
      return new Int32Array(buffer);
    case "uint64":
      return Float64Array.from(new BigUint64Array(buffer), (value) => exact(value, refuse));
    case "int64":
      return Float64Array.from(new BigInt64Array(buffer), (value) => exact(value, refuse));
    case "float16":
      return Float32Array.from(new Uint16Array(buffer), fromHalf);
    case "bfloat16":
      return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (b) => b << 16).buffer);
    case "float32":
      return new Float32Array(buffer);
    case "float64":
      return new Float64Array(buffer);
  }
}

function exact(value: bigint, refuse: Refuse): number {
  const number = Number(value);
  return Number.isSafeInteger(number)
    ? number
    : refuse("64-bit integers must lie within ±(2^53 - 1)", value);
}

/**
 * The bytes of an array in a file, little-endian; float16 rounds to the nearest, ties to even. Throws
 * RangeError for what its type can't hold, and for bfloat16, which is read only.
 */
export function encodeElements({ dtype, data }: NumericArray): Uint8Array<ArrayBuffer> {
  switch (dtype) {
    case "bfloat16":
      throw new RangeError("encodeElements: floats must be float16, 32 or 64, got bfloat16");
    case "float16":
      return new Uint8Array(Uint16Array.from(data, toHalf).buffer);
    case "int64":
      return new Uint8Array(BigInt64Array.from(data, (value) => BigInt(value)).buffer);
    case "uint64":
      return new Uint8Array(BigUint64Array.from(data, (value) => BigInt(value)).buffer);
    case "bool":
    case "uint8":
    case "int8":
    case "uint16":
    case "int16":
    case "uint32":
    case "int32":
    case "float32":
    case "float64":
      return new Uint8Array(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
}

/** Strides in elements of row-major (C) or column-major (Fortran) order. */
export function denseStrides(shape: readonly number[], fortran = false): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  const axes = [...shape.keys()];
  let stride = 1;
  for (const axis of fortran ? axes : axes.reverse()) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** The last element that a view touches, or -1 when it has none. Strides must not be negative. */
export function lastElement(
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): number {
  if (shape.includes(0)) return -1;
  return shape.reduce((last, axis, i) => last + (axis - 1) * strides[i]!, offset);
}

/** The elements of a view that lies within `data`, row-major, in an array of their own. */
export function gather<A extends Elements>(
  data: A,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): A {
  const count = elementCount(shape);
  const dense = denseStrides(shape);
  if (shape.every((axis, i) => axis <= 1 || strides[i] === dense[i])) {
    return data.slice(offset, offset + count) as A;
  }
  const out = data.slice(0, 0).constructor as new (length: number) => A;
  const result = new out(count);
  const at = new Array<number>(shape.length).fill(0);
  let from = offset;
  for (let to = 0; to < count; to++) {
    result[to] = data[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++at[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      at[axis] = 0;
    }
  }
  return result;
}

function swapBytes(bytes: Uint8Array<ArrayBuffer>, width: number): void {
  const buffer = Buffer.from(bytes.buffer);
  if (width === 2) buffer.swap16();
  if (width === 4) buffer.swap32();
  if (width === 8) buffer.swap64();
}
