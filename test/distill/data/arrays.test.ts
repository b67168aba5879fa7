/** @file Sets as arrays: .npz, .npy and safetensors, in the shapes and types that people have them in. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Source } from "../../../distill/data/dataset.ts";
import { loadSource } from "../../../distill/data/registry.ts";
import { numericArray, type NumericArray } from "../../../distill/formats/array.ts";
import { encodeNpy, encodeNpz } from "../../../distill/formats/npy.ts";
import { encodeZip } from "../../../distill/formats/zip-write.ts";
import { encodeSafetensors } from "../../../distill/formats/safetensors.ts";
import {
  expectOnlyRefusals,
  noise,
  refusal,
  without,
  writeFiles,
} from "../../support/data-files.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-arrays-"));
  process.env["POTSTILL_CACHE"] = join(root, "cache");
});
afterAll(() => {
  rmSync(root, { recursive: true });
  delete process.env["POTSTILL_CACHE"];
});

type Arrays = Record<string, NumericArray>;
const u8 = (shape: number[], data: ArrayLike<number>) =>
  numericArray("uint8", shape, Uint8Array.from(data));
const i64 = (data: number[], shape = [data.length]) =>
  numericArray("int64", shape, Float64Array.from(data));
const f32 = (shape: number[], data: ArrayLike<number>) =>
  numericArray("float32", shape, Float32Array.from(data));

const X = noise(4 * 3 * 2 * 5);
const X_TEST = noise(2 * 3 * 2 * 5, 2);
/** Four training and two test images of 3 channels, 2 by 5 pixels. */
const ARRAYS: Arrays = {
  x_train: u8([4, 3, 2, 5], X),
  y_train: i64([0, 1, 2, 1]),
  x_test: u8([2, 3, 2, 5], X_TEST),
  y_test: i64([2, 0]),
};

const npz = (name: string, arrays: Arrays): string =>
  join(writeFiles(join(root, name), { "set.npz": encodeNpz(arrays) }), "set.npz");
const load = (arrays: Arrays, memory?: number): Promise<Source> =>
  loadSource(npz("set", arrays), { memory });
const valuesOf = ({ train, test }: Source): number[] =>
  [train, test].flatMap((half) => [...half.images([...half.labels.keys()])]);
const bytesOf = (source: Source): number[] => valuesOf(source).map((v) => Math.round(v * 255));

/** `[N, C, H, W]` bytes as `[N, H, W, C]`. */
function last(data: Uint8Array): Uint8Array {
  return Uint8Array.from(data, (_, i) => {
    const [n, y, x, c] = [Math.floor(i / 30), Math.floor(i / 15) % 2, Math.floor(i / 3) % 5, i % 3];
    return data[n * 30 + c * 10 + y * 5 + x]!;
  });
}

