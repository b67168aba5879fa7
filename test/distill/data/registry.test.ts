/** @file Data sets by name: what is known without files, where these are looked for, and parts of a set. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { channelStatistics } from "../../../distill/data/dataset.ts";
import { datasetNames, outlineOf } from "../../../distill/data/known.ts";
import { officialOf } from "../../../distill/data/official.ts";
import { loadSource } from "../../../distill/data/registry.ts";
import { idx, noise, refusal, writeFiles } from "../../support/data-files.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-registry-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
  delete process.env["POTSTILL_DATA"];
});

/** A set in MNIST's format, 28 by 28, of ten classes. */
const FILES = {
  "train-images-idx3-ubyte": idx([50, 28, 28], noise(50 * 784)),
  "train-labels-idx1-ubyte": idx(
    [50],
    Array.from({ length: 50 }, (_, i) => (i * 7) % 10),
  ),
  "t10k-images-idx3-ubyte": idx([10, 28, 28], noise(10 * 784, 2)),
  "t10k-labels-idx1-ubyte": idx(
    [10],
    Array.from({ length: 10 }, (_, i) => i),
  ),
};
const under = (folder: string) =>
  Object.fromEntries(Object.entries(FILES).map(([name, bytes]) => [`${folder}/${name}`, bytes]));

describe("outlineOf", () => {
  it("knows shapes, classes and counts of every known set", () => {
    const told = datasetNames.map((name) => {
      const { channels, height, width, classes, train, test } = outlineOf(name)!;
      expect(new Set(classes).size).toBe(classes.length);
      return [name, channels, height, width, classes.length, train, test].join(" ");
    });
    expect(told).toEqual([
      "digits 1 8 8 10 1297 500",
      "mnist 1 28 28 10 60000 10000",
      "fashion-mnist 1 28 28 10 60000 10000",
      "kmnist 1 28 28 10 60000 10000",
      "emnist-balanced 1 28 28 47 112800 18800",
      "emnist-bymerge 1 28 28 47 697932 116323",
      "emnist-byclass 1 28 28 62 697932 116323",
      "emnist-letters 1 28 28 26 124800 20800",
      "emnist-digits 1 28 28 10 240000 40000",
      "emnist-mnist 1 28 28 10 60000 10000",
      "cifar-10 3 32 32 10 50000 10000",
      "cifar-100 3 32 32 100 50000 10000",
      "tiny-imagenet 3 64 64 200 100000 10000",
    ]);
  });

  it("does not mind case, hyphens and underscores, and resizes only pictures", () => {
    for (const name of ["CIFAR10", "cifar_10", "Cifar-10"])
      expect(outlineOf(name)).toBe(outlineOf("cifar-10"));
    expect(outlineOf("letters")).toBeUndefined();
    expect(outlineOf("tiny-imagenet", 32)!.height).toBe(32);
    expect(outlineOf("cifar-10", 16)!.height).toBe(32);
  });

  it("fits what the digits are", async () => {
    const { normalisation, classes, train, test } = await loadSource("digits");
    const outline = outlineOf("digits")!;
    expect([classes, train.count, test.count]).toEqual([
      outline.classes,
      outline.train,
      outline.test,
    ]);
    expect(normalisation).toEqual(outline.normalisation);
  });
});

