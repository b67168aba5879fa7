/** @file What a run leaves for people to look at: snapshots and pictures of the set, and how long it took. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";

import { animatedPng, type Frame } from "./animation.ts";
import type { Dataset } from "../data/dataset.ts";
import { fileError, writeAtomic } from "../files.ts";
import type { PlannedMemory } from "../matching/match.ts";
import { comparisonSheet, drawSheet, firstColumns, toBytes } from "./pictures.ts";
import type { Recipe } from "../recipe.ts";
import type { SyntheticSet } from "../matching/start.ts";
import {
  isSnapshotIteration,
  listSnapshots,
  readSnapshot,
  removeSnapshots,
  shownPerClass,
  writeSnapshot,
} from "./snapshot.ts";

/** Times and memory: what may differ between runs that are equal else. */
export const TIMING = "timing.jsonl";

/** Most images of each class, and most classes, in pictures that are not of the whole set. */
const MOST_COLUMNS = 10;
const MOST_ROWS = 20;
const FRAME_MS = 200;
const LAST_FRAME_MS = 2000;

/** Removes what an earlier run left in a folder. Throws `FileError`. */
export function beginRecording(folder: string): void {
  writeAtomic(join(folder, TIMING), "");
  removeSnapshots(folder);
}

/** Follows the making of one set. */
export class Recording {
  private readonly folder: string;
  private readonly recipe: Recipe;
  private readonly dataset: Dataset;
  /** Images of each class in a snapshot. */
  private readonly shown: number;
  private before = performance.now();

  constructor(folder: string, recipe: Recipe, dataset: Dataset) {
    this.folder = folder;
    this.recipe = recipe;
    this.dataset = dataset;
    this.shown = shownPerClass(recipe.ipc, dataset, dataset.classes.length);
  }

  /** The set before the first iteration. Throws `FileError`. */
  start(set: SyntheticSet): void {
    this.snapshot(0, set);
  }

  /** GPU memory of the program that begins to run now. Throws `FileError`. */
  planned(memory: PlannedMemory): void {
    this.note({ event: "memory", ipc: this.recipe.ipc, ...memory });
    this.resume();
  }

  /** An iteration has ended; `current` reads the set where it is looked at. Throws `FileError`. */
  async iteration(iteration: number, current: () => Promise<SyntheticSet>): Promise<void> {
    const seconds = (performance.now() - this.before) / 1000;
    const rss = process.memoryUsage.rss();
    const { ipc, iterations } = this.recipe;
    this.note({ event: "iteration", ipc, iteration, seconds: Number(seconds.toPrecision(6)), rss });
    if (isSnapshotIteration(iteration, iterations)) this.snapshot(iteration, await current());
    this.resume();
  }

  /** The next iteration begins: what was done after the last one is not its time. */
  resume(): void {
    this.before = performance.now();
  }

  /**
   * The pictures of a finished set: `evolution-ipc<n>.png`, the snapshots one after another, and
   * `comparison-ipc<n>.png`, the set beside the real images that it began from, or others where it
   * began from noise. Throws `FileError`.
   */
  finish(set: SyntheticSet): void {
    const { ipc } = this.recipe;
    const snapshots = listSnapshots(this.folder).filter((found) => found.ipc === ipc);
    const frames = snapshots.map(({ file }, i): Frame => {
      const picture = this.picture(readSnapshot(file).images);
      return { picture, ms: i < snapshots.length - 1 ? FRAME_MS : LAST_FRAME_MS };
    });
    writeAtomic(join(this.folder, `evolution-ipc${ipc}.png`), animatedPng(frames));
    const { channels, height, width, classes } = this.dataset;
    const columns = Math.min(this.shown, MOST_COLUMNS);
    const synthetic = toBytes(this.few(set.images, ipc, columns), this.dataset.preprocessing, {
      ...{ channels, height, width },
    });
    const real = this.real(columns);
    const sheet = { channels, height, width, rows: classes.length, columns };
    const comparison = comparisonSheet({ ...sheet, real, synthetic });
    writeAtomic(join(this.folder, `comparison-ipc${ipc}.png`), comparison);
  }

  /** Of the images `[K·columns, C, H, W]`, the first `some` of each class. */
  private few<T extends Float32Array | Uint8Array>(images: T, columns: number, some: number): T {
    const { channels, height, width } = this.dataset;
    return firstColumns(images, channels * height * width, columns, some);
  }

  /** The sheet of a snapshot's first classes and images. */
  private picture(images: Uint8Array): Frame["picture"] {
    const { channels, height, width, classes } = this.dataset;
    const rows = Math.min(classes.length, MOST_ROWS);
    const columns = Math.min(this.shown, MOST_COLUMNS);
    const few = this.few(images, this.shown, columns);
    const pixels = few.subarray(0, rows * columns * channels * height * width);
    return drawSheet({ channels, height, width, pixels, rows, columns });
  }

  /** Pixels of real images: those that the set began from, or the first of each class. */
  private real(columns: number): Uint8Array | Uint8ClampedArray {
    const { dataset, recipe, folder } = this;
    const first = listSnapshots(folder).find(
      ({ ipc, iteration }) => ipc === recipe.ipc && iteration === 0,
    );
    if (recipe.init !== "noise" && first)
      return this.few(readSnapshot(first.file).images, this.shown, columns);
    const { labels } = dataset.train;
    const numbers = dataset.classes.flatMap((_, k) => {
      const found: number[] = [];
      for (let i = 0; i < labels.length && found.length < columns; i++)
        if (labels[i] === k) found.push(i);
      return found;
    });
    return toBytes(dataset.train.images(numbers), dataset.preprocessing, dataset);
  }

  private snapshot(iteration: number, { images, labels }: SyntheticSet): void {
    const { folder, recipe, dataset, shown } = this;
    const { channels, height, width, classes, preprocessing } = dataset;
    const pixels = toBytes(this.few(images, recipe.ipc, shown), preprocessing, dataset);
    writeSnapshot(folder, {
      ...{ ipc: recipe.ipc, iteration, classes, channels, height, width },
      images: new Uint8Array(pixels.buffer),
      labels: firstColumns(labels, classes.length, recipe.ipc, shown),
    });
  }

  private note(record: object): void {
    const path = join(this.folder, TIMING);
    try {
      appendFileSync(path, `${JSON.stringify(record)}\n`);
    } catch (cause) {
      throw fileError(path, "writable", cause);
    }
  }
}
