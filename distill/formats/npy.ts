/** @file numpy's files: one array (.npy, versions 1 to 3) or several by name (.npz). */
import {
  decodeElements,
  denseStrides,
  ELEMENT_BYTES,
  elementCount,
  encodeElements,
  gather,
  isShape,
  numericArray,
  type Elements,
  type ElementType,
  type NumericArray,
} from "./array.ts";
import { inMemory, refusing, type ByteSource, type Refuse } from "./source.ts";
import { encodeZip } from "./zip-write.ts";
import { ZipArchive, type ZipOptions } from "./zip.ts";

const MAGIC = Buffer.from("\x93NUMPY", "latin1");
/** Of the text in front of the data; numpy itself writes some hundred bytes at most. */
const MOST_HEADER_BYTES = 1 << 16;

/** numpy's letters and sizes of the types that are read. */
const TYPES: Readonly<Record<string, ElementType>> = {
  b1: "bool",
  u1: "uint8",
  i1: "int8",
  u2: "uint16",
  i2: "int16",
  u4: "uint32",
  i4: "int32",
  u8: "uint64",
  i8: "int64",
  f2: "float16",
  f4: "float32",
  f8: "float64",
};

/** What a numpy type string such as `<f4` says, or undefined when it is none of ours. */
export function parseDescr(
  descr: string,
): { dtype: ElementType; order: "little" | "big" } | undefined {
  const [, order = "", type = ""] = /^([<>|=]?)([a-z]\d+)$/.exec(descr) ?? [];
  const dtype = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  return dtype && { dtype, order: order === ">" ? "big" : "little" };
}

/** Whether the bytes start as a .npy file does. */
export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.equals(bytes.subarray(0, MAGIC.length));
}

/**
 * The array of a .npy file, row-major whatever its order in the file. Throws `FileError` when the
 * file is damaged or cut, or its elements are anything but numbers (objects are never unpickled).
 */
export function decodeNpy(bytes: Uint8Array, source: string): NumericArray {
  const refuse = refusing(source);
  const { dtype, order, fortran, shape, dataStart } = npyLayout(bytes, source);
  const dataBytes = elementCount(shape) * ELEMENT_BYTES[dtype];
  if (bytes.length - dataStart !== dataBytes) {
    refuse(
      `${dtype} [${shape.join(", ")}] must take ${dataBytes} bytes after the header`,
      bytes.length - dataStart,
    );
  }
  const data = decodeElements(dtype, bytes.subarray(dataStart), order, refuse);
  const rowMajor = fortran ? gather<Elements>(data, shape, denseStrides(shape, true), 0) : data;
  return numericArray(dtype, shape, rowMajor as never);
}

/** What the header of a .npy file says: the elements follow from byte `dataStart` on. */
export interface NpyLayout {
  readonly dtype: ElementType;
  readonly order: "little" | "big";
  readonly fortran: boolean;
  readonly shape: readonly number[];
  readonly dataStart: number;
}

/** The header of a .npy file whose first 64 KiB, or all, are `bytes`. Throws as {@link decodeNpy}. */
export function npyLayout(bytes: Uint8Array, source: string): NpyLayout {
  const refuse = refusing(source);
  const { header, dataStart } = readHeader(Buffer.from(bytes), refuse);
  const { descr, fortran, shape } = header;
  const type = parseDescr(descr);
  if (type === undefined) {
    return refuse(
      "elements must be booleans, integers or floats of at most 8 bytes",
      JSON.stringify(descr),
    );
  }
  return { ...type, fortran, shape, dataStart };
}

/** The bytes of a .npy file (version 1, little-endian, row-major). Throws RangeError for bfloat16. */
export function encodeNpy(array: NumericArray): Uint8Array<ArrayBuffer> {
  const { dtype, shape } = array;
  const data = encodeElements(array);
  const type = Object.keys(TYPES).find((key) => TYPES[key] === dtype)!;
  const descr = `${ELEMENT_BYTES[dtype] === 1 ? "|" : "<"}${type}`;
  const axes = shape.length === 1 ? `${shape[0]!},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${axes}), }`;
  // The data start at a multiple of 64 bytes.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const start = Buffer.alloc(10);
  MAGIC.copy(start);
  start[6] = 1;
  start.writeUInt16LE(length, 8);
  return Buffer.concat([start, Buffer.from(`${text.padEnd(length - 1)}\n`), data]);
}

