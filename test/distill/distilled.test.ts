/** @file Distilled sets as files: round trip, what others find in them, and refusal of anything else. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Dataset } from "../../distill/data/dataset.ts";
import type { Preprocessing, Whitening } from "../../distill/data/preprocess.ts";
import {
  checkPreprocessing,
  readDistilled,
  writeDistilled,
  type DistilledFile,
} from "../../distill/distilled.ts";
import { FileError } from "../../distill/files.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type StoredTensor,
} from "../../distill/formats/safetensors.ts";

const described = {
  dataset: "digits",
  classes: ["zero", "one"],
  ipc: 2,
  network: "ConvNetD2",
  width: 16,
  augmentation: "color_crop",
};
/** Two images a class of two classes, two channels of 1×3 pixels. */
const set: DistilledFile = {
  images: Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)),
  labels: Float32Array.from({ length: 8 }, (_, i) => Math.cos(i)),
  lr: Math.fround(0.05),
  shape: [4, 2, 1, 3],
  meta: {
    ...described,
    seed: 7,
    accuracy: { mean: 0.5, std: 0.25, seeds: 3 },
    preprocessing: { kind: "normalise", mean: [0.25, 0.5], std: [0.125, 1] },
  },
};
const matrix = (from: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: 36 }, (_, i) => from + i);
const whitening: Whitening = {
  kind: "zca",
  mean: Float32Array.of(0, 1, 2, 3, 4, 5),
  whiten: matrix(10),
  colour: matrix(100),
  eps: 0.1,
};

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-distilled-"));
  path = join(folder, "distilled-ipc2.safetensors");
  writeDistilled(path, set);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Writes the file anew with other tensors or metadata; undefined leaves one out. */
function rewrite(
  tensors: Record<string, StoredTensor | undefined>,
  metadata: Record<string, string | undefined> = {},
): void {
  const file = decodeSafetensors(readFileSync(path), path);
  const kept = <T>(values: Record<string, T | undefined>): Record<string, T> =>
    Object.fromEntries(
      Object.entries(values).filter((entry): entry is [string, T] => entry[1] !== undefined),
    );
  const bytes = encodeSafetensors(
    kept({ ...file.tensors, ...tensors }),
    kept({ ...file.metadata, ...metadata }),
  );
  writeFileSync(path, bytes);
}

