/** @file A distilled set as numpy's .npz: the tensors of its safetensors file, and its metadata as JSON. */
import type { FloatTensor } from "../bundle.ts";
import { fromBundle, toBundle, type DistilledFile } from "../distilled.ts";
import { writeAtomic } from "../files.ts";
import { numericArray, type NumericArray } from "../formats/array.ts";
import { decodeNpz, encodeNpz } from "../formats/npy.ts";
import { OpenFile, refusing } from "../formats/source.ts";
import { classArray, floatTensor, logitsOf } from "./labels.ts";

/** The array whose bytes are a JSON object of everything that the others don't say. */
const METADATA = "metadata";

/**
 * Writes `images` [N, C, H, W], `labels` [N, K], `lr` [1] and the rest as float32, and `metadata`,
 * JSON in UTF-8 bytes. With `hard`, labels are class numbers, int64 [N].
 */
export function writeNpz(path: string, file: DistilledFile, { hard = false } = {}): void {
  const { tensors, metadata } = toBundle(file);
  const arrays: Record<string, NumericArray> = {};
  for (const [name, { shape, data }] of Object.entries(tensors))
    arrays[name] = numericArray("float32", shape, data);
  if (hard) arrays["labels"] = classArray(file);
  const values = Object.entries(metadata).map(([key, json]) => `${JSON.stringify(key)}:${json}`);
  const json = new Uint8Array(Buffer.from(`{${values.join(",")}}`));
  arrays[METADATA] = numericArray("uint8", [json.length], json);
  writeAtomic(path, encodeNpz(arrays));
}

/**
 * Reads what {@link writeNpz} wrote.
 * @throws FileError when the file is damaged, or is not a distilled set.
 */
export function readNpz(path: string): DistilledFile {
  using source = new OpenFile(path);
  const arrays = decodeNpz(source, path);
  const metadata = metadataOf(arrays.get(METADATA), path);
  arrays.delete(METADATA);
  const classes: unknown = JSON.parse(metadata["classes"] ?? "null");
  const tensors: Record<string, FloatTensor> = {};
  for (const [name, array] of arrays)
    tensors[name] =
      name === "labels" && array.shape.length === 1 && Array.isArray(classes)
        ? logitsOf(array, classes.length, path)
        : floatTensor(array);
  return fromBundle({ tensors, metadata }, path);
}

/** Strings that are JSON values again, as a safetensors file has them. */
function metadataOf(array: NumericArray | undefined, path: string): Record<string, string> {
  const refuse = refusing(path);
  const must = `array "${METADATA}" must be a JSON object in bytes`;
  if (array?.dtype !== "uint8") return refuse(must, array?.dtype ?? "none");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(array.data));
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null) return refuse(must, "other bytes");
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, JSON.stringify(item)]),
  );
}
