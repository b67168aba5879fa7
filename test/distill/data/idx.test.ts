/** @file MNIST and what comes in its format: read as they are, refused when they do not fit. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Split } from "../../../distill/data/dataset.ts";
import { loadSource } from "../../../distill/data/registry.ts";
import { encodeZip } from "../../../distill/formats/zip-write.ts";
import {
  expectOnlyRefusals,
  idx,
  noise,
  refusal,
  without,
  writeFiles,
} from "../../support/data-files.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-idx-"));
  process.env["POTSTILL_CACHE"] = join(root, "cache");
});
afterAll(() => {
  rmSync(root, { recursive: true });
  delete process.env["POTSTILL_CACHE"];
});

const bytesOf = (split: Split, index: number): number[] =>
  Array.from(split.images([index]), (v) => Math.round(v * 255));

/** Six training and three test images of 2 by 3 pixels. */
const FILES = {
  "train-images-idx3-ubyte": idx([6, 2, 3], noise(36)),
  "train-labels-idx1-ubyte": idx([6], [0, 1, 2, 0, 1, 2]),
  "t10k-images-idx3-ubyte": idx([3, 2, 3], noise(18, 2)),
  "t10k-labels-idx1-ubyte": idx([3], [2, 1, 0]),
};
const PACKED = Object.fromEntries(
  Object.entries(FILES).map(([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]),
);

describe("IDX files", () => {
  it("are read packed or not, and in a folder of a folder", async () => {
    const plain = await loadSource(writeFiles(join(root, "plain"), FILES));
    expect(plain.name).toBe("plain");
    expect([plain.channels, plain.height, plain.width]).toEqual([1, 2, 3]);
    expect(plain.classes).toEqual(["0", "1", "2"]);
    expect(plain.normalisation).toBeUndefined();
    expect([...plain.train.labels, ...plain.test.labels]).toEqual([0, 1, 2, 0, 1, 2, 2, 1, 0]);
    expect(bytesOf(plain.train, 5)).toEqual([...noise(36).subarray(30)]);
    expect(bytesOf(plain.test, 1)).toEqual([...noise(18, 2).subarray(6, 12)]);
    const packed = await loadSource(writeFiles(join(root, "packed"), PACKED));
    expect(packed.id).toBe(plain.id);
    const inner = Object.fromEntries(Object.entries(FILES).map(([k, v]) => [`raw/${k}`, v]));
    expect((await loadSource(writeFiles(join(root, "deep"), inner))).id).toBe(plain.id);
  });

  it("are told by their content when their names say only what is for training", async () => {
    const [images, labels, testImages, testLabels] = Object.values(FILES);
    const files = {
      "my-train-pictures.bin": images!,
      "my-train-classes.bin": labels!,
      "my-test-pictures.bin": testImages!,
      "my-test-classes.bin": testLabels!,
    };
    const source = await loadSource(writeFiles(join(root, "other"), files));
    expect(source.train.count).toBe(6);
    expect(source.id).toBe((await loadSource(writeFiles(join(root, "plain"), FILES))).id);
  });

  it("larger than the memory given are read from the file, or from a decoded one", async () => {
    const whole = await loadSource(writeFiles(join(root, "plain"), FILES));
    for (const [name, files] of Object.entries({ plain: FILES, packed: PACKED })) {
      const source = await loadSource(writeFiles(join(root, name), files), { memory: 10 });
      expect(source.id).toBe(whole.id);
      for (const half of ["train", "test"] as const) {
        expect(source[half].labels).toEqual(whole[half].labels);
        const indices = [2, 0, 1, 2];
        expect(source[half].images(indices)).toEqual(whole[half].images(indices));
      }
    }
  });

  it("of EMNIST stand upright, letters count from 0, and one set of several is chosen by name", async () => {
    const upright = noise(26 * 28 * 28);
    const lying = Uint8Array.from(upright, (_, i) => {
      const [n, y, x] = [Math.floor(i / 784), Math.floor(i / 28) % 28, i % 28];
      return upright[n * 784 + x * 28 + y]!;
    });
    const from1 = Array.from({ length: 26 }, (_, k) => k + 1);
    const part = (set: string, labels: number[]) => ({
      [`gzip/emnist-${set}-train-images-idx3-ubyte.gz`]: gzipSync(idx([26, 28, 28], lying)),
      [`gzip/emnist-${set}-train-labels-idx1-ubyte.gz`]: gzipSync(idx([26], labels)),
      [`gzip/emnist-${set}-test-images-idx3-ubyte.gz`]: gzipSync(idx([26, 28, 28], lying)),
      [`gzip/emnist-${set}-test-labels-idx1-ubyte.gz`]: gzipSync(idx([26], labels)),
    });
    const all = {
      ...part("letters", from1),
      ...part(
        "digits",
        from1.map((k) => k % 10),
      ),
    };
    const zip = encodeZip(Object.entries(all).map(([path, bytes]) => ({ path, bytes })));
    const folder = writeFiles(join(root, "data"), { "emnist/gzip.zip": zip });
    const letters = await loadSource("emnist-letters", { data: folder });
    expect(letters.classes.join("")).toBe("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    expect([...letters.train.labels]).toEqual(from1.map((k) => k - 1));
    expect(bytesOf(letters.train, 25)).toEqual([...upright.subarray(25 * 784)]);
    const digits = await loadSource("emnist-digits", { data: folder });
    expect([...digits.test.labels]).toEqual(from1.map((k) => k % 10));
    expect(digits.id).not.toBe(letters.id);
    const path = join(folder, "emnist/gzip.zip");
    expect(await refusal(() => loadSource(path), folder)).toBe(
      "emnist/gzip.zip: must hold one set, or be named by the one that is meant, got emnist-digits, emnist-letters",
    );
  });
});

describe("IDX files are refused", () => {
  const labels = (values: number[]) => idx([values.length], values);
  it.each([
    [
      "when they are cut",
      { "train-images-idx3-ubyte": FILES["train-images-idx3-ubyte"].subarray(0, 50) },
      "train-images-idx3-ubyte: must hold 6 x 2 x 3 bytes as its header says, got 50 bytes (it is cut or damaged)",
    ],
    [
      "when they promise what no file can hold",
      { "train-images-idx3-ubyte": idx([2 ** 31, 4000, 4000], []) },
      "train-images-idx3-ubyte: must hold 2147483648 x 4000 x 4000 bytes as its header says, got 16 bytes (it is cut or damaged)",
    ],
    [
      "when they are other files",
      { "train-images-idx3-ubyte": "<html>" },
      "train-images-idx3-ubyte: must start as an IDX file of bytes with 3 axes does (0 0 8 3), got 60 104 116 109",
    ],
    [
      "when counts differ",
      { "t10k-labels-idx1-ubyte": labels([0, 1]) },
      "t10k-images-idx3-ubyte: must hold 2 images of 2 by 3 pixels to go with the other files, got 3 of 2 by 3",
    ],
    [
      "when images are of other sizes",
      { "t10k-images-idx3-ubyte": idx([3, 3, 2], noise(18)) },
      "t10k-images-idx3-ubyte: must hold 3 images of 2 by 3 pixels to go with the other files, got 3 of 3 by 2",
    ],
    [
      "when there are no images",
      { "train-images-idx3-ubyte": idx([0, 2, 3], []) },
      "train-images-idx3-ubyte: must hold 0 x 2 x 3 bytes as its header says, got 16 bytes (it is cut or damaged)",
    ],
  ])("%s", async (_, change, sentence) => {
    const folder = writeFiles(join(root, "bad"), { ...FILES, ...change });
    expect(await refusal(() => loadSource(folder), folder)).toBe(sentence);
  });

  it("when one is missing", async () => {
    const folder = writeFiles(join(root, "bad"), without(FILES, "train-labels-idx1-ubyte"));
    expect(await refusal(() => loadSource(folder), folder)).toBe(
      "the folder: must hold images and labels for training and testing, got no train labels",
    );
  });

  it("when their gzip is cut, damaged, or unpacks to something longer", async () => {
    const name = "train-images-idx3-ubyte.gz";
    const told = async (bytes: Uint8Array): Promise<string> => {
      const folder = writeFiles(join(root, "bad"), { ...PACKED, [name]: bytes });
      return refusal(() => loadSource(folder), folder);
    };
    const good = PACKED[name]!;
    expect(await told(good.subarray(0, good.length - 12))).toBe(
      `${name}: must be an undamaged gzip file, got Z_BUF_ERROR`,
    );
    const flipped = Buffer.from(good);
    flipped[flipped.length - 6]! ^= 1;
    expect(await told(flipped)).toBe(`${name}: must be an undamaged gzip file, got Z_DATA_ERROR`);
    const longer = gzipSync(Buffer.concat([FILES["train-images-idx3-ubyte"], Buffer.from("!")]));
    expect(await told(longer)).toBe(`${name}: must hold 52 bytes, got more`);
  });

  it("when a known set has labels or shapes of another", async () => {
    const folder = writeFiles(
      join(root, "data"),
      Object.fromEntries(Object.entries(FILES).map(([k, v]) => [`kmnist/${k}`, v])),
    );
    expect(await refusal(() => loadSource("kmnist", { data: folder }), folder)).toBe(
      "kmnist: must hold kmnist, images [1, 28, 28] of 10 classes, got images [1, 2, 3] of 10 classes",
    );
    const wrong = { ...FILES, "train-labels-idx1-ubyte": labels([0, 1, 2, 0, 1, 10]) };
    writeFiles(
      folder,
      Object.fromEntries(Object.entries(wrong).map(([k, v]) => [`kmnist/${k}`, v])),
    );
    expect(await refusal(() => loadSource("kmnist", { data: folder }), folder)).toBe(
      "kmnist/train-labels-idx1-ubyte: labels must be in 0..9, got 10 as number 5",
    );
  });

  it.each([
    ["plain", FILES],
    ["packed", PACKED],
  ])("and nothing worse happens, whatever is damaged (%s)", async (name, files) => {
    await expectOnlyRefusals(join(root, `fuzz-${name}`), files, loadSource);
  });
});

const REAL = new URL("../../../../shared/data/", import.meta.url).pathname;

/** Counts and digests by numpy: MD5 of the first training image and of the last test image's bytes. */
const SETS = [
  {
    name: "mnist",
    labels: [5, 0, 4, 1, 9, 2, 1, 3],
    testLabels: [7, 2, 1, 0, 4, 1, 4, 9],
    first: "2ce86e4daeeff3a0cdebce6897c784ba",
    last: "4cbc26cd65a7520ac820c54476b7c1f8",
    mean: 0.1306604762738429,
  },
  {
    name: "fashion-mnist",
    labels: [9, 0, 0, 3, 0, 2, 7, 2],
    testLabels: [9, 2, 1, 1, 6, 1, 4, 6],
    first: "4faf81e309af5194c477affdbefc6116",
    last: "0679e37e18345b46f008d686722262e3",
    mean: 0.28604059698879553,
  },
];

describe.each(SETS)("the real $name", (set) => {
  const here = existsSync(join(REAL, set.name));
  it.skipIf(!here)("(skipped where the files are not beside the repository)", async () => {
    const source = await loadSource(set.name, { data: REAL });
    expect(source.name).toBe(set.name);
    expect([source.train.count, source.test.count]).toEqual([60_000, 10_000]);
    expect([...source.train.labels.subarray(0, 8)]).toEqual(set.labels);
    expect([...source.test.labels.subarray(0, 8)]).toEqual(set.testLabels);
    const md5 = (bytes: number[]) => createHash("md5").update(Uint8Array.from(bytes)).digest("hex");
    expect(md5(bytesOf(source.train, 0))).toBe(set.first);
    expect(md5(bytesOf(source.test, 9999))).toBe(set.last);
    let sum = 0;
    for (let from = 0; from < 60_000; from += 1000)
      for (const v of source.train.images(Array.from({ length: 1000 }, (_, i) => from + i)))
        sum += v;
    expect(sum / (60_000 * 784)).toBeCloseTo(set.mean, 7);
    // By content too, without its name; and not under a wrong one.
    expect((await loadSource(join(REAL, set.name))).name).toBe(set.name);
  });
});