const f32 = (wanted: readonly number[], value: (i: number) => number = (i) => i): StoredTensor => ({
  dtype: "F32",
  shape: wanted,
  data: Float32Array.from({ length: wanted.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
});

describe("a distilled set", () => {
  it("comes back from its file as it was written", () => {
    expect(readDistilled(path)).toEqual(set);
  });

  it("comes back with its whitening, and without what nobody measured", () => {
    const white = { ...set, meta: { ...described, preprocessing: whitening } };
    writeDistilled(path, white);
    expect(readDistilled(path)).toEqual(white);
  });

  it("is an ordinary safetensors file of F32 tensors, its metadata JSON values", () => {
    const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
    expect({ ...tensors }).toEqual({
      images: { dtype: "F32", shape: [4, 2, 1, 3], data: set.images },
      labels: { dtype: "F32", shape: [4, 2], data: set.labels },
      lr: { dtype: "F32", shape: [1], data: Float32Array.of(0.05) },
    });
    expect({ ...metadata }).toEqual({
      format: '"potstill-distilled"',
      version: "1",
      dataset: '"digits"',
      classes: '["zero","one"]',
      ipc: "2",
      network: '"ConvNetD2"',
      width: "16",
      seed: "7",
      augmentation: '"color_crop"',
      accuracy: '{"mean":0.5,"std":0.25,"seeds":3}',
      preprocessing: '"normalise"',
      mean: "[0.25,0.5]",
      std: "[0.125,1]",
    });
  });

  it("suits data that are preprocessed as it was, and no others", () => {
    const refusal = (must: Preprocessing, got: Preprocessing) => () =>
      checkPreprocessing(
        { ...set, meta: { ...set.meta, preprocessing: must } },
        { preprocessing: got } as Dataset,
        "f",
      );
    const { preprocessing } = set.meta;
    const near = { ...whitening, mean: whitening.mean.map((v) => v + 1e-4) };
    expect(refusal(preprocessing, preprocessing)).not.toThrow();
    expect(refusal(whitening, near)).not.toThrow();
    expect(refusal(whitening, preprocessing)).toThrow(
      "f: the data set must be preprocessed as the distilled set was (zca with eps 0.1), got mean 0.25, 0.5, std 0.125, 1",
    );
    const other = { kind: "normalise", mean: [0.25, 0.5], std: [0.125, 2] } as const;
    expect(refusal(preprocessing, other)).toThrow("got mean 0.25, 0.5, std 0.125, 2");
    expect(refusal(whitening, { ...whitening, eps: 0.2 })).toThrow("got zca with eps 0.2");
    const shifted = { ...whitening, mean: whitening.mean.map((v) => v + 0.1) };
    expect(refusal(whitening, shifted)).toThrow(FileError);
  });

  it("gives the same bytes each time", () => {
    const bytes = readFileSync(path);
    writeDistilled(path, set);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });
});

describe("reading a distilled set refuses", () => {
  /** The one sentence, which names the file. */
  function refusal(): string {
    try {
      readDistilled(path);
    } catch (error) {
      expect(error).toBeInstanceOf(FileError);
      const { message } = error as FileError;
      expect(message.startsWith(`${path}: `)).toBe(true);
      expect(message).not.toContain("\n");
      return message.slice(path.length + 2);
    }
    throw new Error("must be refused, got read");
  }

  it("a file that is not there", () => {
    rmSync(path);
    expect(refusal()).toBe("must exist, got no such file (ENOENT)");
  });

  it("a file cut anywhere, or with anything after its end", () => {
    const bytes = readFileSync(path);
    for (let length = 0; length < bytes.length; length += 13) {
      writeFileSync(path, bytes.subarray(0, length));
      expect(refusal()).toMatch(/ must .*, got /);
    }
    writeFileSync(path, Buffer.concat([bytes, Buffer.of(0)]));
    expect(refusal()).toMatch(/^the file must have \d+ bytes as its header says, got \d+$/);
  });

  it.each<[string, Record<string, StoredTensor | undefined>, string]>([
    ["no images", { images: undefined }, "tensor images must be F32 [4, C, H, W], got none"],
    ["no labels", { labels: undefined }, "tensor labels must be F32 [4, 2], got none"],
    ["no learning rate", { lr: undefined }, "tensor lr must be F32 [1], got none"],
    ["flat images", { images: f32([4, 6]) }, "tensor images must be F32 [4, C, H, W], got [4, 6]"],
    [
      "more images than its metadata say",
      { images: f32([5, 2, 1, 3]) },
      "tensor images must be F32 [4, C, H, W], got [5, 2, 1, 3]",
    ],
    [
      "class numbers for labels",
      { labels: { dtype: "I32", shape: [4, 1], data: new Int32Array(4) } },
      "tensor labels must be F32 [4, 2], got none",
    ],
    [
      "labels of other classes",
      { labels: f32([4, 3]) },
      "tensor labels must be F32 [4, 2], got [4, 3]",
    ],
    [
      "another number of channels",
      { images: f32([4, 1, 2, 3]) },
      "mean and std must have one value for each of 1 channels, got others",
    ],
    [
      "an image that is not a number",
      { images: f32([4, 2, 1, 3], (i) => (i === 23 ? NaN : 0)) },
      "values of images must be finite, got others",
    ],
    [
      "an infinite label",
      { labels: f32([4, 2], (i) => (i === 7 ? Infinity : 0)) },
      "values of labels must be finite, got others",
    ],
    ["a learning rate of 0", { lr: f32([1], () => 0) }, "lr must be above 0, got 0"],
    ["a learning rate below 0", { lr: f32([1], () => -1) }, "lr must be above 0, got -1"],
    [
      "an infinite learning rate",
      { lr: f32([1], () => Infinity) },
      "values of lr must be finite, got others",
    ],
  ])("a file with %s", (_, tensors, message) => {
    rewrite(tensors);
    expect(refusal()).toBe(message);
  });

  it.each<[Record<string, StoredTensor | undefined>, string]>([
    [{ zca_whiten: undefined }, "tensor zca_whiten must be F32 [6, 6], got none"],
    [{ zca_mean: f32([5]) }, "tensor zca_mean must be F32 [6], got [5]"],
    [{ zca_colour: f32([36]) }, "tensor zca_colour must be F32 [6, 6], got [36]"],
  ])("a damaged whitening: %j", (tensors, message) => {
    writeDistilled(path, { ...set, meta: { ...set.meta, preprocessing: whitening } });
    rewrite(tensors);
    expect(refusal()).toBe(message);
  });

  it.each<[string, string | undefined, string]>([
    ["format", undefined, 'metadata format must be "potstill-distilled", got none'],
    [
      "format",
      '"potstill-trajectory"',
      'metadata format must be "potstill-distilled", got "potstill-trajectory"',
    ],
    ["version", "2", "must be of format version 1, got 2; read it with the potstill that wrote it"],
    ["dataset", undefined, "metadata dataset must be text, got none"],
    ["dataset", "digits", "metadata dataset must be text, got digits"],
    ["classes", "[]", "metadata classes must be a list of names, got []"],
    ["classes", '"01"', 'metadata classes must be a list of names, got "01"'],
    ["ipc", "0", "metadata ipc must be a whole number from 1, got 0"],
    ["ipc", '"2"', 'metadata ipc must be a whole number from 1, got "2"'],
    ["network", "7", "metadata network must be text, got 7"],
    ["width", "1.5", "metadata width must be a whole number from 1, got 1.5"],
    ["seed", '"7"', 'metadata seed must be a whole number, got "7"'],
    [
      "accuracy",
      "90",
      "metadata accuracy must be mean and std in 0..1 and a number of seeds, got 90",
    ],
    ["preprocessing", undefined, "metadata preprocessing must be normalise or zca, got none"],
    ["preprocessing", '"pca"', 'metadata preprocessing must be normalise or zca, got "pca"'],
    ["preprocessing", '"zca"', "metadata eps must be a number, got none"],
    ["mean", "[0.5]", "mean and std must have one value for each of 2 channels, got others"],
    ["mean", "0.5", "metadata mean must be a list of numbers, got 0.5"],
    ["std", '[1, "1"]', 'metadata std must be a list of numbers, got [1, "1"]'],
    ["std", "[1, 1", "metadata std must be a list of numbers, got [1, 1"],
  ])("a file whose %s is %j", (key, value, message) => {
    rewrite({}, { [key]: value });
    expect(refusal()).toBe(message);
  });
});
