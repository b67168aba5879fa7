/** @file Snapshots: how a synthetic set looked at a few iterations of its making, for people to look at. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { ImageShape } from "../data/dataset.ts";
import { FileError, fileError, openRunFolder, readBytes, writeAtomic } from "../files.ts";
import { decodeSafetensors, encodeSafetensors } from "../formats/safetensors.ts";

/** N images, the first few of each class, class by class, as they look and what their labels say. */
export interface Snapshot extends ImageShape {
  /** Images a class of the whole set. */
  readonly ipc: number;
  /** Iterations before it; 0 is the start. */
  readonly iteration: number;
  /** Names of the K classes. */
  readonly classes: readonly string[];
  /** `[N, C, H, W]`, raw pixels. */
  readonly images: Uint8Array;
  /** `[N, K]` logits. */
  readonly labels: Float32Array;
}

/** Where a snapshot is. */
export interface SnapshotFile {
  readonly ipc: number;
  readonly iteration: number;
  readonly name: string;
  readonly file: string;
}

/** Snapshots of one run, besides that of its start. */
const COUNT = 20;
/** A snapshot of a large set holds only as many images of each class as fit into so many bytes, but one. */
const MOST_BYTES = 4 * 2 ** 20;

/** Whether there is a snapshot after an iteration of so many in all. */
export const isSnapshotIteration = (iteration: number, iterations: number): boolean =>
  iteration === iterations || iteration % Math.ceil(iterations / COUNT) === 0;

/** Images of each class that a snapshot holds of a set of `ipc`. */
export function shownPerClass(ipc: number, shape: ImageShape, classes: number): number {
  const column = classes * (shape.channels * shape.height * shape.width + 4 * classes);
  return Math.max(1, Math.min(ipc, Math.floor(MOST_BYTES / column)));
}

export const snapshotFolder = (run: string): string => join(run, "snapshots");

/** Writes a snapshot into a run's folder. Throws `FileError`. */
export function writeSnapshot(run: string, snapshot: Snapshot): void {
  const { ipc, iteration, classes, images, labels, channels, height, width } = snapshot;
  const count = labels.length / classes.length;
  const folder = openRunFolder(snapshotFolder(run));
  const name = `ipc${ipc}-${String(iteration).padStart(6, "0")}.safetensors`;
  const bytes = encodeSafetensors(
    {
      labels: { dtype: "F32", shape: [count, classes.length], data: labels },
      images: { dtype: "U8", shape: [count, channels, height, width], data: images },
    },
    {
      ipc: JSON.stringify(ipc),
      iteration: JSON.stringify(iteration),
      classes: JSON.stringify(classes),
    },
  );
  writeAtomic(join(folder, name), bytes);
}

/** Reads what {@link writeSnapshot} wrote. Throws `FileError` when it is damaged or something else. */
export function readSnapshot(path: string): Snapshot {
  const { tensors, metadata } = decodeSafetensors(readBytes(path), path);
  const { images, labels } = tensors;
  if (images?.dtype !== "U8" || labels?.dtype !== "F32")
    throw new FileError(
      `${path}: a snapshot must hold images of U8 and labels of F32, got ${Object.keys(tensors).join(", ")}`,
    );
  const value = (key: string): unknown => {
    try {
      return JSON.parse(metadata[key] ?? "null");
    } catch {
      return undefined;
    }
  };
  const [ipc, iteration, classes] = [value("ipc"), value("iteration"), value("classes")];
  const [count, channels, height, width] = images.shape;
  const [rows, columns] = labels.shape;
  if (
    typeof ipc !== "number" ||
    typeof iteration !== "number" ||
    !Array.isArray(classes) ||
    !classes.every((name) => typeof name === "string") ||
    images.shape.length !== 4 ||
    labels.shape.length !== 2 ||
    rows !== count ||
    columns !== classes.length ||
    count! % columns !== 0
  )
    throw new FileError(
      `${path}: a snapshot must tell ipc, iteration and classes and have as many images of each class, got others`,
    );
  return {
    ...{ ipc, iteration, classes, images: images.data, labels: labels.data },
    ...{ channels: channels!, height: height!, width: width! },
  };
}

/** The snapshots of a run by images a class and iteration; none where there is no folder of them. */
export function listSnapshots(run: string): SnapshotFile[] {
  const folder = snapshotFolder(run);
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .flatMap((name) => {
      const [, ipc, iteration] = /^ipc(\d+)-(\d+)\.safetensors$/.exec(name) ?? [];
      return iteration === undefined
        ? []
        : [{ ipc: Number(ipc), iteration: Number(iteration), name, file: join(folder, name) }];
    })
    .sort((a, b) => a.ipc - b.ipc || a.iteration - b.iteration);
}

/** Removes the snapshots of an earlier run, or of one set those after an iteration. Throws `FileError`. */
export function removeSnapshots(run: string, some?: { ipc: number; after: number }): void {
  for (const { file, ipc, iteration } of listSnapshots(run)) {
    if (some && !(ipc === some.ipc && iteration > some.after)) continue;
    try {
      rmSync(file);
    } catch (cause) {
      throw fileError(file, "writable", cause);
    }
  }
}
