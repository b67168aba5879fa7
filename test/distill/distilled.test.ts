/** @file Distilled sets as files: round trip, what others find in them, and refusal of anything else. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readDistilled, writeDistilled, type DistilledMeta } from "../../distill/distilled.ts";
import { FileError } from "../../distill/files.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type StoredTensor,
} from "../../distill/safetensors.ts";

const meta: DistilledMeta = {
  dataset: "digits",
  ipc: 2,
  network: "ConvNetD2",
  width: 16,
  mean: [0.25, 0.5],
  std: [0.125, 1],
};
/** Two images a class of two classes, two channels of 1×3 pixels. */
const shape = [4, 2, 1, 3];
const set = {
  images: Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)),
  labels: Float32Array.from({ length: 8 }, (_, i) => Math.cos(i)),
  lr: Math.fround(0.05),
};

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-distilled-"));
  path = join(folder, "distilled-ipc2.safetensors");
  writeDistilled(path, set, shape, meta);
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
    expect(readDistilled(path)).toEqual({ ...set, shape, meta });
  });

  it("is an ordinary safetensors file of F32 tensors, its metadata JSON values", () => {
    const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
    expect({ ...tensors }).toEqual({
      images: { dtype: "F32", shape: [4, 2, 1, 3], data: set.images },
      labels: { dtype: "F32", shape: [4, 2], data: set.labels },
      lr: { dtype: "F32", shape: [1], data: Float32Array.of(0.05) },
    });
    expect({ ...metadata }).toEqual({
      dataset: '"digits"',
      ipc: "2",
      network: '"ConvNetD2"',
      width: "16",
      mean: "[0.25,0.5]",
      std: "[0.125,1]",
    });
  });

  it("gives the same bytes each time", () => {
    const bytes = readFileSync(path);
    writeDistilled(path, set, shape, meta);
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
    ["no images", { images: undefined }, "tensor images must be F32 with 4 axes, got none"],
    ["no labels", { labels: undefined }, "tensor labels must be F32 with 2 axes, got none"],
    ["no learning rate", { lr: undefined }, "tensor lr must be F32 with 1 axes, got none"],
    [
      "flat images",
      { images: f32([4, 6]) },
      "tensor images must be F32 with 4 axes, got F32 [4, 6]",
    ],
    [
      "class numbers for labels",
      { labels: { dtype: "I32", shape: [4, 1], data: new Int32Array(4) } },
      "tensor labels must be F32 with 2 axes, got I32 [4, 1]",
    ],
    [
      "other numbers of images and labels",
      { labels: f32([3, 2]) },
      "images and labels must have equally many rows, got 4 and 3",
    ],
  ])("a file with %s", (_, tensors, message) => {
    rewrite(tensors);
    expect(refusal()).toBe(message);
  });

  it.each<[string, Record<string, StoredTensor>]>([
    ["an image that is not a number", { images: f32(shape, (i) => (i === 23 ? NaN : 0)) }],
    ["an infinite label", { labels: f32([4, 2], (i) => (i === 7 ? Infinity : 0)) }],
    ["a learning rate of 0", { lr: f32([1], () => 0) }],
    ["a learning rate below 0", { lr: f32([1], () => -0.1) }],
    ["a learning rate that is not a number", { lr: f32([1], () => NaN) }],
    ["an infinite learning rate", { lr: f32([1], () => Infinity) }],
  ])("a file with %s", (_, tensors) => {
    rewrite(tensors);
    expect(refusal()).toMatch(/^values must be finite and lr above 0, got /);
  });

  it.each<[string, string | undefined, string]>([
    ["dataset", undefined, "metadata dataset must be a JSON string, got none"],
    ["dataset", "digits", "metadata dataset must be a JSON string, got digits"],
    ["ipc", "0", "metadata ipc must be a whole number from 1, got 0"],
    ["ipc", '"2"', 'metadata ipc must be a whole number from 1, got "2"'],
    ["network", "7", "metadata network must be a JSON string, got 7"],
    ["width", "1.5", "metadata width must be a whole number from 1, got 1.5"],
    ["mean", "[0.5]", "metadata mean must be 2 numbers, got [0.5]"],
    ["mean", "0.5", "metadata mean must be 2 numbers, got 0.5"],
    ["std", '[1, "1"]', 'metadata std must be 2 numbers, got [1, "1"]'],
    ["std", "[1, 1", "metadata std must be 2 numbers, got [1, 1"],
  ])("a file whose %s is %j", (key, value, message) => {
    rewrite({}, { [key]: value });
    expect(refusal()).toBe(message);
  });
});
