/** @file Evaluation: mean and deviation, and the schedule of the learning rate that fresh networks get. */

import { describe, expect, it } from "vitest";

import { Gpu, Random } from "../../../engine/index.ts";
import { buildModel, initialise } from "../../../models/index.ts";
import type { Dataset } from "../../../distill/data/dataset.ts";
import {
  evaluate,
  summarise,
  type EvaluationSettings,
} from "../../../distill/evaluation/evaluate.ts";
import { minibatches, Trainer, type TrainingSet } from "../../../distill/training/train.ts";
import { accuracy, hardTargets } from "../../../distill/labels.ts";
import { sharedGpu } from "../../support/gpu.ts";

describe("a summary of accuracies", () => {
  it("has their mean and the standard deviation of a sample", () => {
    expect(summarise([0.5, 0.25, 0.75])).toEqual({
      values: [0.5, 0.25, 0.75],
      mean: 0.5,
      std: 0.25,
    });
    expect(summarise([1, 0])).toEqual({ values: [1, 0], mean: 0.5, std: Math.SQRT1_2 });
  });

  it("of one or of equal ones deviates by nothing", () => {
    expect(summarise([0.9])).toEqual({ values: [0.9], mean: 0.9, std: 0 });
    expect(summarise([0.25, 0.25])).toEqual({ values: [0.25, 0.25], mean: 0.25, std: 0 });
  });
});

const model = buildModel("ConvNetD1W4NN", { channels: 1, size: 4, classes: 3 });
const PIXELS = 16;

/** A set of normal images, as many of each class. */
function setOf(seed: number): TrainingSet {
  const random = new Random(seed).stream("set");
  const labels = [0, 1, 2, 0, 1, 2];
  const images = Float32Array.from({ length: labels.length * PIXELS }, () => random.normal());
  return {
    count: labels.length,
    images: (indices) =>
      Float32Array.from(
        Array.from(indices).flatMap((i) => [...images.subarray(i * PIXELS, (i + 1) * PIXELS)]),
      ),
    targets: hardTargets(labels, 3),
  };
}

const RAYS = 8;
const POINTS = 250;

/**
 * Test images along rays, labelled 0: the accuracy tells where the class changes on them, and so
 * tells networks apart that differ by little.
 */
const test = {
  count: RAYS * POINTS,
  labels: new Uint8Array(RAYS * POINTS),
  images: (indices: ArrayLike<number>) => {
    const directions = Array.from({ length: RAYS }, (_, ray) => {
      const random = new Random(ray).stream("ray");
      return Array.from({ length: PIXELS }, () => random.normal());
    });
    return Float32Array.from(
      Array.from(indices).flatMap((i) => {
        const distance = (6 * (i % POINTS)) / POINTS - 3;
        return directions[Math.floor(i / POINTS)]!.map((v) => v * distance);
      }),
    );
  },
};
const dataset: Dataset = {
  name: "rays",
  id: "rays",
  classes: ["a", "b", "c"],
  ...{ channels: 1, height: 4, width: 4 },
  preprocessing: { kind: "normalise", mean: [0], std: [1] },
  train: test,
  test,
};

const gpu = sharedGpu();

interface Schedule {
  readonly dropAfter: number;
  readonly newMomentum: boolean;
}

/** Test accuracy of one seed's network, epoch by epoch in the plainest way. */
async function plainly(
  settings: EvaluationSettings,
  seed: number,
  { dropAfter, newMomentum }: Schedule,
): Promise<number> {
  const { epochs, batch, lr, momentum, weightDecay } = settings;
  const set = setOf(seed);
  const random = new Random(5).stream(`seed ${seed}`);
  const order = random.stream("order");
  using trainer = await Trainer.compile(gpu(), model, set, batch);
  trainer.reset(initialise(model, random.stream("parameters")));
  for (let epoch = 0; epoch <= epochs; epoch++) {
    const rate = epoch <= dropAfter ? lr : lr * 0.1;
    const batches = minibatches(order.permutation(set.count), batch);
    trainer.train(batches, { lr: rate, momentum, weightDecay });
    if (epoch === dropAfter && newMomentum) trainer.forgetMomentum();
  }
  return accuracy(await trainer.logits(test.images, test.count), test.labels);
}

