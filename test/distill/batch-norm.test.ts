/** @file Batch norms under training, against loops in float64: statistics that run along, and evaluation by them. */

import { beforeAll, describe, expect, it } from "vitest";

import { Random } from "../../engine/index.ts";
import { buildModel, initialise } from "../../models/index.ts";
import { Trainer, type TrainingSet } from "../../distill/training/train.ts";
import { softTargets } from "../../distill/labels.ts";
import { relativeError } from "../golden/fill.ts";
import { sharedGpu } from "../support/gpu.ts";

const [CHANNELS, SIZE, WIDTH, CLASSES, COUNT] = [2, 4, 3, 3, 8];
const PIXELS = SIZE * SIZE;
const model = buildModel(`ConvNetD1W${WIDTH}BN`, {
  channels: CHANNELS,
  size: SIZE,
  classes: CLASSES,
});

const random = new Random(1);
/** Off centre and of unequal width, so that statistics are neither 0 nor 1. */
const pixels = Float32Array.from({ length: COUNT * CHANNELS * PIXELS }, (_, i) => {
  return random.normal() * (1 + (Math.floor(i / PIXELS) % CHANNELS)) + 0.7;
});
const image = (i: number): Float32Array =>
  pixels.subarray(i * CHANNELS * PIXELS, (i + 1) * CHANNELS * PIXELS);
const set: TrainingSet = {
  count: COUNT,
  images: (indices) => Float32Array.from(Array.from(indices).flatMap((i) => [...image(i)])),
  targets: softTargets(random.fill(COUNT * CLASSES, -2, 2), CLASSES),
};
const ALL = Array.from({ length: COUNT }, (_, i) => i);