/** The arrays of a .npz file by name. Throws `FileError` as {@link decodeNpy}, and for a damaged archive. */
export function decodeNpz(
  source: ByteSource | Uint8Array,
  name: string,
  options?: ZipOptions,
): Map<string, NumericArray> {
  const archive = new ZipArchive(
    source instanceof Uint8Array ? inMemory(source, name) : source,
    options,
  );
  const arrays = new Map<string, NumericArray>();
  for (const { path } of archive.entries) {
    arrays.set(
      path.replace(/\.npy$/, ""),
      decodeNpy(archive.read(path), `${archive.name}, ${path}`),
    );
  }
  return arrays;
}

/** The bytes of an uncompressed .npz file; the same arrays give the same bytes. */
export function encodeNpz(arrays: Readonly<Record<string, NumericArray>>): Uint8Array<ArrayBuffer> {
  return encodeZip(
    Object.entries(arrays).map(([name, array]) => ({
      path: `${name}.npy`,
      bytes: encodeNpy(array),
    })),
  );
}

interface NpyHeader {
  readonly descr: string;
  readonly fortran: boolean;
  readonly shape: readonly number[];
}

function readHeader(bytes: Buffer, refuse: Refuse): { header: NpyHeader; dataStart: number } {
  if (!isNpy(bytes) || bytes.length < 12) {
    return refuse("must start as a .npy file does", "other bytes");
  }
  const version = bytes[6]!;
  if (version < 1 || version > 3 || bytes[7] !== 0) {
    return refuse(".npy version must be 1.0, 2.0 or 3.0", `${version}.${bytes[7]!}`);
  }
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const most = Math.min(MOST_HEADER_BYTES, bytes.length - start);
  if (length > most) refuse(`the .npy header must have at most ${most} bytes`, length);
  const text = bytes.toString(version === 3 ? "utf8" : "latin1", start, start + length);
  return { header: parseHeader(text, refuse), dataStart: start + length };
}

/** A Python dict literal of exactly the three keys, in any order; nothing else is understood. */
function parseHeader(text: string, refuse: Refuse): NpyHeader {
  const damaged = (got: string) =>
    refuse(
      "the .npy header must be a dict of 'descr', 'fortran_order' and 'shape'",
      JSON.stringify(got.slice(0, 60)),
    );
  const body = /^\{(.*)\}\s*$/s.exec(text)?.[1];
  if (body === undefined) return damaged(text);
  const field = /\s*'(\w+)'\s*:\s*('[^'\\]*'|True|False|\([\dL,\s]*\))\s*(?:,|$)/y;
  const found = new Map<string, string>();
  while (body.slice(field.lastIndex).trim() !== "") {
    const rest = body.slice(field.lastIndex);
    const [, key, value] = field.exec(body) ?? [];
    if (key === undefined || value === undefined || found.has(key)) return damaged(rest);
    found.set(key, value);
  }
  const [descr, fortran, axes] = ["descr", "fortran_order", "shape"].map((key) => found.get(key));
  const shape = parseTuple(axes);
  if (
    found.size !== 3 ||
    descr?.startsWith("'") !== true ||
    (fortran !== "True" && fortran !== "False") ||
    !isShape(shape)
  ) {
    return damaged(text);
  }
  return { descr: descr.slice(1, -1), fortran: fortran === "True", shape };
}

/** `(2, 3)`, `(2,)` or `()`; numbers of Python 2 may end in L. */
function parseTuple(text: string | undefined): number[] | undefined {
  const inside = /^\(\s*(.*?)\s*\)$/s.exec(text ?? "")?.[1];
  if (inside === undefined) return undefined;
  if (inside === "") return [];
  // One axis needs its comma: without it Python reads a number.
  const parts = inside.split(",").map((part) => part.trim());
  if (parts.length === 1) return undefined;
  if (parts.at(-1) === "") parts.pop();
  return parts.map((part) => (/^\d{1,16}L?$/.test(part) ? parseInt(part, 10) : NaN));
}
