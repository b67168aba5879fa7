/** @file Training by the adapter against a plain loop in float64, and the units around it. */

import { describe, expect, it } from "vitest";

import {
  grad,
  interpret,
  logSoftmax,
  mul,
  neg,
  Random,
  sum,
  variable,
} from "../../../engine/index.ts";
import {
  buildModel,
  initialise,
  joinParameters,
  splitParameters,
  type Model,
} from "../../../models/index.ts";
import { minibatches, Trainer, type TrainingSet } from "../../../distill/training/train.ts";
import { accuracy, hardTargets, predictedClasses, softTargets } from "../../../distill/labels.ts";
import { augment, drawRows, ROW } from "../../../distill/training/augment.ts";
import { DSA_STRATEGY, parseStrategy } from "../../../distill/training/strategy.ts";
import type { GsamSettings, SgdSettings } from "../../../distill/training/optimiser.ts";
import { relativeError } from "../../golden/fill.ts";
import { sharedGpu } from "../../support/gpu.ts";

const model = buildModel("ConvNetD1W4", { channels: 2, size: 4, classes: 3 });
const COUNT = 8;

/** Images by number, normal; targets that are probabilities, not only ones and zeros. */
function setOf({ task }: Model, count: number, seed: number): TrainingSet {
  const { channels, size, classes } = task;
  const root = new Random(seed);
  const pixels = channels * size * size;
  const logits = Float32Array.from({ length: count * classes }, () => 2 * root.normal());
  return {
    count,
    images: (indices) => {
      const out = new Float32Array(indices.length * pixels);
      Array.from(indices).forEach((index, n) => {
        const random = root.stream(`image ${index}`);
        for (let p = 0; p < pixels; p++) out[n * pixels + p] = random.normal();
      });
      return out;
    },
    targets: softTargets(logits, classes),
  };
}

const norm = (x: Float64Array): number => Math.hypot(...x);
const dot = (x: Float64Array, y: Float64Array): number =>
  x.reduce((sum, value, i) => sum + value * y[i]!, 0);

/** SGD as PyTorch has it, in float64: v ← μ v + (d + wd θ), θ ← θ - lr v; d is ∇ℓ, or GSAM's direction. */
class PlainTrainer {
  theta: Float64Array;
  velocity: Float64Array;
  lossSum = 0;
  private readonly model: Model;
  private readonly set: TrainingSet;
  private readonly gsam: GsamSettings | undefined;

  constructor(model: Model, set: TrainingSet, theta: ArrayLike<number>, gsam?: GsamSettings) {
    this.model = model;
    this.set = set;
    this.theta = Float64Array.from(theta);
    this.velocity = new Float64Array(theta.length);
    this.gsam = gsam;
  }

  train(batches: readonly ArrayLike<number>[], settings: SgdSettings): void {
    for (const batch of batches) {
      const [loss, gradient] = this.gradient(batch, this.theta) as [Float64Array, Float64Array];
      const direction = this.gsam ? this.gsamDirection(batch, gradient, this.gsam) : gradient;
      this.lossSum += loss[0]!;
      this.velocity = this.velocity.map(
        (v, i) => settings.momentum * v + direction[i]! + settings.weightDecay * this.theta[i]!,
      );
      this.theta = this.theta.map((t, i) => t - settings.lr * this.velocity[i]!);
    }
  }

  /** h - α (g less its part along h), with h the gradient at θ + e. */
  private gsamDirection(
    batch: ArrayLike<number>,
    g: Float64Array,
    { rho, alpha, adaptive }: GsamSettings,
  ): Float64Array {
    const scale = this.theta.map((t) => (adaptive ? Math.abs(t) : 1));
    const length = norm(g.map((value, i) => value * scale[i]!));
    const moved = this.theta.map((t, i) => t + (rho * scale[i]! ** 2 * g[i]!) / length);
    const [, h] = this.gradient(batch, moved) as [Float64Array, Float64Array];
    const part = dot(g, h) / dot(h, h);
    return h.map((value, i) => value - alpha * (g[i]! - part * value));
  }

