/** @file A small distilled set, normalised or whitened, for the tests of its other files. */
import type { Whitening } from "../../../distill/data/preprocess.ts";
import type { DistilledFile } from "../../../distill/distilled.ts";

const meta = {
  dataset: "digits",
  classes: ["T-shirt/top", 'the "second"'],
  ipc: 2,
  network: "ConvNetD2",
  width: 16,
  augmentation: "none",
};

/** Two images of each of two classes, three channels of 2×1 pixels, which lie in [0, 1] as raw pixels. */
export const sample: DistilledFile = {
  images: Float32Array.from({ length: 24 }, (_, i) => (i / 24 - 0.5) * 2),
  labels: Float32Array.of(1.5, -1.5, 0.25, 0.5, -3, 2, 7, 6),
  lr: Math.fround(0.05),
  shape: [4, 3, 2, 1],
  meta: {
    ...meta,
    seed: 7,
    preprocessing: { kind: "normalise", mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.25] },
  },
};

/** A whitening that doubles, and adds half of the next value. */
const whitening = (): Whitening => {
  const whiten = new Float32Array(36);
  const colour = new Float32Array(36);
  for (let i = 0; i < 6; i++) {
    whiten[7 * i] = 2;
    colour[7 * i] = 0.5;
  }
  return { kind: "zca", mean: new Float32Array(6).fill(0.5), whiten, colour, eps: 0.1 };
};

export const whitened: DistilledFile = { ...sample, meta: { ...meta, preprocessing: whitening() } };
