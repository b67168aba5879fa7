/** @file Safetensors files: encoded to deterministic bytes, decoded with every claim checked. */
import { FileError } from "../files.ts";
import { fromHalf, toHalf } from "./half.ts";

/**
 * A tensor as a file holds it, row-major. F16 and BF16 are two bytes each in the file and widened to
 * float32 here, which is exact.
 */
export type StoredTensor =
  | Stored<FloatDtype, Float32Array>
  | Stored<"I32", Int32Array>
  | Stored<"I64", BigInt64Array>
  | Stored<"U8", Uint8Array>;

interface Stored<D, A> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: A;
}

export type FloatDtype = "F32" | "F16" | "BF16";
export type Dtype = StoredTensor["dtype"];

/** Where a tensor lies: bytes `begin` to `end` of the file. */
export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly tensors: Readonly<Record<string, TensorEntry>>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Safetensors {
  readonly tensors: Readonly<Record<string, StoredTensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

const ELEMENT_BYTES: Readonly<Record<Dtype, number>> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  I32: 4,
  I64: 8,
  U8: 1,
};
/** The limit of the reference implementation. */
const MOST_HEADER_BYTES = 100_000_000;
const METADATA = "__metadata__";

/**
 * The bytes of a file that holds `tensors` in insertion order (wider elements first, so that every
 * tensor is aligned for other readers) and the strings of `metadata`. The same input gives the same
 * bytes. F16 rounds to the nearest, ties to even; BF16 is read only. Throws RangeError when data and
 * shape disagree.
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, StoredTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const parts = Object.entries(tensors).map(([name, tensor]) => storedBytes(name, tensor));
  const header = encodeHeader(tensors, metadata);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, header.length));
  bytes.set(header);
  let at = header.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * The bytes in front of the data of a file that holds `tensors`, for one that is written piece by
 * piece: their data follow in the same order. Throws RangeError when one would not be aligned.
 */
export function encodeHeader(
  tensors: Readonly<Record<string, Pick<StoredTensor, "dtype" | "shape">>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"${METADATA}":${JSON.stringify(metadata)}`);
  let length = 0;
  for (const [name, { dtype, shape }] of Object.entries(tensors)) {
    if (length % ELEMENT_BYTES[dtype] !== 0) {
      throw new RangeError(
        `encodeSafetensors: tensors of wider elements must come first, got ${quoted(name)} of ${dtype} at byte ${length}`,
      );
    }
    const end = length + shape.reduce((product, axis) => product * axis, ELEMENT_BYTES[dtype]);
    const entry = { dtype, shape, data_offsets: [length, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    length = end;
  }
  const json = Buffer.from(`{${fields.join(",")}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.fill(0x20, 8);
  bytes.set(json, 8);
  return bytes;
}

/**
 * The tensors and metadata of a file's `bytes`; `source` names it in errors. Throws `FileError` when
 * anything in it is not as the format says.
 */
export function decodeSafetensors(bytes: Uint8Array, source: string): Safetensors {
  const read = (at: number, length: number) => bytes.subarray(at, at + length);
  const { tensors, metadata } = decodeHeader(read, bytes.length, source);
  const decoded = emptyRecord<StoredTensor>();
  for (const [name, entry] of Object.entries(tensors)) {
    decoded[name] = decodeTensor(entry, bytes.subarray(entry.begin, entry.end));
  }
  return { tensors: decoded, metadata };
}

/**
 * The header of a file of `fileBytes` bytes of which `read` returns any part, so that a large file
 * need not be loaded. Tensors must fill the rest of the file without gap or overlap. Throws
 * `FileError`; nothing is read or allocated that the file has not room for.
 */
export function decodeHeader(
  read: (at: number, length: number) => Uint8Array,
  fileBytes: number,
  source: string,
): SafetensorsHeader {
  const fail: Fail = (must, got) => {
    throw new FileError(`${source}: ${must}, got ${got}`);
  };
  if (fileBytes < 10) fail("a safetensors file must have at least 10 bytes", fileBytes);
  const first = read(0, 8);
  const claimed = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  const most = Math.min(fileBytes - 8, MOST_HEADER_BYTES);
  if (claimed > BigInt(most)) fail(`the header must have at most ${most} bytes`, claimed);
  const dataStart = 8 + Number(claimed);
  const json = parseJson(read(8, Number(claimed)), fail);
  if (!isRecord(json)) return fail("the header must be a JSON object", quoted(json));

  const tensors = emptyRecord<TensorEntry>();
  const metadata = emptyRecord<string>();
  for (const [name, value] of Object.entries(json)) {
    if (name === METADATA) {
      if (!isRecord(value)) return fail(`${METADATA} must be an object`, quoted(value));
      for (const [key, text] of Object.entries(value)) {
        if (typeof text !== "string") {
          return fail(`${METADATA} ${quoted(key)} must be a string`, quoted(text));
        }
        metadata[key] = text;
      }
    } else {
      const entry = checkedEntry(name, value, fail);
      tensors[name] = { ...entry, begin: entry.begin + dataStart, end: entry.end + dataStart };
    }
  }
  checkNoGaps(tensors, dataStart, fileBytes, fail);
  return { tensors, metadata };
}

/** Floating-point values from their `bytes` in a file, widened to float32; a copy. */
export function decodeFloats(dtype: FloatDtype, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return Float32Array.from(new Uint16Array(buffer), fromHalf);
    case "BF16":
      return new Float32Array(
        Uint32Array.from(new Uint16Array(buffer), (half) => half << 16).buffer,
      );
  }
}

