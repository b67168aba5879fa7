/** @file Named float32 tensors with JSON metadata: what files of distilled sets and of networks hold. */
import { z } from "zod";

import type { ImageShape } from "./data/dataset.ts";
import type { Preprocessing } from "./data/preprocess.ts";
import { FileError, readBytes, writeAtomic } from "./files.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "./formats/safetensors.ts";

/** Float32 values of a shape, row-major. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** Tensors by name, and metadata whose strings are JSON values. */
export interface Bundle {
  readonly tensors: Readonly<Record<string, FloatTensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A kind of bundle: its name and version, and what its other metadata are. */
export interface BundleForm<T> {
  readonly format: string;
  readonly version: number;
  /** In the order in which they are written. */
  readonly keys: readonly string[];
  readonly schema: z.ZodType<T>;
}

const rule = {
  text: { error: "text" },
  names: { error: "a list of names" },
  count: { error: "a whole number from 1" },
  numbers: { error: "a list of numbers" },
  number: { error: "a number" },
  kind: { error: "normalise or zca" },
};
const numbers = z.array(z.number(rule.numbers), rule.numbers).readonly();

/** What metadata of more than one kind are. */
export const textField = z.string(rule.text);
export const namesField = z.array(z.string(rule.names), rule.names).min(1, rule.names).readonly();
export const countField = z.int(rule.count).min(1, rule.count);

/** What metadata say of a preprocessing: of a whitening, its matrices are tensors. */
export const preprocessingSchema = z.discriminatedUnion(
  "preprocessing",
  [
    z.object({ preprocessing: z.literal("normalise"), mean: numbers, std: numbers }),
    z.object({ preprocessing: z.literal("zca"), eps: z.number(rule.number) }),
  ],
  rule.kind,
);
/** Keys of {@link preprocessingSchema}. */
export const PREPROCESSING_KEYS = ["preprocessing", "mean", "std", "eps"] as const;

/** Metadata of a bundle; what is undefined is left out. */
export function toMetadata(
  { format, version, keys }: BundleForm<unknown>,
  values: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const metadata: Record<string, string> = {
    format: JSON.stringify(format),
    version: JSON.stringify(version),
  };
  for (const key of keys)
    if (values[key] !== undefined) metadata[key] = JSON.stringify(values[key]);
  return metadata;
}

/**
 * What the metadata of a bundle that was read from `path` say.
 * @throws FileError when it is of another format or version, or a value is none that it may have.
 */
export function fromMetadata<T>(
  { format, version, keys, schema }: BundleForm<T>,
  metadata: Readonly<Record<string, string>>,
  path: string,
): T {
  const got = (key: string): string => metadata[key]?.slice(0, 60) ?? "none";
  if (metadata["format"] !== JSON.stringify(format))
    throw new FileError(
      `${path}: metadata format must be ${JSON.stringify(format)}, got ${got("format")}`,
    );
  if (metadata["version"] !== JSON.stringify(version))
    throw new FileError(
      `${path}: must be of format version ${version}, got ${got("version")}; read it with the potstill that wrote it`,
    );
  const values: Record<string, unknown> = {};
  for (const key of keys) {
    const json = metadata[key];
    if (json !== undefined) values[key] = parsedOrUndefined(json);
  }
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  const { path: place, message } = parsed.error.issues[0]!;
  const key = String(place[0]);
  throw new FileError(`${path}: metadata ${key} must be ${message}, got ${got(key)}`);
}

/**
 * The tensor called `name`; letters in `shape` stand for any length.
 * @throws FileError when it is missing, of another shape, or not finite.
 */
export function tensorOf(
  { tensors }: Pick<Bundle, "tensors">,
  path: string,
  name: string,
  shape: readonly (number | string)[],
): FloatTensor {
  const found = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
  const fits =
    found?.shape.length === shape.length &&
    shape.every((axis, i) => typeof axis === "string" || axis === found.shape[i]);
  if (!found || !fits)
    throw new FileError(
      `${path}: tensor ${name} must be F32 [${shape.join(", ")}], got ${found ? `[${found.shape.join(", ")}]` : "none"}`,
    );
  if (!found.data.every(Number.isFinite))
    throw new FileError(`${path}: values of ${name} must be finite, got others`);
  return found;
}

/** A preprocessing as tensors (`zca_mean` [D], `zca_whiten`, `zca_colour` [D, D]) and metadata. */
export function preprocessingParts(preprocessing: Preprocessing): {
  tensors: Record<string, FloatTensor>;
  values: z.infer<typeof preprocessingSchema>;
} {
  if (preprocessing.kind === "normalise") {
    const { kind, mean, std } = preprocessing;
    return { tensors: {}, values: { preprocessing: kind, mean, std } };
  }
  const { kind, mean, whiten, colour, eps } = preprocessing;
  const size = mean.length;
  return {
    tensors: {
      zca_mean: { shape: [size], data: mean },
      zca_whiten: { shape: [size, size], data: whiten },
      zca_colour: { shape: [size, size], data: colour },
    },
    values: { preprocessing: kind, eps },
  };
}

/** The preprocessing of a bundle for images of a shape. Throws `FileError` when it is of others. */
export function preprocessingOf(
  values: z.infer<typeof preprocessingSchema>,
  bundle: Pick<Bundle, "tensors">,
  { channels, height, width }: ImageShape,
  path: string,
): Preprocessing {
  if (values.preprocessing === "normalise") {
    const { mean, std } = values;
    if (mean.length !== channels || std.length !== channels)
      throw new FileError(
        `${path}: mean and std must have one value for each of ${channels} channels, got others`,
      );
    return { kind: "normalise", mean, std };
  }
  const size = channels * height * width;
  return {
    kind: "zca",
    mean: tensorOf(bundle, path, "zca_mean", [size]).data,
    whiten: tensorOf(bundle, path, "zca_whiten", [size, size]).data,
    colour: tensorOf(bundle, path, "zca_colour", [size, size]).data,
    eps: values.eps,
  };
}

/** Writes a bundle as safetensors, all tensors F32. The same bundle gives the same bytes. */
export function writeBundle(path: string, { tensors, metadata }: Bundle): void {
  const stored = Object.entries(tensors).map(([name, tensor]): [string, StoredTensor] => [
    name,
    { dtype: "F32", ...tensor },
  ]);
  writeAtomic(path, encodeSafetensors(Object.fromEntries(stored), metadata));
}

/** The bundle in a safetensors file; tensors of other types are left out. Throws `FileError`. */
export function readBundle(path: string): Bundle {
  const { tensors, metadata } = decodeSafetensors(readBytes(path), path);
  const floats: Record<string, FloatTensor> = {};
  for (const [name, { dtype, shape, data }] of Object.entries(tensors))
    if (dtype === "F32") floats[name] = { shape, data: Float32Array.from(data) };
  return { tensors: floats, metadata };
}

function parsedOrUndefined(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