describe("a known set", () => {
  it("is found in its folder or in torchvision's, by flag or environment", async () => {
    for (const folder of ["kmnist", "KMNIST/raw"]) {
      const data = writeFiles(join(root, "data"), under(folder));
      const source = await loadSource("kmnist", { data });
      expect([source.name, source.classes[1], source.train.count]).toEqual(["kmnist", "ki", 50]);
      process.env["POTSTILL_DATA"] = data;
      expect((await loadSource("KMNIST")).id).toBe(source.id);
      delete process.env["POTSTILL_DATA"];
    }
  });

  it("that is not there says where it is looked for, and what to download from where", async () => {
    const data = writeFiles(join(root, "data"), {});
    expect(await refusal(() => loadSource("cifar-100", { data }), root)).toBe(
      "dataset: cifar-100 must be in data/cifar-100 or data/cifar-100-binary or data/cifar-100-python or data/cifar-100-binary.tar.gz or data/cifar-100-python.tar.gz (--data or POTSTILL_DATA name another folder), got no files of it; " +
        'download cifar-100-binary.tar.gz (md5 03b5dce01913d631647c71ecec9e9cb8) from https://www.cs.toronto.edu/~kriz/cifar.html, or let "potstill data cifar-100 --download" do it',
    );
    for (const name of datasetNames) {
      if (name === "digits") continue;
      const told = await refusal(() => loadSource(name, { data }), root);
      for (const { md5 } of officialOf(name)!.files) expect(told).toContain(md5);
    }
  });

  it("is refused when another known one is in its place", async () => {
    const data = writeFiles(join(root, "data"), {
      "cifar-10/train.bin": Buffer.alloc(3074),
      "cifar-10/test.bin": Buffer.alloc(3074),
    });
    expect(await refusal(() => loadSource("cifar-10", { data }), data)).toBe(
      "cifar-10: must hold cifar-10, got cifar-100",
    );
  });

  it("has published constants unless they are to be computed", async () => {
    const data = writeFiles(join(root, "data"), under("mnist"));
    const published = await loadSource("mnist", { data });
    expect(published.normalisation).toEqual({ mean: [0.1307], std: [0.3081] });
    const computed = await loadSource("mnist", { data, normalisation: "computed" });
    expect(computed.normalisation).toBeUndefined();
    expect(computed.id).toBe(published.id);
    expect(channelStatistics(computed.train, computed).mean[0]).not.toBeCloseTo(0.1307, 2);
  });

  it("is not resized unless it comes as pictures", async () => {
    const data = writeFiles(join(root, "data"), under("mnist"));
    expect((await loadSource("mnist", { data, size: 28 })).height).toBe(28);
    expect(await refusal(() => loadSource("mnist", { data, size: 32 }), data)).toBe(
      "size: must be 28 for mnist, for only pictures are brought to another, got 32",
    );
  });
});

describe("a part of the training images", () => {
  const load = (perClass: number, seed?: number) =>
    loadSource(writeFiles(join(root, "part"), FILES), { perClass, seed });

  it("has equally many of each class, in their old order, by the seed", async () => {
    const whole = await loadSource(writeFiles(join(root, "part"), FILES));
    const part = await load(3, 1);
    expect(part.train.count).toBe(30);
    for (let k = 0; k < 10; k++)
      expect(part.train.labels.filter((label) => label === k).length).toBe(3);
    // Every image is one of the whole set's with its label, and their order is kept.
    const key = (images: Float32Array): string => Array.from(images.subarray(0, 20)).join();
    const places = new Map<string, number>();
    for (let i = 0; i < 50; i++) places.set(key(whole.train.images([i])), i);
    const chosen = Array.from({ length: 30 }, (_, i) => places.get(key(part.train.images([i])))!);
    expect(chosen).toEqual([...chosen].sort((a, b) => a - b));
    chosen.forEach((place, i) => expect(part.train.labels[i]).toBe(whole.train.labels[place]));
    expect(part.test.labels).toEqual(whole.test.labels);

    expect((await load(3, 1)).id).toBe(part.id);
    expect((await load(3, 2)).id).not.toBe(part.id);
    expect((await load(2, 1)).id).not.toBe(part.id);
    expect(part.id).toMatch(/^[0-9a-f]{64}$/);
  });

  it("reads the same images from a file", async () => {
    const folder = writeFiles(join(root, "part"), FILES);
    const inMemory = await loadSource(folder, { perClass: 2 });
    const inFile = await loadSource(folder, { perClass: 2, memory: 100 });
    expect(inFile.train.images([19, 3, 4, 5])).toEqual(inMemory.train.images([19, 3, 4, 5]));
    expect(inFile.id).toBe(inMemory.id);
  });

  it("can't have more of a class than there are", async () => {
    expect(await refusal(() => load(6), root)).toBe(
      "per_class: must be at most the images of every class, got 6 for 5 of class 0",
    );
  });
});