describe("arrays", () => {
  it("are images and labels for training and testing", async () => {
    const source = await load(ARRAYS);
    expect(source.name).toBe("set.npz");
    expect([source.channels, source.height, source.width]).toEqual([3, 2, 5]);
    expect(source.classes).toEqual(["0", "1", "2"]);
    expect([...source.train.labels, ...source.test.labels]).toEqual([0, 1, 2, 1, 2, 0]);
    expect(bytesOf(source)).toEqual([...X, ...X_TEST]);
  });

  it("are the same in a folder of .npy, deflated, or in safetensors", async () => {
    const { id } = await load(ARRAYS);
    const npy = Object.fromEntries(
      Object.entries(ARRAYS).map(([name, array]) => [`${name}.npy`, encodeNpy(array)]),
    );
    const folder = writeFiles(join(root, "npy"), npy);
    const tensors = encodeSafetensors({
      y_train: { dtype: "I64", shape: [4], data: BigInt64Array.of(0n, 1n, 2n, 1n) },
      y_test: { dtype: "I32", shape: [2], data: Int32Array.of(2, 0) },
      x_train: { dtype: "U8", shape: [4, 3, 2, 5], data: X },
      x_test: { dtype: "U8", shape: [2, 3, 2, 5], data: X_TEST },
    });
    const safe = join(
      writeFiles(join(root, "safe"), { "a.safetensors": tensors }),
      "a.safetensors",
    );
    for (const path of [folder, safe, join(root, "safe")])
      for (const memory of [undefined, 10])
        expect((await loadSource(path, { memory })).id).toBe(id);
    expect(valuesOf(await loadSource(safe, { memory: 10 }))).toEqual(valuesOf(await load(ARRAYS)));
    expect(valuesOf(await loadSource(folder, { memory: 10 }))).toEqual(
      valuesOf(await load(ARRAYS)),
    );
  });

  it("with channels last are turned, from memory, file and cache", async () => {
    const turned = {
      ...ARRAYS,
      x_train: u8([4, 2, 5, 3], last(X)),
      x_test: u8([2, 2, 5, 3], last(X_TEST)),
    };
    const { id } = await load(ARRAYS);
    expect((await load(turned)).id).toBe(id);
    expect(bytesOf(await load(turned))).toEqual([...X, ...X_TEST]);
    expect(bytesOf(await load(turned, 10))).toEqual([...X, ...X_TEST]);
    expect((await load(turned, 10)).id).toBe(id);
    const { x_train, x_test } = turned;
    const files = {
      "x_train.npy": encodeNpy(x_train),
      "x_test.npy": encodeNpy(x_test),
      "y_train.npy": encodeNpy(ARRAYS["y_train"]!),
      "y_test.npy": encodeNpy(ARRAYS["y_test"]!),
    };
    const source = await loadSource(writeFiles(join(root, "turned"), files), { memory: 10 });
    expect([source.id, ...bytesOf(source)]).toEqual([id, ...X, ...X_TEST]);
  });

  it("of floats are in [0, 1], or in 0..255 when one is above 1", async () => {
    const grey = (scale: number): Arrays => ({
      train_images: f32(
        [2, 1, 2],
        [0, 0.25, 0.5, 0.75].map((v) => v * scale),
      ),
      train_labels: i64([0, 1], [2, 1]),
      test_images: f32([1, 1, 2], [1 * scale, 0.125 * scale]),
      test_labels: i64([1]),
    });
    const expected = [0, 0.25, 0.5, 0.75, 1, 0.125];
    for (const memory of [undefined, 4]) {
      expect(valuesOf(await load(grey(1), memory))).toEqual(expected);
      expect(valuesOf(await load(grey(255), memory))).toEqual(expected);
      const npy = Object.entries(grey(1)).map(([k, v]) => [`${k}.npy`, encodeNpy(v)] as const);
      const folder = writeFiles(join(root, "floats"), Object.fromEntries(npy));
      expect(valuesOf(await loadSource(folder, { memory }))).toEqual(expected);
    }
    const doubles = {
      ...grey(1),
      test_images: numericArray("float64", [1, 1, 2], Float64Array.of(1, 0.125)),
    };
    expect(valuesOf(await load(doubles))).toEqual(expected);
  });

  it("of other integers in 0..255 are taken as bytes, and booleans as black and white", async () => {
    const wide = { ...ARRAYS, x_train: numericArray("int32", [4, 3, 2, 5], Int32Array.from(X)) };
    expect((await load(wide)).id).toBe((await load(ARRAYS)).id);
    const bits = {
      x: numericArray("bool", [4, 1, 2], Uint8Array.of(0, 1, 1, 1, 0, 0, 1, 0)),
      y: i64([0, 1, 0, 1]),
    };
    expect(new Set(valuesOf(await load(bits)))).toEqual(new Set([0, 1]));
  });

  it("without arrays for testing give a fifth of each class for it", async () => {
    const labels = Array.from({ length: 20 }, (_, i) => i % 2);
    const images = Array.from({ length: 40 }, (_, i) => Math.floor(i / 2));
    const source = await load({ images: u8([20, 1, 2], images), labels: i64(labels) });
    expect([source.train.count, source.test.count]).toEqual([16, 4]);
    expect([...source.test.labels].sort()).toEqual([0, 0, 1, 1]);
    for (const half of [source.train, source.test])
      for (let i = 0; i < half.count; i++)
        expect(Math.round(half.images([i])[0]! * 255) % 2).toBe(half.labels[i]);
    const values = bytesOf(source).filter((_, i) => i % 2 === 0);
    expect(values.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

describe("arrays are refused", () => {
  it.each<[string, Arrays, string]>([
    [
      "when labels are missing",
      { x_train: ARRAYS["x_train"]!, x_test: ARRAYS["x_test"]! },
      "set.npz: must hold arrays x_train, y_train, x_test and y_test, or images and labels, got x_test, x_train",
    ],
    [
      "when there are more images than labels",
      { ...ARRAYS, y_train: i64([0, 1, 2]) },
      "set.npz, y_train.npy: labels must be [4], a class number for each image, got [3]",
    ],
    [
      "when labels are logits",
      { ...ARRAYS, y_train: f32([4, 3], noise(12)) },
      "set.npz, y_train.npy: labels must be [4], a class number for each image, got [4, 3]",
    ],
    [
      "when a label is negative",
      { ...ARRAYS, y_test: i64([2, -1]) },
      "set.npz, y_test.npy: labels must be whole numbers in 0..65535, got -1 as number 1",
    ],
    [
      "when a label is absurd",
      { ...ARRAYS, y_test: i64([2, 2 ** 40]) },
      "set.npz, y_test.npy: labels must be whole numbers in 0..65535, got 1099511627776 as number 1",
    ],
    [
      "when images are flat",
      { ...ARRAYS, x_train: u8([4, 30], X) },
      "set.npz, x_train.npy: images must be [N, H, W], [N, C, H, W] or [N, H, W, C] with 1 or 3 channels and at most 4096 pixels a side, got [4, 30]",
    ],
    [
      "when images for testing are of another size",
      { ...ARRAYS, x_test: u8([2, 3, 5, 2], X_TEST) },
      "set.npz, x_test.npy: images must be [N, 3, 2, 5] as those for training, got [2, 3, 5, 2]",
    ],
    [
      "when pixels are negative",
      {
        ...ARRAYS,
        x_train: numericArray(
          "int16",
          [4, 3, 2, 5],
          Int16Array.from(X, (v) => v - 9),
        ),
      },
      "set.npz, x_train.npy: pixels must be integers in 0..255, got others",
    ],
    [
      "when floats are normalised already",
      {
        ...ARRAYS,
        x_train: f32([4, 3, 2, 5], [-1.5, ...X.subarray(1)]),
        x_test: f32([2, 3, 2, 5], X_TEST),
      },
      "set.npz, x_train.npy: pixels must be in [0, 1] or in 0..255, got -1.5",
    ],
    [
      "when a pixel is no number",
      {
        ...ARRAYS,
        x_train: f32([4, 3, 2, 5], X),
        x_test: f32([2, 3, 2, 5], [NaN, ...X_TEST.subarray(1)]),
      },
      "set.npz, x_test.npy: pixels must be in [0, 1] or in 0..255, got NaN",
    ],
    [
      "when images are of two types",
      { ...ARRAYS, x_test: f32([2, 3, 2, 5], X_TEST) },
      "set.npz, x_test.npy: images must be of the same type as those for training, uint8, got float32",
    ],
    [
      "when all labels are alike",
      { ...ARRAYS, y_train: i64([0, 0, 0, 0]), y_test: i64([0, 0]) },
      "set.npz: labels must be of at least 2 classes, got only 0",
    ],
  ])("%s", async (_, arrays, sentence) => {
    const path = npz("bad", arrays);
    expect(await refusal(() => loadSource(path), join(root, "bad"))).toBe(sentence);
  });

  it("when a file is cut, or a path leads out of the archive", async () => {
    const npy = Object.fromEntries(
      Object.entries(ARRAYS).map(([name, array]) => [`${name}.npy`, encodeNpy(array)]),
    );
    const cut = { ...npy, "x_train.npy": npy["x_train.npy"]!.subarray(0, 200) };
    const folder = writeFiles(join(root, "cut"), cut);
    expect(await refusal(() => loadSource(folder), folder)).toBe(
      "x_train.npy: uint8 [4, 3, 2, 5] must take 120 bytes after the header, got 72 (it is cut or damaged)",
    );
    const huge = Buffer.from(npy["x_train.npy"]!);
    huge.write("9", huge.indexOf("(4, 3") + 1);
    expect(
      await refusal(() => loadSource(writeFiles(folder, { ...npy, "x_train.npy": huge })), folder),
    ).toContain("x_train.npy: uint8 [9, 3, 2, 5] must take 270 bytes");
    expect(
      await refusal(() => loadSource(writeFiles(folder, without(npy, "y_test.npy"))), folder),
    ).toContain("must hold arrays x_train, y_train, x_test and y_test");
    const evil = encodeZip([{ path: "x_train.npy", bytes: npy["x_train.npy"]! }]);
    const renamed = Buffer.from(
      Buffer.from(evil).toString("latin1").replaceAll("x_train.npy", "../rain.npy"),
      "latin1",
    );
    const path = join(writeFiles(join(root, "evil"), { "a.npz": renamed }), "a.npz");
    expect(await refusal(() => loadSource(path), join(root, "evil"))).toBe(
      'a.npz: paths must stay inside the archive, got "../rain.npy"',
    );
  });

  it.each([
    ["npz", () => ({ "set.npz": encodeNpz(ARRAYS) })],
    [
      "npy",
      () =>
        Object.fromEntries(
          Object.entries(ARRAYS).map(([name, array]) => [`${name}.npy`, encodeNpy(array)]),
        ),
    ],
    [
      "safetensors",
      () => ({
        "a.safetensors": encodeSafetensors({
          y: { dtype: "I32", shape: [4], data: Int32Array.of(1, 0, 1, 0) },
          x: {
            dtype: "F32",
            shape: [4, 2, 2],
            data: Float32Array.from({ length: 16 }, (_, i) => i),
          },
        }),
      }),
    ],
  ])("and nothing worse happens, whatever is damaged (%s)", async (name, files) => {
    await expectOnlyRefusals(join(root, `fuzz-${name}`), files(), loadSource);
  });
});
