/** @file A source comes into the networks' input space, and pictures come back. */
import { describe, expect, it } from "vitest";

import { byteSplit, channelStatistics, type Source } from "../../../distill/data/dataset.ts";
import { fromPixels, normalise, toPixels } from "../../../distill/data/preprocess.ts";

const shape = { channels: 2, height: 1, width: 2 };
const pixels = Uint8Array.of(0, 255, 51, 102, 255, 255, 0, 204, 10, 20, 30, 40);
const half = byteSplit({ ...shape, pixels, labels: Uint8Array.of(1, 0, 1), levels: 255 });
const normalisation = { mean: [0.5, 0.2], std: [0.25, 0.5] };
const source: Source = {
  ...{ name: "three", id: "3", classes: ["a", "b"], ...shape, train: half, test: half },
};

describe("normalise", () => {
  it("normalises each channel by its own constants, into the array it is given", () => {
    const { train, preprocessing } = normalise({ ...source, normalisation });
    expect(preprocessing).toEqual({ kind: "normalise", ...normalisation });
    const out = new Float32Array(8);
    expect(train.images([1, 0], out)).toBe(out);
    const expected = [2, 2, -0.4, 1.2, -2, 2, 0, 0.4];
    expected.forEach((v, i) => expect(out[i]).toBeCloseTo(v, 6));
  });

  it("computes the constants of the training pixels where none are published", () => {
    const dataset = normalise(source);
    const { mean, std } = channelStatistics(dataset.train, shape);
    for (const c of [0, 1]) {
      expect(mean[c]).toBeCloseTo(0, 6);
      expect(std[c]).toBeCloseTo(1, 6);
    }
  });

  it("refuses constants that do not fit the channels", () => {
    const wrong = (mean: number[], std: number[]) => () =>
      normalise({ ...source, normalisation: { mean, std } });
    expect(wrong([0], [1, 1])).toThrow("got 1 and 2");
    expect(wrong([0, 0], [1, 0])).toThrow("std must be above 0, got 0");
  });
});

describe("toPixels", () => {
  const { preprocessing, train } = normalise({ ...source, normalisation });

  it("undoes the preprocessing and clamps nothing", () => {
    const raw = toPixels(train.images([0, 1, 2]), preprocessing, shape);
    raw.forEach((v, i) => expect(v).toBeCloseTo(pixels[i]! / 255, 6));
    const wild = toPixels(Float32Array.of(10, 0, 0, 0), preprocessing, shape);
    expect(wild[0]).toBeCloseTo(3, 6);
  });

  it("colours whitened images again", () => {
    const mean = Float32Array.of(0.1, 0.2, 0.3, 0.4);
    const colour = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 2 : i < 4 ? i : 0));
    const whiten = new Float32Array(16);
    const zca = { kind: "zca", mean, whiten, colour, eps: 0.1 } as const;
    const raw = toPixels(Float32Array.of(1, 0, 0, 0, 0, 1, 2, 3), zca, shape);
    const expected = [2.1, 0.2, 0.3, 0.4, 14.1, 2.2, 4.3, 6.4];
    expected.forEach((v, i) => expect(raw[i]).toBeCloseTo(v, 5));
    expect(() => toPixels(new Float32Array(3), zca, { ...shape, channels: 1, width: 3 })).toThrow(
      "whitening: it must be of images of 3 values, got one of 4",
    );
  });

  it("refuses a length that is not whole images", () => {
    expect(() => toPixels(new Float32Array(5), preprocessing, shape)).toThrow(
      "toPixels: images must be [N, 2, 1, 2], got 5 values",
    );
  });
});

describe("fromPixels", () => {
  const raw = Float32Array.of(0, 1, 0.2, 0.4, 1, 1, 0, 0.8);

  it("normalises as a data set does", () => {
    const { preprocessing, train } = normalise({ ...source, normalisation });
    expect(fromPixels(raw, preprocessing, shape)).toEqual(train.images([0, 1]));
  });

  it("whitens: the pixels less their mean times W", () => {
    const mean = Float32Array.of(0.5, 0.25, 0, 0);
    // Symmetric, as W is.
    const whiten = Float32Array.of(2, 1, 0, 0, 1, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 4);
    const zca = { kind: "zca", mean, whiten, colour: new Float32Array(16), eps: 0.1 } as const;
    const expected = [-0.25, 1.75, 0.2, 1.6, 1.75, 2.75, 0, 3.2];
    fromPixels(raw, zca, shape).forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 6));
  });

  it("refuses what toPixels refuses", () => {
    const { preprocessing } = normalise({ ...source, normalisation });
    expect(() => fromPixels(new Float32Array(5), preprocessing, shape)).toThrow(
      "fromPixels: images must be [N, 2, 1, 2], got 5 values",
    );
    expect(() => fromPixels(raw, preprocessing, { ...shape, channels: 1 })).toThrow(
      "normalisation: mean and std must have one value for each of 1 channels, got 2 and 2",
    );
  });
});