  /** The mean loss of a minibatch and ∇ℓ `[P]` at `theta`. */
  private gradient(batch: ArrayLike<number>, theta: Float64Array): Float64Array[] {
    const { channels, size, classes } = this.model.task;
    const n = batch.length;
    const x = variable("x", [n, channels, size, size]);
    const target = variable("target", [n, classes]);
    const parameters = splitParameters(this.model, variable("theta", [this.model.size]));
    const z = this.model.forward(parameters, x);
    const loss = neg(mul(sum(mul(target, logSoftmax(z))), 1 / n));
    const rows = Array.from(batch, (i) => [
      ...this.set.targets.subarray(i * classes, (i + 1) * classes),
    ]);
    return interpret([loss, joinParameters(grad(loss, parameters))], {
      x: this.set.images(batch),
      target: rows.flat(),
      theta,
    });
  }
}

const gpu = sharedGpu();

describe("training", () => {
  const set = setOf(model, COUNT, 1);
  const start = initialise(model, new Random(2));
  /** Minibatches of 3, 3 and 2 images, twice over. */
  const order = [new Random(3), new Random(4)].flatMap((random) =>
    minibatches(random.permutation(COUNT), 3),
  );

  it.each<SgdSettings>([
    { lr: 0.1, momentum: 0, weightDecay: 0 },
    { lr: 0.1, momentum: 0.9, weightDecay: 0 },
    { lr: 0.1, momentum: 0.9, weightDecay: 0.05 },
  ])("goes as a plain loop in float64 does, with %o", async (settings) => {
    using trainer = await Trainer.compile(gpu(), model, set, 3);
    const plain = new PlainTrainer(model, set, start);
    trainer.reset(start);
    expect(await trainer.theta()).toEqual(start);
    for (const some of [order.slice(0, 1), order.slice(1)]) {
      trainer.train(some, settings);
      plain.train(some, settings);
      expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(1e-6);
    }
    expect((await trainer.takeLoss()) / plain.lossSum).toBeCloseTo(1, 6);
    expect(await trainer.takeLoss()).toBe(0);
  });

  it.each<GsamSettings & SgdSettings>([
    { rho: 0.05, alpha: 0.3, adaptive: true, lr: 0.1, momentum: 0, weightDecay: 0 },
    { rho: 0.5, alpha: 0.4, adaptive: true, lr: 0.1, momentum: 0.9, weightDecay: 0.05 },
    { rho: 0.05, alpha: 0.4, adaptive: false, lr: 0.1, momentum: 0.9, weightDecay: 0.05 },
  ])("by GSAM goes as a plain loop in float64 does, with %o", async (settings) => {
    using trainer = await Trainer.compile(gpu(), model, set, 3, { gsam: settings });
    const plain = new PlainTrainer(model, set, start, settings);
    trainer.reset(start);
    for (const run of [trainer, plain]) run.train(order, settings);
    expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(1e-6);
    expect((await trainer.takeLoss()) / plain.lossSum).toBeCloseTo(1, 6);
    // It is another way than that of SGD.
    const sgd = new PlainTrainer(model, set, start);
    sgd.train(order, settings);
    expect(relativeError(sgd.theta, plain.theta)).toBeGreaterThan(1e-4);
  });

  it.each([undefined, { rho: 0.05, alpha: 0.3, adaptive: true }])(
    "with batch norm and short minibatches goes as a plain loop in float64 does, by %o",
    async (gsam) => {
      const settings = { lr: 0.1, momentum: 0.9, weightDecay: 0.05 };
      const batchNorm = buildModel("ConvNetD1W4BN", model.task);
      using trainer = await Trainer.compile(gpu(), batchNorm, set, 3, { gsam });
      const plain = new PlainTrainer(batchNorm, set, start, gsam);
      trainer.reset(start);
      for (const run of [trainer, plain]) run.train(order, settings);
      expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(2e-6);
      expect((await trainer.takeLoss()) / plain.lossSum).toBeCloseTo(1, 6);
    },
  );

  it("by GSAM stays where it is, and finite, where there is no gradient", async () => {
    const flat = { ...set, targets: new Float32Array(set.targets.length) };
    const gsam = { rho: 0.05, alpha: 0.3, adaptive: true };
    using trainer = await Trainer.compile(gpu(), model, flat, 3, { gsam });
    trainer.reset(start);
    trainer.train(order, { lr: 0.1, momentum: 0, weightDecay: 0 });
    expect(await trainer.theta()).toEqual(start);
  });

  it("forgets the momentum, and only that, when told to", async () => {
    const settings = { lr: 0.1, momentum: 0.9, weightDecay: 0.01 };
    using trainer = await Trainer.compile(gpu(), model, set, 3);
    const plain = new PlainTrainer(model, set, start);
    trainer.reset(start);
    for (const run of [trainer, plain]) run.train(order, settings);
    trainer.forgetMomentum();
    plain.velocity.fill(0);
    for (const run of [trainer, plain]) run.train(order, { ...settings, lr: 0.01 });
    expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(1e-6);
  });

  it("after a reset repeats itself bit for bit, however its steps are divided", async () => {
    const settings = { lr: 0.1, momentum: 0.9, weightDecay: 0.01 };
    using trainer = await Trainer.compile(gpu(), model, set, 3);
    const long = Array.from({ length: 15 }, () => order).flat();
    trainer.reset(start);
    // More steps than are uploaded at once.
    trainer.train(long, settings);
    const once = await trainer.theta();
    expect(once.every(Number.isFinite)).toBe(true);
    trainer.reset(start);
    for (const batch of long) trainer.train([batch], settings);
    expect(await trainer.theta()).toEqual(once);
  });

  describe("on augmented images", () => {
    const augmentation = parseStrategy(DSA_STRATEGY);
    const settings = { lr: 0.1, momentum: 0.9, weightDecay: 0.01 };
    const draws = (): Random => new Random(12);
    const shape = { channels: 2, height: 4, width: 4 };
    const long = Array.from({ length: 15 }, () => order).flat();

    /** The minibatches' augmented images one after the other, as a set of their own. */
    function augmentedSet(random: Random): { set: TrainingSet; batches: number[][] } {
      const images: number[][] = [];
      const targets: number[] = [];
      const batches = order.map((batch) => {
        const rows = drawRows(augmentation, shape, 3, random).subarray(0, batch.length * ROW);
        const x = variable("x", [batch.length, 2, 4, 4]);
        const y = augment(x, variable("rows", [batch.length, ROW]), augmentation);
        const [seen] = interpret([y], { x: set.images(batch), rows });
        return Array.from(batch, (index, b) => {
          targets.push(...set.targets.subarray(3 * index, 3 * index + 3));
          return images.push([...seen!.subarray(32 * b, 32 * b + 32)]) - 1;
        });
      });
      const flat = (indices: ArrayLike<number>): Float32Array =>
        Float32Array.from(Array.from(indices).flatMap((i) => images[i]!));
      const { length: count } = images;
      return { set: { count, images: flat, targets: Float32Array.from(targets) }, batches };
    }

    it.each([
      ["SGD", undefined],
      ["GSAM", { rho: 0.05, alpha: 0.3, adaptive: true }],
    ] as const)("goes by %s as a plain loop on such images does", async (_, gsam) => {
      using trainer = await Trainer.compile(gpu(), model, set, 3, { gsam, augmentation });
      trainer.reset(start);
      trainer.train(order, settings, draws());
      const { set: seen, batches } = augmentedSet(draws());
      const plain = new PlainTrainer(model, seen, start, gsam);
      plain.train(batches, settings);
      expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(2e-6);
      expect((await trainer.takeLoss()) / plain.lossSum).toBeCloseTo(1, 5);
    });

    it("repeats itself bit for bit from the same draws, however its steps are divided", async () => {
      using trainer = await Trainer.compile(gpu(), model, set, 3, { augmentation });
      const trained = async (random: Random, ...parts: (typeof long)[]) => {
        trainer.reset(start);
        for (const part of parts) trainer.train(part, settings, random);
        return trainer.theta();
      };
      const once = await trained(draws(), long);
      expect(once.every(Number.isFinite)).toBe(true);
      expect(await trained(draws(), long.slice(0, 7), long.slice(7))).toEqual(once);
      expect(await trained(new Random(13), long)).not.toEqual(once);
    });

    it("needs something to draw from", async () => {
      using trainer = await Trainer.compile(gpu(), model, set, 3, { augmentation });
      trainer.reset(start);
      expect(() => trainer.train(order, settings)).toThrow(
        new RangeError("trainer: augmentations must be drawn from some stream, got none"),
      );
    });
  });

  it("goes on with another set of as many images, and refuses one of other size", async () => {
    const settings = { lr: 0.1, momentum: 0, weightDecay: 0 };
    const other = setOf(model, COUNT, 9);
    using trainer = await Trainer.compile(gpu(), model, set, 3);
    trainer.reset(start);
    trainer.train(order, settings);
    trainer.use(other);
    trainer.reset(start);
    trainer.train(order, settings);
    const plain = new PlainTrainer(model, other, start);
    plain.train(order, settings);
    expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(1e-6);
    expect(() => trainer.use(setOf(model, COUNT + 1, 9))).toThrow(
      new RangeError("trainer: a set must have 8 images as before, got 9"),
    );
  });

  it("takes minibatches of the whole set where they are to be larger", async () => {
    using trainer = await Trainer.compile(gpu(), model, set, 100);
    expect(trainer.batch).toBe(COUNT);
    const all = [Uint32Array.from({ length: COUNT }, (_, i) => i)];
    const settings = { lr: 0.1, momentum: 0, weightDecay: 0 };
    const plain = new PlainTrainer(model, set, start);
    trainer.reset(start);
    for (const run of [trainer, plain]) run.train(all, settings);
    expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(1e-6);
  });

  it("brings in the images of its minibatches where the device does not hold all", async () => {
    // 64 MiB of 32×32 pixels are 16384 images.
    const large = buildModel("ConvNetD1W2", { channels: 1, size: 32, classes: 2 });
    const count = 16_500;
    const many = setOf(large, count, 5);
    const theta = initialise(large, new Random(6));
    const batches = [[0, 16_499], [16_384], [7, 16_383]];
    const settings = { lr: 0.1, momentum: 0.9, weightDecay: 0.01 };
    using trainer = await Trainer.compile(gpu(), large, many, 2);
    const plain = new PlainTrainer(large, many, theta);
    trainer.reset(theta);
    for (const some of [batches.slice(0, 2), batches.slice(2)]) {
      trainer.train(some, settings);
      plain.train(some, settings);
    }
    expect(relativeError(await trainer.theta(), plain.theta)).toBeLessThan(1e-6);
  });
});