function decodeTensor({ dtype, shape }: TensorEntry, bytes: Uint8Array): StoredTensor {
  switch (dtype) {
    case "F32":
    case "F16":
    case "BF16":
      return { dtype, shape, data: decodeFloats(dtype, bytes) };
    case "I32":
      return { dtype, shape, data: new Int32Array(new Uint8Array(bytes).buffer) };
    case "I64":
      return { dtype, shape, data: new BigInt64Array(new Uint8Array(bytes).buffer) };
    case "U8":
      return { dtype, shape, data: new Uint8Array(bytes) };
  }
}

type Fail = (must: string, got: string | number | bigint) => never;

function parseJson(bytes: Uint8Array, fail: Fail): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    const start = Buffer.from(bytes.subarray(0, 40)).toString("latin1");
    return fail("the header must be JSON in UTF-8", JSON.stringify(start));
  }
}

/** One tensor of the header, its offsets counted from the start of the data as in the file. */
function checkedEntry(name: string, value: unknown, fail: Fail): TensorEntry {
  const what = `tensor ${quoted(name)}`;
  if (!isRecord(value)) return fail(`${what} must be an object`, quoted(value));
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) {
    const known = Object.keys(ELEMENT_BYTES).join(", ");
    return fail(`dtype of ${what} must be one of ${known}`, quoted(dtype));
  }
  if (!isCounts(shape)) {
    return fail(`shape of ${what} must be whole numbers from 0`, quoted(shape));
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    return fail(`data_offsets of ${what} must be two whole numbers from 0`, quoted(offsets));
  }
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((product, axis) => product * axis, ELEMENT_BYTES[dtype]);
  if (end - begin !== bytes) {
    return fail(
      `${what} of ${dtype} ${quoted(shape)} must take ${bytes} bytes`,
      `${end - begin} bytes`,
    );
  }
  return { dtype, shape, begin, end };
}

function checkNoGaps(
  tensors: Readonly<Record<string, TensorEntry>>,
  dataStart: number,
  fileBytes: number,
  fail: Fail,
): void {
  const entries = Object.entries(tensors);
  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = dataStart;
  for (const [name, { begin, end }] of entries) {
    if (begin !== at) {
      const kind = begin < at ? "an overlap" : "a gap";
      fail(
        `tensor ${quoted(name)} must start where the one before it ends, at byte ${at}`,
        `${kind} (${begin})`,
      );
    }
    at = end;
  }
  if (at !== fileBytes) fail(`the file must have ${at} bytes as its header says`, fileBytes);
}

function storedBytes(name: string, tensor: StoredTensor): Uint8Array {
  const { dtype, shape, data } = tensor;
  const elements = shape.reduce((product, axis) => product * axis, 1);
  if (name === METADATA) {
    throw new RangeError(`encodeSafetensors: a tensor must have another name, got ${name}`);
  }
  if (!isCounts(shape) || data.length !== elements) {
    throw new RangeError(
      `encodeSafetensors: ${quoted(name)} must hold ${elements} elements of shape ${quoted(shape)}, got ${data.length}`,
    );
  }
  if (dtype === "BF16") {
    throw new RangeError(`encodeSafetensors: ${quoted(name)} must be F32 or F16, got BF16`);
  }
  const stored = dtype === "F16" ? Uint16Array.from(data, toHalf) : data;
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}

/** Without a prototype, so that a tensor may have any name. */
function emptyRecord<V>(): Record<string, V> {
  return Object.create(null) as Record<string, V>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(ELEMENT_BYTES, value);
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** `value` as JSON where that is short; never the whole of a large or deep one. */
function quoted(value: unknown): string {
  if (Array.isArray(value)) {
    const short = value.length <= 8 && value.every((v) => typeof v !== "object" || v === null);
    return short ? `[${value.map(quoted).join(", ")}]` : `a list of ${value.length}`;
  }
  if (typeof value === "object" && value !== null) return "an object";
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
