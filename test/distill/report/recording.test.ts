/** @file What a run leaves to look at: snapshots at their time and of their size, pictures, times. */
import { mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { loadDigits } from "../../../distill/data/digits.ts";
import { normalise } from "../../../distill/data/preprocess.ts";
import { openRunFolder } from "../../../distill/files.ts";
import { toBytes } from "../../../distill/report/pictures.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import { resolveRecipe } from "../../../distill/recipe.ts";
import { beginRecording, Recording } from "../../../distill/report/recording.ts";
import {
  isSnapshotIteration,
  listSnapshots,
  readSnapshot,
  shownPerClass,
} from "../../../distill/report/snapshot.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-recording-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const digits = normalise(loadDigits());
const shipped = readRecipe(shippedRecipes().get("digits-ipc10")!);

/** Real digits as a set, `ipc` a class, that say their class in their labels. */
function realSet(ipc: number) {
  const numbers = digits.classes.flatMap((_, k) =>
    [...digits.train.labels.keys()].filter((i) => digits.train.labels[i] === k).slice(0, ipc),
  );
  const labels = new Float32Array(10 * ipc * 10);
  for (let n = 0; n < 10 * ipc; n++) labels[n * 10 + Math.floor(n / ipc)] = 5;
  return { images: Float32Array.from(digits.train.images(numbers)), labels };
}

describe("snapshots", () => {
  it.each([
    [300, 20],
    [10_000, 20],
    [25, 13],
    [3, 3],
    [1, 1],
  ])("of %i iterations are %i, evenly and at the end", (iterations, count) => {
    const taken = Array.from({ length: iterations }, (_, i) => i + 1).filter((i) =>
      isSnapshotIteration(i, iterations),
    );
    expect([taken.length, taken.at(-1)]).toEqual([count, iterations]);
  });

  it("hold all of a small set and a part of a large one", () => {
    const shape = { channels: 3, height: 32, width: 32 };
    expect(shownPerClass(10, shape, 10)).toBe(10);
    expect(shownPerClass(50, shape, 100)).toBe(12);
    expect(shownPerClass(1, { channels: 3, height: 128, width: 128 }, 1000)).toBe(1);
  });
});

describe("a recording", () => {
  let folder: string;
  beforeAll(async () => {
    folder = join(root, "run");
    const recipe = resolveRecipe(shipped, { ipc: 3, iterations: 4, batch_syn: 30 });
    beginRecording(openRunFolder(folder));
    const set = realSet(3);
    const recording = new Recording(folder, recipe, digits);
    recording.start(set);
    recording.planned({ variables: 10, slots: 20, total: 30, largest: 20 });
    const darker = { ...set, images: set.images.map((value) => value - 0.5) };
    for (let i = 1; i <= 4; i++) await recording.iteration(i, () => Promise.resolve(darker));
    recording.finish(darker);
  });

  it("keeps the set as it looks, from the start to the end", () => {
    const files = listSnapshots(folder);
    expect(files.map(({ ipc, iteration }) => [ipc, iteration])).toEqual(
      [0, 1, 2, 3, 4].map((i) => [3, i]),
    );
    const { images, labels, ...rest } = readSnapshot(files[0]!.file);
    expect(rest).toEqual({
      ...{ ipc: 3, iteration: 0, classes: digits.classes },
      ...{ channels: 1, height: 8, width: 8 },
    });
    expect(labels).toEqual(realSet(3).labels);
    // Digits have 17 levels of grey.
    const levels = new Set(Array.from({ length: 17 }, (_, v) => Math.round((255 * v) / 16)));
    expect(images.length).toBe(30 * 64);
    for (const pixel of images)
      expect([...levels].some((v) => Math.abs(v - pixel) <= 1)).toBe(true);
    const last = readSnapshot(files[4]!.file).images;
    expect(last.every((pixel, i) => pixel <= images[i]!)).toBe(true);
  });

  it("takes the time of every iteration, and tells the planned memory", () => {
    const lines = readFileSync(join(folder, "timing.jsonl"), "utf8").trimEnd().split("\n");
    const [memory, ...iterations] = lines.map(
      (line) => JSON.parse(line) as Record<string, unknown>,
    );
    expect(memory).toEqual({
      event: "memory",
      ipc: 3,
      variables: 10,
      slots: 20,
      total: 30,
      largest: 20,
    });
    iterations.forEach((line, i) => {
      const { seconds, rss, ...rest } = line;
      expect(rest).toEqual({ event: "iteration", ipc: 3, iteration: i + 1 });
      expect(seconds).toBeGreaterThan(0);
      expect(rss).toBeGreaterThan(1e6);
    });
  });

  it("draws the set beside what it began from, and its evolution", () => {
    const comparison = decode(readFileSync(join(folder, "comparison-ipc3.png")));
    // Six cells of 48 pixels, 2 around each, 10 more in the middle; ten rows.
    expect([comparison.width, comparison.height]).toEqual([6 * 50 + 2 + 10, 502]);
    const at = (x: number, y: number) => comparison.data[y * comparison.width + x]!;
    const sum = (x: number) =>
      Array.from({ length: 48 * 48 }, (_, i) => at(x + (i % 48), 2 + Math.floor(i / 48))).reduce(
        (total, pixel) => total + pixel,
      );
    expect(at(155, 30)).toBe(128);
    expect(sum(3 * 50 + 12)).toBeLessThan(sum(2));
    const evolution = decode(readFileSync(join(folder, "evolution-ipc3.png")));
    expect([evolution.width, evolution.height]).toEqual([152, 502]);
  });

  it("leaves nothing of an earlier run", () => {
    beginRecording(folder);
    expect(listSnapshots(folder)).toEqual([]);
    expect(readFileSync(join(folder, "timing.jsonl"), "utf8")).toBe("");
  });

  it("compares a set that began from noise with real images", () => {
    const noise = join(root, "noise");
    const recipe = resolveRecipe(shipped, {
      ...{ ipc: 1, iterations: 1, batch_syn: 10, init: "noise" },
    });
    const black = { images: new Float32Array(640).fill(-9), labels: new Float32Array(100) };
    const recording = new Recording(noise, recipe, digits);
    recording.start(black);
    recording.finish(black);
    const { data, width } = decode(readFileSync(join(noise, "comparison-ipc1.png")));
    const brightest = (left: number): number =>
      Math.max(
        ...Array.from({ length: 48 * 48 }, (_, i) => {
          return data[(2 + Math.floor(i / 48)) * width + left + (i % 48)]!;
        }),
      );
    const zero = toBytes(realSet(1).images.slice(0, 64), digits.preprocessing, digits);
    expect([brightest(2), brightest(62)]).toEqual([Math.max(...zero), 0]);
  });

  it("of which a file is damaged says so", () => {
    const { file } = listSnapshots(join(root, "noise"))[0]!;
    truncateSync(file, 100);
    expect(() => readSnapshot(file)).toThrow(`${file}: `);
  });
});
