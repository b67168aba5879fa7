/** @file The start of a synthetic set: which real images, and the logits that teachers give them. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { buildModel } from "../../../models/index.ts";
import type { Dataset, Split } from "../../../distill/data/dataset.ts";
import {
  hardLogits,
  predictedCorrectly,
  randomReal,
  startingSet,
  teacherLogits,
} from "../../../distill/matching/start.ts";
import { Trainer } from "../../../distill/training/train.ts";
import { hardTargets } from "../../../distill/labels.ts";
import { writeTrajectory } from "../../../distill/teachers/recorder.ts";
import { teacherFile, TrajectoryBuffer } from "../../../distill/teachers/trajectory.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { teacherMeta } from "../../support/teacher-meta.ts";

/**
 * Images of 2×2 pixels that are all as bright as `BRIGHTNESS` says; three classes. A teacher here
 * sees nothing but the brightness m: its logits are z_k = slope_k · m + bias_k, exactly.
 */
const BRIGHTNESS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const LABELS = Uint8Array.of(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2);

const model = buildModel("ConvNetD1W1NN", { channels: 1, size: 2, classes: 3 });

interface Line {
  readonly slope: readonly number[];
  readonly bias: readonly number[];
}

/** θ: the centre of the kernel is 1, so that the pooled plane is the brightness. */
const thetaOf = ({ slope, bias }: Line): number[] => [
  ...[0, 0, 0, 0, 1, 0, 0, 0, 0],
  0,
  ...slope,
  ...bias,
];

/** z_1 is the largest above a brightness of `from`, z_2 above `to`. */
const between = (from: number, to: number): Line => ({
  slope: [0, 1, 2],
  bias: [0, -from, -from - to],
});
const always = (k: number): Line => ({
  slope: [0, 0, 0],
  bias: [0, 1, 2].map((j) => (j === k ? 3 : 0)),
});

const split: Split = {
  count: BRIGHTNESS.length,
  labels: LABELS,
  images: (indices) =>
    Float32Array.from(
      Array.from(indices).flatMap((i) => new Array<number>(4).fill(BRIGHTNESS[i]!)),
    ),
};
const dataset: Dataset = {
  name: "brightness",
  id: "brightness",
  classes: ["dark", "grey", "light"],
  channels: 1,
  height: 2,
  width: 2,
  preprocessing: { kind: "normalise", mean: [0], std: [1] },
  train: split,
  test: split,
};

let folder: string;
let made = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-start-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A folder of teachers whose last snapshots are as said; the first ones know nothing. */
function teachersOf(
  network: string,
  thetas: readonly (readonly number[])[],
  running: readonly number[] = [],
): TrajectoryBuffer {
  const path = join(folder, String(made++));
  mkdirSync(path);
  const meta = teacherMeta({ dataset: "brightness", network, width: 1, epochs: 1 });
  thetas.forEach((theta, i) => {
    const snapshots = [...new Array<number>(theta.length).fill(0), ...theta];
    writeTrajectory(teacherFile(path, i), meta, Float32Array.from(snapshots), {
      running: Float32Array.from(running),
    });
  });
  return new TrajectoryBuffer(path);
}

const teachers = (...lines: readonly Line[]): TrajectoryBuffer =>
  teachersOf("ConvNetD1NN", lines.map(thetaOf));

const gpu = sharedGpu();