/** θ in its parts: kernels, biases, scales, shifts, weights of the classifier, its biases. */
function parts(theta: ArrayLike<number>): number[][] {
  let at = 0;
  return model.parameters.map(({ shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return Array.from(theta).slice(at, (at += size));
  });
}

/** The convolution of an image, `[WIDTH][PIXELS]`. */
function convolved(x: ArrayLike<number>, theta: ArrayLike<number>): number[][] {
  const [kernels, biases] = parts(theta) as [number[], number[]];
  return Array.from({ length: WIDTH }, (_, o) =>
    Array.from({ length: PIXELS }, (__, p) => {
      let sum = biases[o]!;
      for (let c = 0; c < CHANNELS; c++)
        for (let r = 0; r < 3; r++)
          for (let q = 0; q < 3; q++) {
            const [h, w] = [Math.floor(p / SIZE) + r - 1, (p % SIZE) + q - 1];
            if (h >= 0 && h < SIZE && w >= 0 && w < SIZE)
              sum += x[c * PIXELS + h * SIZE + w]! * kernels[((o * CHANNELS + c) * 3 + r) * 3 + q]!;
          }
      return sum;
    }),
  );
}

/** Means and unbiased variances of the convolutions of some images, as they lie in the buffers. */
function statistics(indices: ArrayLike<number>, theta: ArrayLike<number>): number[] {
  const planes = Array.from(indices, (i) => convolved(image(i), theta));
  const values = Array.from({ length: WIDTH }, (_, o) => planes.flatMap((plane) => plane[o]!));
  const means = values.map((v) => v.reduce((a, b) => a + b) / v.length);
  const variances = values.map(
    (v, o) => v.reduce((a, b) => a + (b - means[o]!) ** 2, 0) / (v.length - 1),
  );
  return [...means, ...variances];
}

/** Logits of an image by running statistics. */
function evaluated(x: ArrayLike<number>, theta: ArrayLike<number>, running: ArrayLike<number>) {
  const [scales, shifts, weights, offsets] = parts(theta).slice(2);
  const half = SIZE / 2;
  const pooled = convolved(x, theta).flatMap((plane, o) => {
    const deviation = Math.sqrt(running[WIDTH + o]! + 1e-5);
    const y = plane.map((v) => {
      return Math.max(0, ((v - running[o]!) / deviation) * scales![o]! + shifts![o]!);
    });
    return Array.from({ length: half * half }, (_, p) => {
      const corner = 2 * Math.floor(p / half) * SIZE + 2 * (p % half);
      return [0, 1, SIZE, SIZE + 1].reduce((sum, k) => sum + y[corner + k]!, 0) / 4;
    });
  });
  return offsets!.map(
    (offset, k) =>
      offset + pooled.reduce((sum, v, f) => sum + v * weights![k * pooled.length + f]!, 0),
  );
}

const runningOf = async (trainer: Trainer): Promise<Float32Array> =>
  (await trainer.state()).running;

const gpu = sharedGpu();

describe("batch norms under training", () => {
  const settings = { lr: 0.05, momentum: 0.9, weightDecay: 0.01 };
  const start = initialise(model, new Random(2));
  /** The last minibatch is short. */
  const batches = [
    [5, 2, 7],
    [0, 1, 6],
    [4, 3],
  ];
  const fresh = [...new Array<number>(WIDTH).fill(0), ...new Array<number>(WIDTH).fill(1)];
  let trainer: Trainer;
  beforeAll(async () => {
    trainer = await Trainer.compile(gpu(), model, set, 3);
    return () => trainer[Symbol.dispose]();
  });

  it("have running statistics that start at 0 and 1 and take up a tenth of each minibatch's", async () => {
    trainer.reset(start);
    expect([...(await runningOf(trainer))]).toEqual(fresh);
    let expected = fresh;
    for (const batch of [...batches, ...batches]) {
      const met = statistics(batch, await trainer.theta());
      trainer.train([batch], settings);
      expected = expected.map((r, i) => 0.9 * r + 0.1 * met[i]!);
      expect(relativeError(await runningOf(trainer), expected)).toBeLessThan(1e-6);
    }
    trainer.reset(start);
    expect([...(await runningOf(trainer))]).toEqual(fresh);
  });

  it("go on with the statistics of a state that is restored", async () => {
    trainer.reset(start);
    trainer.train(batches, settings);
    const state = await trainer.state();
    trainer.train(batches, settings);
    const after = await trainer.state();
    trainer.reset(start);
    trainer.restore(state);
    trainer.train(batches, settings);
    expect(await trainer.state()).toEqual(after);
  });

  it("are evaluated by them, each image by itself", async () => {
    trainer.reset(start);
    trainer.train([...batches, ...batches], settings);
    const [theta, running] = [await trainer.theta(), await runningOf(trainer)];
    const expected = ALL.flatMap((i) => evaluated(image(i), theta, running));
    const logits = await trainer.logits((indices) => set.images(indices), COUNT);
    expect(relativeError(logits, expected)).toBeLessThan(1e-6);
    const alone = await trainer.logits(() => image(3), 1);
    expect([...alone]).toEqual([...logits.subarray(3 * CLASSES, 4 * CLASSES)]);
  });

  it("have statistics of the whole set after a survey, whatever they were before", async () => {
    trainer.reset(start);
    trainer.train(batches, settings);
    const theta = await trainer.theta();
    trainer.survey();
    expect(await trainer.theta()).toEqual(theta);
    // Each image is met 32 times.
    const values = 256 * PIXELS;
    const once = COUNT * PIXELS;
    const factor = (values / (values - 1)) * ((once - 1) / once);
    const expected = statistics(ALL, theta).map((s, i) => (i < WIDTH ? s : s * factor));
    expect(relativeError(await runningOf(trainer), expected)).toBeLessThan(1e-6);
  });
});

describe("a network without batch norm", () => {
  it("has no running statistics, and a survey changes nothing", async () => {
    const plain = buildModel("ConvNetD1W2", model.task);
    using trainer = await Trainer.compile(gpu(), plain, set, 2);
    const theta = initialise(plain, new Random(3));
    trainer.reset(theta);
    trainer.survey();
    expect(await runningOf(trainer)).toEqual(new Float32Array());
    expect(await trainer.theta()).toEqual(theta);
  });
});
