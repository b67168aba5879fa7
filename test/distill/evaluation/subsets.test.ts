/** @file Baselines of real images: whose images they are, what labels they have, who is asked. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { buildModel } from "../../../models/index.ts";
import { wholeSet, type Baseline } from "../../../distill/evaluation/baselines.ts";
import { herding } from "../../../distill/evaluation/coresets.ts";
import { teacherFeatures } from "../../../distill/evaluation/features.ts";
import type { EvaluationPlan } from "../../../distill/evaluation/plan.ts";
import { realSubsets } from "../../../distill/evaluation/subsets.ts";
import type { Dataset } from "../../../distill/data/dataset.ts";
import { loadDigits } from "../../../distill/data/digits.ts";
import { normalise } from "../../../distill/data/preprocess.ts";
import { takeTeacher } from "../../../distill/matching/start.ts";
import { createProgress } from "../../../distill/progress.ts";
import { resolveTeaching } from "../../../distill/recipe.ts";
import { teach } from "../../../distill/teachers/teacher.ts";
import type { TrajectoryBuffer } from "../../../distill/teachers/trajectory.ts";
import { Trainer } from "../../../distill/training/train.ts";
import { sharedGpu } from "../../support/gpu.ts";

const gpu = sharedGpu();
const digits = normalise(loadDigits());
const COUNT = 300;
const dataset: Dataset = {
  ...digits,
  train: {
    count: COUNT,
    labels: digits.train.labels.slice(0, COUNT),
    images: (indices, out) => digits.train.images(indices, out),
  },
};
const model = buildModel("ConvNetD1W4BN", { channels: 1, size: 8, classes: 10 });
const plan: EvaluationPlan = {
  ...{ seeds: 2, epochs: 1, batch: 8, lr: 0.1, momentum: 0, weightDecay: 0 },
  ...{ augmentation: [], seed: 3 },
};

let folder: string;
let teachers: TrajectoryBuffer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "potstill-subsets-"));
  const base = { dataset: "digits", network: "ConvNetD1W4BN", width: 4, seed: 5 };
  const settings = { experts: 1, epochs: 2, batch: 32, lr: 0.1 };
  teachers = await teach({
    ...{ gpu: gpu(), dataset, model, folder, random: new Random(1) },
    recipe: resolveTeaching(undefined, { ...base, teachers: settings }),
    progress: createProgress({ quiet: true }),
  });
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let asked = 0;
const subsets = (ipc: number, ...wanted: Baseline[]) => {
  asked = 0;
  const ask = (): Promise<TrajectoryBuffer> => {
    asked++;
    return Promise.resolve(teachers);
  };
  return realSubsets(dataset, { gpu: gpu(), model, teachers: ask }, plan, ipc, wanted);
};

/** Number of the training image that each image of a set is. */
function numbersOf(images: Float32Array): number[] {
  const all = dataset.train.images(Array.from({ length: COUNT }, (_, i) => i));
  return Array.from({ length: images.length / 64 }, (_, n) => {
    const image = images.subarray(64 * n, 64 * (n + 1)).join();
    for (let i = 0; i < COUNT; i++)
      if (all.subarray(64 * i, 64 * (i + 1)).join() === image) return i;
    return -1;
  });
}

const ALL = Array.from({ length: 20 }, (_, i) => i);

describe("features", () => {
  it("of a teacher give its logits by the last layer's weight and bias", async () => {
    using trainer = await Trainer.compile(gpu(), model, wholeSet(dataset), 1);
    takeTeacher({ dataset, teachers, trainer }, 0);
    const { theta } = await trainer.state();
    const logits = await trainer.logits((i) => dataset.train.images(i), COUNT);
    const classes = await teacherFeatures(gpu(), model, dataset, teachers);
    expect(classes.flatMap(({ numbers }) => numbers).sort((a, b) => a - b)).toEqual(
      Array.from({ length: COUNT }, (_, i) => i),
    );
    for (const [k, { numbers, features }] of classes.entries()) {
      const { size, values } = features;
      const last = theta.subarray(theta.length - 10 * size - 10);
      for (const [row, number] of numbers.slice(0, 5).entries()) {
        expect(dataset.train.labels[number]).toBe(k);
        for (let j = 0; j < 10; j++) {
          let sum = last[10 * size + j]!;
          for (let d = 0; d < size; d++) sum += last[j * size + d]! * values[row * size + d]!;
          expect(sum).toBeCloseTo(logits[number * 10 + j]!, 3);
        }
      }
    }
  });
});

describe("real images in the place of distilled ones", () => {
  it("are drawn anew for each seed, with the same images under hard and soft labels", async () => {
    const [hard, soft, ...others] = await subsets(2, "random", "random-soft");
    expect([hard!.method, soft!.method, others.length, asked]).toEqual([
      "random",
      "random-soft",
      0,
      1,
    ]);
    const [first, second] = [0, 1].map((seed) => numbersOf(hard!.setOf(seed).images(ALL)));
    expect(first).not.toEqual(second);
    expect(first!.map((i) => dataset.train.labels[i])).toEqual(ALL.map((i) => i >> 1));
    expect(soft!.setOf(1).images(ALL)).toEqual(hard!.setOf(1).images(ALL));
    ALL.forEach((n) => expect(hard!.setOf(0).targets[10 * n + (n >> 1)]).toBe(1));
    expect(Math.max(...soft!.setOf(0).targets)).toBeLessThan(1);
  });

  it("ask no teacher where none is needed", async () => {
    const [only] = await subsets(1, "full", "random");
    expect([only!.method, asked]).toEqual(["random", 0]);
    expect(await subsets(1)).toEqual([]);
  });

  it("are what herding and k-center choose of each class by a teacher's features", async () => {
    const [herded, centred] = await subsets(2, "herding", "k-center");
    expect([herded!.method, centred!.method]).toEqual(["herding", "k-center"]);
    const classes = await teacherFeatures(gpu(), model, dataset, teachers);
    const chosen = classes.flatMap(({ numbers, features }) =>
      [...herding(features, 2)].map((i) => numbers[i]!),
    );
    expect(numbersOf(herded!.setOf(0).images(ALL))).toEqual(chosen);
    expect(herded!.setOf(1)).toBe(herded!.setOf(0));
    const centres = numbersOf(centred!.setOf(0).images(ALL));
    expect(centres).not.toEqual(chosen);
    expect(centres.map((i) => dataset.train.labels[i])).toEqual(ALL.map((i) => i >> 1));
  });

  it("are refused where a class has not so many", async () => {
    await expect(subsets(100, "random")).rejects.toThrow("ipc: must be at most the images");
    await expect(subsets(100, "herding")).rejects.toThrow("coreset: count must be an integer");
  });
});