describe("the start of a synthetic set", () => {
  const set = {
    count: split.count,
    images: (indices: ArrayLike<number>) => split.images(indices),
    targets: hardTargets(LABELS, 3),
  };
  let trainer: Trainer;
  beforeAll(async () => {
    trainer = await Trainer.compile(gpu(), model, set, 1);
  });
  afterAll(() => trainer[Symbol.dispose]());

  const source = (...lines: readonly Line[]) => ({
    dataset,
    teachers: teachers(...lines),
    trainer,
  });
  /** The brightness of chosen images, ascending within each class. */
  const chosen = (numbers: Uint32Array): number[][] =>
    [0, 1, 2].map((k) =>
      [...numbers]
        .filter((i) => LABELS[i] === k)
        .map((i) => BRIGHTNESS[i]!)
        .sort((a, b) => a - b),
    );
  const inOrder = (numbers: Uint32Array): number[] => [...numbers].map((i) => LABELS[i]!);
  const SEEDS = [0, 1, 2, 3, 4];

  describe("by samples predicted correctly", () => {
    it("takes images that the teacher's last snapshot classifies correctly, class by class", async () => {
      const early = source(between(2.5, 10.5));
      for (const seed of SEEDS) {
        const numbers = await predictedCorrectly(early, 2, new Random(seed));
        const [dark, grey, light] = chosen(numbers);
        expect(inOrder(numbers)).toEqual([0, 0, 1, 1, 2, 2]);
        expect([dark, light]).toEqual([
          [1, 2],
          [11, 12],
        ]);
        expect(new Set(grey).size).toBe(2);
      }
    });

    it("goes on to the next teacher for classes that have not enough, and takes no image twice", async () => {
      const two = source(between(1.5, 11.5), always(0), between(4.5, 9.5));
      for (const seed of SEEDS) {
        const [dark, grey, light] = chosen(await predictedCorrectly(two, 3, new Random(seed)));
        // The first teacher knows one dark image, the second knows all.
        expect(dark).toContain(1);
        expect(new Set(dark).size).toBe(3);
        expect(new Set(grey).size).toBe(3);
        // The first knows one light image, the second none, the third that and two more.
        expect(light).toEqual([10, 11, 12]);
      }
    });

    it("asks the later teachers for nothing that the first one has", async () => {
      const first = source(between(2.5, 10.5), always(0), always(2));
      for (const seed of SEEDS) {
        const alone = await predictedCorrectly(source(between(2.5, 10.5)), 2, new Random(seed));
        expect(await predictedCorrectly(first, 2, new Random(seed))).toEqual(alone);
      }
    });

    it("fills a class that all teachers fail on with random images of it", async () => {
      const blind = source(always(1), always(1));
      const found = new Set<string>();
      for (const seed of SEEDS) {
        const numbers = await predictedCorrectly(blind, 3, new Random(seed));
        expect(inOrder(numbers)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
        expect(new Set(numbers).size).toBe(9);
        found.add(String(chosen(numbers)[0]));
      }
      expect(found.size).toBeGreaterThan(1);
    });

    it("takes what there is when every image of a class is wanted", async () => {
      const numbers = await predictedCorrectly(source(between(2.5, 10.5)), 4, new Random(0));
      expect(chosen(numbers)).toEqual([
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
      ]);
    });

    it("refuses more images than a class has", async () => {
      await expect(predictedCorrectly(source(always(0)), 5, new Random(0))).rejects.toThrow(
        new RangeError("ipc: must be at most the images of every class, got 5 for 4 of class dark"),
      );
    });
  });

  describe("the teachers' logits", () => {
    const numberOf = (...brightness: readonly number[]): Uint32Array =>
      Uint32Array.from(brightness, (m) => BRIGHTNESS.indexOf(m));
    const right = between(4.5, 8.5);
    const late = between(2.5, 10.5);

    it("are those of the last snapshot of the only teacher", async () => {
      const logits = await teacherLogits(source(right), numberOf(12, 1));
      expect([...logits]).toEqual([0, 7.5, 11, 0, -3.5, -11]);
    });

    describe("with batch norm", () => {
      const network = buildModel("ConvNetD1W1BN", model.task);
      const [kernel, line] = [thetaOf(right).slice(0, 10), thetaOf(right).slice(10)];
      // Scale 2 and shift 1: the pooled plane is max(0, 2 (m - mean) / deviation + 1).
      const theta = [...kernel, 2, 1, ...line];
      const expected = (mean: number, variance: number): number[] =>
        [12, 1].flatMap((m) => {
          const pooled = Math.max(0, (2 * (m - mean)) / Math.sqrt(variance + 1e-5) + 1);
          return right.slope.map((k, i) => k * pooled + right.bias[i]!);
        });
      const logits = async (...running: readonly number[]): Promise<Float32Array> => {
        using own = await Trainer.compile(gpu(), network, set, 1);
        const teacher = teachersOf("ConvNetD1BN", [theta], running);
        return await teacherLogits({ dataset, teachers: teacher, trainer: own }, numberOf(12, 1));
      };
      const largest = (got: Float32Array, want: readonly number[]): number =>
        Math.max(...want.map((z, i) => Math.abs(got[i]! - z)));

      it("are by the running statistics of the last snapshot", async () => {
        const got = await logits(...[0, 1], ...[5, 4]);
        expect(largest(got, expected(5, 4))).toBeLessThan(1e-5);
      });

      it("are by the statistics of the training images where the file has none", async () => {
        // Brightness 1 … 12: mean 6.5, variance (12² - 1) / 12; some images are met once more than others.
        expect(largest(await logits(), expected(6.5, 143 / 12))).toBeLessThan(0.05);
      });
    });

    it("are the mean over the teachers that classify the image correctly", async () => {
      const logits = await teacherLogits(source(right, late, always(0)), numberOf(1, 3, 10));
      expect([...logits]).toEqual([
        // All three are right: [0, -3.5, -11], [0, -1.5, -11], [3, 0, 0].
        ...[1, Math.fround(-5 / 3), Math.fround(-22 / 3)],
        // The second is not: [0, -1.5, -7] and [3, 0, 0].
        ...[1.5, -0.75, -3.5],
        // The first alone is.
        ...[0, 5.5, 7],
      ]);
    });

    it("are the mean over all teachers where none is right", async () => {
      const logits = await teacherLogits(source(late, always(0)), numberOf(10, 4));
      expect([...logits]).toEqual([
        // [0, 7.5, 7] and [3, 0, 0]: neither says light.
        ...[1.5, 3.75, 3.5],
        // The second alone says dark.
        ...[3, 0, 0],
      ]);
    });
  });

  describe("at random", () => {
    it("has as many images of each class, in the order of the classes, by the seed", () => {
      const numbers = randomReal(dataset, 3, new Random(1));
      expect(inOrder(numbers)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
      expect(new Set(numbers).size).toBe(9);
      expect(randomReal(dataset, 3, new Random(1))).toEqual(numbers);
      expect(randomReal(dataset, 3, new Random(2))).not.toEqual(numbers);
      expect(() => randomReal(dataset, 5, new Random(1))).toThrow(RangeError);
    });

    it("has hard labels as logits: 0 at the class and -20 elsewhere", () => {
      const numbers = Uint32Array.of(8, 0);
      expect([...hardLogits(dataset, numbers)]).toEqual([-20, -20, 0, 0, -20, -20]);
      expect([...hardLogits(dataset, numbers, -5)]).toEqual([-5, -5, 0, 0, -5, -5]);
    });
  });

  describe("as a set", () => {
    it("by real images has them and the teachers' logits for them", async () => {
      const from = source(between(4.5, 8.5));
      const set = await startingSet(from, "real", 2, new Random(3));
      const numbers = randomReal(dataset, 2, new Random(3));
      expect(set.images).toEqual(split.images(numbers));
      expect(set.labels).toEqual(await teacherLogits(from, numbers));
    });

    it("by samples predicted correctly has those, never the data set's own memory", async () => {
      const from = source(between(2.5, 10.5));
      const set = await startingSet(from, "samples_predicted_correctly", 2, new Random(3));
      const numbers = await predictedCorrectly(from, 2, new Random(3));
      expect(set.images).toEqual(split.images(numbers));
      expect(set.labels).toEqual(await teacherLogits(from, numbers));
    });

    it("by noise has normal values and hard labels, the same for the same seed", async () => {
      const from = source(between(2.5, 10.5));
      const make = (seed: number) => startingSet(from, "noise", 4, new Random(seed));
      const { images, labels } = await make(3);
      expect(images.length).toBe(12 * 4);
      const mean = images.reduce((a, b) => a + b) / images.length;
      const variance = images.reduce((a, b) => a + (b - mean) ** 2, 0) / images.length;
      // Five standard errors.
      expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(48));
      expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / 48));
      expect(labels).toEqual(hardLogits(dataset, Uint32Array.from(BRIGHTNESS.keys())));
      expect(await make(3)).toEqual({ images, labels });
      expect((await make(4)).images).not.toEqual(images);
    });
  });
});