describe("evaluation", () => {
  const settings: EvaluationSettings = {
    ...{ seeds: 1, epochs: 5, batch: 4, lr: 0.05, momentum: 0.9, weightDecay: 5e-4 },
  };
  const evaluated = (
    changes: Partial<EvaluationSettings> = {},
    report?: (epochs: number) => void,
  ) => evaluate(gpu(), model, setOf, dataset, { ...settings, ...changes }, new Random(5), report);

  it.each([
    [1, 1],
    [4, 3],
    [5, 3],
    [120, 61],
  ])(
    "for E = %i sees the set E + 1 times, a tenth of the rate and new momentum after epoch %i",
    async (epochs, dropAfter) => {
      const { values } = await evaluated({ epochs });
      const schedule = { dropAfter, newMomentum: true };
      expect(values).toEqual([await plainly({ ...settings, epochs }, 0, schedule)]);
    },
  );

  it("would give another accuracy by another schedule", async () => {
    const { values } = await evaluated();
    for (const schedule of [
      { dropAfter: 2, newMomentum: true },
      { dropAfter: 4, newMomentum: true },
      { dropAfter: 3, newMomentum: false },
    ])
      expect([await plainly(settings, 0, schedule)]).not.toEqual(values);
    for (const epochs of [4, 6]) {
      const schedule = { dropAfter: 3, newMomentum: true };
      expect([await plainly({ ...settings, epochs }, 0, schedule)]).not.toEqual(values);
    }
  });

  it("augments the set's images where it is asked to, by draws of the seed", async () => {
    const augmentation = ["color", "crop"] as const;
    const augmented = await evaluated({ seeds: 2, augmentation });
    expect(augmented).not.toEqual(await evaluated({ seeds: 2 }));
    expect(await evaluated({ seeds: 2, augmentation })).toEqual(augmented);
  });

  it("gives each seed a network, an order and a set of its own, and repeats itself", async () => {
    const done: number[] = [];
    const result = await evaluated({ seeds: 3 }, (epochs) => done.push(epochs));
    const schedule = { dropAfter: 3, newMomentum: true };
    const each = [];
    for (const seed of [0, 1, 2]) each.push(await plainly(settings, seed, schedule));
    const { confusion, ...accuracies } = result;
    expect(accuracies).toEqual(summarise(each));
    // All test images are of class 0.
    const right = each.reduce((a, b) => a + b) * test.count;
    expect([confusion.length, confusion[0]![0]]).toEqual([3, Math.round(right)]);
    expect(new Set(each).size).toBe(3);
    expect(await evaluated({ seeds: 3 })).toEqual(result);
    // Six epochs a seed; told at the drop and at the end of each, and between them when that takes long.
    const marks = [4, 6, 10, 12, 16, 18];
    expect([...new Set(done)].filter((epochs) => marks.includes(epochs))).toEqual(marks);
    expect(done).toEqual([...done].sort((a, b) => a - b));
  });

  it("shares seeds out among devices without a change of a bit, and tells of finished ones", async () => {
    using one = await Gpu.open({ threads: "one" });
    using beside = await Gpu.open({ threads: "one" });
    const random = new Random(5);
    const many = { ...settings, seeds: 5 };
    const alone = await evaluate(one, model, setOf, dataset, many, random);
    const told: [number, number[]][] = [];
    const shared = await evaluate(
      [one, beside],
      model,
      setOf,
      dataset,
      many,
      random,
      (epochs, values) => told.push([epochs, [...values]]),
    );
    expect(shared).toEqual(alone);
    expect(told.at(-1)![0]).toBe(30);
    const last = told.at(-1)![1];
    expect(last.length).toBeGreaterThanOrEqual(3);
    for (const value of last) expect(alone.values).toContain(value);
  });
});
