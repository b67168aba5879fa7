/** @file .pt files from before PyTorch 1.6: five pickles one after the other, then the storages. */
import { unpickleFirst, type PickleValue } from "./pickle.ts";
import { storagesFrom, TORCH, type StorageReader } from "./pt-tensor.ts";
import { refusing, type ByteSource } from "./source.ts";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
const MOST_BYTES = 2 ** 31;

/** Reads the whole file at once; otherwise as `readPt`. */
export function readLegacyPt(source: ByteSource): PickleValue {
  const refuse = refusing(source.name);
  if (source.size > MOST_BYTES) {
    refuse(`a .pt file above ${MOST_BYTES} bytes must be in PyTorch's zip format`, "the older one");
  }
  const bytes = source.read(0, source.size);
  if (bytes[0] !== 0x80) return refuse("must be a .pt file", "other content");
  let at = 0;
  const next = (options: Parameters<typeof unpickleFirst>[2]): PickleValue => {
    const { value, length } = unpickleFirst(bytes.subarray(at), source.name, options);
    at += length;
    return value;
  };
  const plain = { allowed: new Map() };
  if (next(plain) !== MAGIC) return refuse("must be a .pt file", "another pickle");
  const version = next(plain);
  if (version !== VERSION) {
    return refuse(`the older .pt format must be of version ${VERSION}`, "another");
  }
  const system = next(plain);
  const little = system instanceof Map ? system.get("little_endian") : undefined;
  if (typeof little !== "boolean") return refuse("a .pt file must tell its byte order", "none");

  const places = new Map<string, { readonly at: number; readonly count: number }>();
  const read: StorageReader = (key, length) => {
    const place = places.get(key);
    // The file counts elements, of which each has 1 to 8 bytes.
    if (place === undefined || place.count > length || length > 8 * place.count) {
      return refuse(`storage ${JSON.stringify(key.slice(0, 40))} must be in the file`, "none");
    }
    return source.read(place.at, length);
  };
  const widths = new Map<string, number>();
  const persistent = storagesFrom(read, little ? "little" : "big");
  const value = next({
    allowed: TORCH,
    persistent: (id, refuse) => {
      const storage = persistent(id, refuse);
      const [, , key, , count] = id as PickleValue[];
      widths.set(key as string, storage.bytes / Math.max(1, count as number));
      return storage;
    },
  });
  const keys = next(plain);
  if (!Array.isArray(keys)) return refuse("a .pt file must list its storages", "none");
  for (const key of keys as PickleValue[]) {
    const width = typeof key === "string" ? widths.get(key) : undefined;
    if (width === undefined)
      return refuse("a .pt file must list the storages of its tensors", "else");
    const count = Number(Buffer.from(source.read(at, 8)).readBigInt64LE(0));
    at += 8;
    if (count < 0 || at + count * width > source.size) {
      refuse(`a storage of ${count} elements must be at byte ${at}`, "a cut file");
    }
    places.set(key as string, { at, count });
    at += count * width;
  }
  return value;
}
