/** @file How numpy's arrays, types and scalars come out of a pickle. */
import {
  decodeElements,
  denseStrides,
  ELEMENT_BYTES,
  elementCount,
  gather,
  isShape,
  numericArray,
  type Elements,
  type ElementType,
  type NumericArray,
} from "./array.ts";
import { parseDescr } from "./npy.ts";
import { Rebuilt, type Construction, type PickleValue } from "./pickle.ts";
import type { Refuse } from "./source.ts";

/** A `numpy.dtype`; its byte order comes with its state. */
class DtypeObject extends Rebuilt {
  readonly dtype: ElementType;
  order: "little" | "big" = "little";

  constructor(dtype: ElementType) {
    super();
    this.dtype = dtype;
  }

  setState(state: PickleValue, refuse: Refuse): void {
    const order: unknown = Array.isArray(state) ? state[1] : undefined;
    if (order !== "<" && order !== ">" && order !== "|" && order !== "=") {
      return refuse("a pickled dtype must have a byte order", "none");
    }
    this.order = order === ">" ? "big" : "little";
  }
}

/** A `numpy.ndarray`, empty until its state comes; then a {@link NumericArray}. */
class ArrayObject extends Rebuilt {
  dtype?: ElementType;
  shape?: readonly number[];
  data?: Elements;

  setState(state: PickleValue, refuse: Refuse): void {
    const fields: readonly PickleValue[] = Array.isArray(state) ? state : [];
    // A version, which the oldest files lack, comes first.
    const [shape, type, fortran, content] = fields.slice(-4);
    Object.assign(this, arrayFrom(content, type, shape, fortran === true, refuse));
  }
}

/** Protocols below 3 know no bytes: Python 3 writes `_codecs.encode(text, "latin1")`. */
const encode: Construction = ([text, encoding], refuse) =>
  typeof text === "string" && (encoding === "latin1" || encoding === "latin-1")
    ? new Uint8Array(Buffer.from(text, "latin1"))
    : refuse("a pickle must encode text as latin1", "else");

const dtype: Construction = ([descr], refuse) => {
  const type = typeof descr === "string" ? parseDescr(descr) : undefined;
  if (type === undefined) {
    const got = typeof descr === "string" ? JSON.stringify(descr.slice(0, 60)) : "else";
    return refuse("numpy elements must be booleans, integers or floats of at most 8 bytes", got);
  }
  return Object.assign(new DtypeObject(type.dtype), { order: type.order });
};

/** `_frombuffer(bytes, dtype, shape, order)` of protocol 5. */
const fromBuffer: Construction = ([content, type, shape, order], refuse) =>
  arrayFrom(content, type, shape, order === "F", refuse);

const scalar: Construction = ([type, content], refuse) =>
  arrayFrom(content, type, [], false, refuse).data[0]!;

/** Names that a pickle of numpy arrays may call; numpy 2 moved its modules to `numpy._core`. */
export const NUMPY: ReadonlyMap<string, Construction> = new Map<string, Construction>([
  ["_codecs.encode", encode],
  ["numpy.dtype", dtype],
  ["numpy.ndarray", null],
  ...["numpy.core", "numpy._core"].flatMap((core): [string, Construction][] => [
    [`${core}.multiarray._reconstruct`, () => new ArrayObject()],
    [`${core}.multiarray.scalar`, scalar],
    [`${core}.numeric._frombuffer`, fromBuffer],
  ]),
]);

function arrayFrom(
  content: PickleValue | undefined,
  type: PickleValue | undefined,
  shape: PickleValue | undefined,
  fortran: boolean,
  refuse: Refuse,
): NumericArray {
  if (!(type instanceof DtypeObject) || !isShape(shape)) {
    return refuse("a pickled array must have a dtype and a shape", "else");
  }
  // Python 2 has its bytes as text.
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  const wanted = elementCount(shape) * ELEMENT_BYTES[type.dtype];
  if (!(bytes instanceof Uint8Array) || bytes.length !== wanted) {
    return refuse(
      `a pickled array of ${type.dtype} [${shape.join(", ")}] must have ${wanted} bytes`,
      bytes instanceof Uint8Array ? bytes.length : "none",
    );
  }
  const data = decodeElements(type.dtype, bytes, type.order, refuse);
  const rowMajor = fortran ? gather<Elements>(data, shape, denseStrides(shape, true), 0) : data;
  return numericArray(type.dtype, shape, rowMajor as never);
}
