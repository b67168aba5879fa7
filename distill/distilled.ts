/** @file A distilled set as a file: safetensors with everything that a stranger's trainer needs. */
import { decodeSafetensors, encodeSafetensors } from "./safetensors.ts";
import { FileError, readBytes, writeAtomic } from "./files.ts";
import type { DistilledSet } from "./match.ts";

/** What the tensors do not say. */
export interface DistilledMeta {
  readonly dataset: string;
  readonly ipc: number;
  readonly network: string;
  readonly width: number;
  /** Per channel: an input is (raw - mean) / std, raw in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export interface DistilledFile extends DistilledSet {
  readonly meta: DistilledMeta;
  /** `[N, C, H, W]`. */
  readonly shape: readonly number[];
}

/** Writes `images` [N, C, H, W], `labels` [N, K] logits and `lr` [1], all F32; metadata as JSON values. */
export function writeDistilled(
  path: string,
  { images, labels, lr }: DistilledSet,
  shape: readonly number[],
  meta: DistilledMeta,
): void {
  const count = shape[0]!;
  const tensors = {
    images: { dtype: "F32", shape: [...shape], data: images },
    labels: { dtype: "F32", shape: [count, labels.length / count], data: labels },
    lr: { dtype: "F32", shape: [1], data: Float32Array.of(lr) },
  } as const;
  const metadata = Object.fromEntries(
    Object.entries(meta).map(([key, value]) => [key, JSON.stringify(value)]),
  );
  writeAtomic(path, encodeSafetensors(tensors, metadata));
}

/**
 * Reads what {@link writeDistilled} wrote.
 * @throws FileError when the file is damaged, or is not a distilled set.
 */
export function readDistilled(path: string): DistilledFile {
  const { tensors, metadata } = decodeSafetensors(readBytes(path), path);
  const floats = (name: string, rank: number) => {
    const tensor = tensors[name];
    if (tensor?.dtype !== "F32" || tensor.shape.length !== rank)
      throw new FileError(
        `${path}: tensor ${name} must be F32 with ${rank} axes, got ${tensor ? `${tensor.dtype} [${tensor.shape.join(", ")}]` : "none"}`,
      );
    return { shape: tensor.shape, data: tensor.data as Float32Array<ArrayBuffer> };
  };
  const images = floats("images", 4);
  const labels = floats("labels", 2);
  const lr = floats("lr", 1).data[0]!;
  if (labels.shape[0] !== images.shape[0])
    throw new FileError(
      `${path}: images and labels must have equally many rows, got ${images.shape[0]} and ${labels.shape[0]}`,
    );
  if (
    !(lr > 0 && Number.isFinite(lr)) ||
    !images.data.every(Number.isFinite) ||
    !labels.data.every(Number.isFinite)
  )
    throw new FileError(`${path}: values must be finite and lr above 0, got others`);
  return {
    images: images.data,
    labels: labels.data,
    lr,
    shape: images.shape,
    meta: readMeta(path, metadata, images.shape[1]!),
  };
}

function readMeta(
  path: string,
  metadata: Readonly<Record<string, string>>,
  channels: number,
): DistilledMeta {
  const value = (key: string): unknown => {
    try {
      return JSON.parse(metadata[key] ?? "null");
    } catch {
      return undefined;
    }
  };
  const text = (key: string): string => {
    const v = value(key);
    if (typeof v !== "string") throw wrong(path, key, "a JSON string", metadata[key]);
    return v;
  };
  const count = (key: string): number => {
    const v = value(key);
    if (typeof v !== "number" || !Number.isInteger(v) || v < 1)
      throw wrong(path, key, "a whole number from 1", metadata[key]);
    return v;
  };
  const list = (key: string): number[] => {
    const v = value(key);
    if (!Array.isArray(v) || v.length !== channels || !v.every((x) => typeof x === "number"))
      throw wrong(path, key, `${channels} numbers`, metadata[key]);
    return v;
  };
  return {
    dataset: text("dataset"),
    ipc: count("ipc"),
    network: text("network"),
    width: count("width"),
    mean: list("mean"),
    std: list("std"),
  };
}

function wrong(path: string, key: string, must: string, got: string | undefined): FileError {
  return new FileError(`${path}: metadata ${key} must be ${must}, got ${got ?? "none"}`);
}
