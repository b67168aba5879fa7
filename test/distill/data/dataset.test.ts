/** @file Normalisation and the in-memory split. */
import { describe, expect, it } from "vitest";

import { byteSplit, channelStatistics, denormalise } from "../../../distill/data/dataset.ts";

const shape = { channels: 2, height: 1, width: 2 };
const pixels = Uint8Array.of(0, 255, 51, 102, 255, 255, 0, 204, 10, 20, 30, 40);
const labels = Uint8Array.of(1, 0, 1);
const normalisation = { mean: [0.5, 0.2], std: [0.25, 0.5] };
const split = byteSplit({ ...shape, ...normalisation, pixels, labels, levels: 255 });

describe("byteSplit", () => {
  it("gives images in the order asked for, each channel normalised by its own constants", () => {
    const images = split.images([1, 0]);
    const expected = [2, 2, -0.4, 1.2, -2, 2, 0, 0.4];
    expect(images.length).toBe(8);
    expected.forEach((v, i) => expect(images[i]).toBeCloseTo(v, 6));
  });

  it("writes into the array it is given", () => {
    const out = new Float32Array(4);
    expect(split.images([2], out)).toBe(out);
    expect(out[0]).toBe(Math.fround((10 / 255 - 0.5) / 0.25));
  });

  it("refuses indices and arrays that do not fit", () => {
    expect(() => split.images([3])).toThrow("images: every index must be in 0..2, got 3");
    expect(() => split.images([-1])).toThrow("got -1");
    expect(() => split.images([0.5])).toThrow("got 0.5");
    expect(() => split.images([0], new Float32Array(3))).toThrow(
      "images: out must hold 4 values, got 3",
    );
  });

  it("refuses bytes and constants that do not fit its labels and channels", () => {
    const source = { ...shape, ...normalisation, pixels, labels, levels: 255 };
    expect(() => byteSplit({ ...source, labels: Uint8Array.of(1) })).toThrow(
      "byteSplit: pixels must hold 1 images of 4 bytes, got 12 bytes",
    );
    expect(() => byteSplit({ ...source, mean: [0] })).toThrow("got 1 and 2");
    expect(() => byteSplit({ ...source, std: [1, 0] })).toThrow("std must be above 0, got 0");
  });
});

describe("denormalise", () => {
  it("undoes normalisation and clamps nothing", () => {
    const raw = denormalise(split.images([0, 1, 2]), { ...shape, ...normalisation });
    raw.forEach((v, i) => expect(v).toBeCloseTo(pixels[i]! / 255, 6));
    const wild = denormalise(Float32Array.of(10, 0, 0, 0), { ...shape, ...normalisation });
    expect(wild[0]).toBeCloseTo(3, 6);
  });

  it("refuses a length that is not whole images", () => {
    expect(() => denormalise(new Float32Array(5), { ...shape, ...normalisation })).toThrow(
      "denormalise: images must be [N, 2, 1, 2], got 5 values",
    );
  });
});

describe("channelStatistics", () => {
  it("finds mean and standard deviation of each channel", () => {
    const raw = byteSplit({ ...shape, mean: [0, 0], std: [1, 1], pixels, labels, levels: 255 });
    const { mean, std } = channelStatistics(raw, shape);
    const channels = [
      [0, 255, 255, 255, 10, 20],
      [51, 102, 0, 204, 30, 40],
    ];
    channels.forEach((bytes, c) => {
      const m = bytes.reduce((a, b) => a + b) / bytes.length;
      const variance = bytes.reduce((a, b) => a + (b - m) ** 2, 0) / bytes.length;
      expect(mean[c]).toBeCloseTo(m / 255, 7);
      expect(std[c]).toBeCloseTo(Math.sqrt(variance) / 255, 7);
    });
  });

  it("crosses chunk borders and copes with a constant channel", () => {
    const one = { channels: 1, height: 1, width: 1 };
    const many = byteSplit({
      ...one,
      mean: [0],
      std: [1],
      levels: 10,
      pixels: new Uint8Array(1000).fill(7),
      labels: new Uint8Array(1000),
    });
    const { mean, std } = channelStatistics(many, one);
    expect(mean[0]).toBeCloseTo(0.7, 7);
    expect(std[0]).toBe(0);
  });

  it("refuses an empty split", () => {
    const empty = byteSplit({
      ...shape,
      ...normalisation,
      levels: 255,
      pixels: new Uint8Array(0),
      labels: new Uint8Array(0),
    });
    expect(() => channelStatistics(empty, shape)).toThrow("must not be empty");
  });
});
