/** @file The in-memory split of raw pixels, and what is computed of it. */
import { describe, expect, it } from "vitest";

import { byteSplit, channelStatistics } from "../../../distill/data/dataset.ts";

const shape = { channels: 2, height: 1, width: 2 };
const pixels = Uint8Array.of(0, 255, 51, 102, 255, 255, 0, 204, 10, 20, 30, 40);
const labels = Uint8Array.of(1, 0, 1);
const split = byteSplit({ ...shape, pixels, labels, levels: 255 });

describe("byteSplit", () => {
  it("gives raw pixels in the order asked for", () => {
    const images = split.images([1, 0]);
    const expected = [1, 1, 0, 0.8, 0, 1, 0.2, 0.4];
    expect(images.length).toBe(8);
    expected.forEach((v, i) => expect(images[i]).toBeCloseTo(v, 6));
  });

  it("writes into the array it is given", () => {
    const out = new Float32Array(4);
    expect(split.images([2], out)).toBe(out);
    expect(out[0]).toBe(Math.fround(10 / 255));
  });

  it("refuses indices and arrays that do not fit", () => {
    expect(() => split.images([3])).toThrow("images: every index must be in 0..2, got 3");
    expect(() => split.images([-1])).toThrow("got -1");
    expect(() => split.images([0.5])).toThrow("got 0.5");
    expect(() => split.images([0], new Float32Array(3))).toThrow(
      "images: out must hold 4 values, got 3",
    );
  });

  it("refuses bytes that do not fit its labels", () => {
    const source = { ...shape, pixels, labels, levels: 255 };
    expect(() => byteSplit({ ...source, labels: Uint8Array.of(1) })).toThrow(
      "byteSplit: pixels must hold 1 images of 4 bytes, got 12 bytes",
    );
  });
});

describe("channelStatistics", () => {
  it("finds mean and standard deviation of each channel", () => {
    const raw = byteSplit({ ...shape, pixels, labels, levels: 255 });
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
      levels: 255,
      pixels: new Uint8Array(0),
      labels: new Uint8Array(0),
    });
    expect(() => channelStatistics(empty, shape)).toThrow("must not be empty");
  });
});