describe("logits", () => {
  it.each([1, 256, 300])("of %i images come in their order", async (count) => {
    const set = setOf(model, count, 7);
    const theta = initialise(model, new Random(8));
    using trainer = await Trainer.compile(gpu(), model, set, 1);
    trainer.reset(theta);
    const got = await trainer.logits((indices) => set.images(indices), count);
    const x = variable("x", [count, 2, 4, 4]);
    const z = model.forward(splitParameters(model, variable("theta", [model.size])), x);
    const images = set.images(Array.from({ length: count }, (_, i) => i));
    const [want] = interpret([z], { theta, x: images });
    expect(got.length).toBe(3 * count);
    expect(relativeError(got, want!)).toBeLessThan(1e-6);
  });
});

describe("what is made of logits and labels", () => {
  it("the predicted class is the place of the largest logit, the first of equal ones", () => {
    const logits = Float32Array.of(1, 2, 0, -3, -1, -2, 5, 5, 5, 0, 7, 7);
    expect([...predictedClasses(logits, 3)]).toEqual([1, 1, 0, 1]);
  });

  it("accuracy is the fraction of rows whose largest logit is at the label", () => {
    const logits = Float32Array.of(1, 0, 0, 1, 2, 3, 5, 4);
    expect(accuracy(logits, [0, 1, 1, 0])).toBe(1);
    expect(accuracy(logits, [0, 0, 1, 0])).toBe(0.75);
    expect(accuracy(logits, Uint8Array.of(1, 0, 0, 1))).toBe(0);
  });

  it("hard targets have one 1 a row", () => {
    expect([...hardTargets([2, 0], 3)]).toEqual([0, 0, 1, 1, 0, 0]);
  });

  it("soft targets are the softmax of each row, of any size of logits", () => {
    expect([...softTargets(Float32Array.of(0, 0, 0, 0, 1000, -1000, 0, 1000), 4)]).toEqual([
      ...[0.25, 0.25, 0.25, 0.25],
      ...[0.5, 0, 0, 0.5],
    ]);
    const [a, b] = softTargets(Float32Array.of(Math.log(3), 0), 2);
    expect([a, b]).toEqual([expect.closeTo(0.75, 7), expect.closeTo(0.25, 7)]);
  });

  it("minibatches cut an order into pieces, the last of what is left", () => {
    const order = Uint32Array.of(4, 1, 3, 0, 2);
    expect(minibatches(order, 2).map((batch) => [...batch])).toEqual([[4, 1], [3, 0], [2]]);
    expect(minibatches(order, 5).map((batch) => [...batch])).toEqual([[4, 1, 3, 0, 2]]);
    expect(minibatches(order, 9).map((batch) => [...batch])).toEqual([[4, 1, 3, 0, 2]]);
  });
});
