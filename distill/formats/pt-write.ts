/** @file PyTorch's .pt files, written in its zip format: `torch.load(path, weights_only=True)` reads them. */
import {
  denseStrides,
  elementCount,
  encodeElements,
  isNumericArray,
  type ElementType,
  type NumericArray,
} from "./array.ts";
import { zipPieces, type ZipFile } from "./zip-write.ts";

/** A tensor whose numbers are asked for only when they are written. */
export interface LazyTensor {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  load(): NumericArray;
}

/** What can be written: tensors, alone or in lists and in dicts by name, and plain values. */
export type PtContent =
  | NumericArray
  | LazyTensor
  | readonly PtContent[]
  | ReadonlyMap<string, PtContent>
  | string
  | number
  | boolean
  | null;

const STORAGE_CLASS: Readonly<Partial<Record<ElementType, string>>> = {
  float32: "FloatStorage",
  float64: "DoubleStorage",
  float16: "HalfStorage",
  int64: "LongStorage",
  int32: "IntStorage",
  int16: "ShortStorage",
  int8: "CharStorage",
  uint8: "ByteStorage",
  bool: "BoolStorage",
};

/**
 * The bytes of a .pt file, piece by piece; one tensor at a time is loaded. The same content gives the
 * same bytes. Throws RangeError for a type that older versions of PyTorch can't read (uint16, uint32,
 * uint64) or that is read only (bfloat16).
 */
export function* ptPieces(content: PtContent): Generator<Uint8Array> {
  const tensors: (NumericArray | LazyTensor)[] = [];
  const pickle = encodePickle(content, tensors);
  function* files(): Generator<ZipFile> {
    yield { path: "archive/data.pkl", bytes: pickle };
    yield { path: "archive/byteorder", bytes: Buffer.from("little") };
    for (const [i, tensor] of tensors.entries()) {
      const array = "load" in tensor ? tensor.load() : tensor;
      yield { path: `archive/data/${i}`, bytes: encodeElements(array) };
    }
    yield { path: "archive/version", bytes: Buffer.from("3\n") };
  }
  yield* zipPieces(files());
}

/** The file as one array. */
export function encodePt(content: PtContent): Uint8Array<ArrayBuffer> {
  return Buffer.concat([...ptPieces(content)]);
}

/** A pickle of protocol 2 without a memo; every tensor has a storage of its own, added to `tensors`. */
function encodePickle(content: PtContent, tensors: (NumericArray | LazyTensor)[]): Buffer {
  const parts: Buffer[] = [];
  const raw = (text: string) => void parts.push(Buffer.from(text, "latin1"));
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    const head = Buffer.from("X\0\0\0\0", "latin1");
    head.writeUInt32LE(bytes.length, 1);
    parts.push(head, bytes);
  };
  const tuple = (values: readonly number[]) => {
    raw("(");
    values.forEach(integer);
    raw("t");
  };
  const integer = (value: number) => {
    const narrow = value === (value | 0);
    const head = Buffer.from(narrow ? "J\0\0\0\0" : "\x8a\x08\0\0\0\0\0\0\0\0", "latin1");
    if (narrow) head.writeInt32LE(value, 1);
    else head.writeBigInt64LE(BigInt(value), 2);
    parts.push(head);
  };
  const float = (value: number) => {
    const head = Buffer.from("G\0\0\0\0\0\0\0\0", "latin1");
    head.writeDoubleBE(value, 1);
    parts.push(head);
  };
  const tensor = (value: NumericArray | LazyTensor) => {
    const { dtype, shape } = value;
    const storage = STORAGE_CLASS[dtype];
    if (storage === undefined) {
      throw new RangeError(
        `ptPieces: tensors must be floats, booleans, uint8 or signed integers, got ${dtype}`,
      );
    }
    raw("ctorch._utils\n_rebuild_tensor_v2\n((");
    text("storage");
    raw(`ctorch\n${storage}\n`);
    text(String(tensors.length));
    text("cpu");
    integer(elementCount(shape));
    raw("tQ");
    integer(0);
    tuple(shape);
    tuple(denseStrides(shape));
    // Not asking for gradients; no hooks.
    raw("\x89ccollections\nOrderedDict\n)RtR");
    tensors.push(value);
  };
  const write = (value: PtContent): void => {
    if (value === null) raw("N");
    else if (typeof value === "boolean") raw(value ? "\x88" : "\x89");
    else if (typeof value === "string") text(value);
    else if (typeof value === "number") (Number.isSafeInteger(value) ? integer : float)(value);
    else if (value instanceof Map) {
      raw("}(");
      for (const [key, item] of value as ReadonlyMap<string, PtContent>) {
        text(key);
        write(item);
      }
      raw("u");
    } else if (isNumericArray(value) || "load" in value) tensor(value);
    else {
      raw("](");
      (value as readonly PtContent[]).forEach(write);
      raw("e");
    }
  };
  raw("\x80\x02");
  write(content);
  raw(".");
  return Buffer.concat(parts);
}
