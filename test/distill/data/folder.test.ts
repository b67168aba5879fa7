/** @file Folders of pictures: which layouts are understood, the cache that they are decoded into, refusals. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Source, Split } from "../../../distill/data/dataset.ts";
import { loadSource } from "../../../distill/data/registry.ts";
import { encodeZip } from "../../../distill/formats/zip-write.ts";
import {
  expectOnlyRefusals,
  refusal,
  without,
  writeFiles,
  type Files,
} from "../../support/data-files.ts";
import { fixture } from "../../support/fixture.ts";

let root: string;
let cache: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-folder-"));
  cache = join(root, "cache");
  process.env["POTSTILL_CACHE"] = cache;
});
afterAll(() => {
  rmSync(root, { recursive: true });
  delete process.env["POTSTILL_CACHE"];
});

/** A picture of 6 by 6 pixels whose first one tells which it is. */
function picture(tag: number, channels: 1 | 3 = 3, side = 6): Uint8Array {
  const data = Uint8Array.from({ length: side * side * channels }, (_, i) => tag + (i % 100));
  return encode({ width: side, height: side, channels, depth: 8, data });
}

const tagOf = (split: Split, index: number): number => Math.round(split.images([index])[0]! * 255);
/** Tags with labels, in order. */
const told = (split: Split): string[] =>
  Array.from({ length: split.count }, (_, i) => `${tagOf(split, i)} is ${split.labels[i]!}`);

const SPLIT: Files = {
  "train/cat/b.png": picture(1),
  "train/cat/a.PNG": picture(2),
  "train/dog/deeper/c.png": picture(3),
  "train/.hidden/x.png": "not a picture",
  "train/dog/notes.txt": "not a picture",
  "test/cat/a.png": picture(4),
  "test/dog/a.png": picture(5),
};

describe("a folder of pictures", () => {
  it("is read as train and test, sorted by path", async () => {
    const source = await loadSource(writeFiles(join(root, "split"), SPLIT));
    expect(source.name).toBe("split");
    expect(source.classes).toEqual(["cat", "dog"]);
    expect([source.channels, source.height, source.width]).toEqual([3, 6, 6]);
    expect(told(source.train)).toEqual(["2 is 0", "1 is 0", "3 is 1"]);
    expect(told(source.test)).toEqual(["4 is 0", "5 is 1"]);
    // Planar: the second value is the red of the second pixel, three bytes on.
    const bytes = Array.from(source.test.images([0]), (v) => Math.round(v * 255));
    expect(bytes.slice(0, 3)).toEqual([4, 7, 10]);
    expect(bytes.slice(36, 39)).toEqual([5, 8, 11]);
  });

  it("may call its test images val, lie inside other folders, or in a zip archive", async () => {
    const { id } = await loadSource(writeFiles(join(root, "split"), SPLIT));
    const renamed = (change: (path: string) => string): Files =>
      Object.fromEntries(Object.entries(SPLIT).map(([path, bytes]) => [change(path), bytes]));
    const val = renamed((path) => `birds/v1/${path.replace(/^test/, "val")}`);
    expect((await loadSource(writeFiles(join(root, "val"), val))).id).toBe(id);
    const upper = renamed((path) =>
      path.replace(/^train/, "Training").replace(/^test/, "Validation"),
    );
    expect((await loadSource(writeFiles(join(root, "upper"), upper))).id).toBe(id);
    const zip = encodeZip(
      Object.entries(without(SPLIT, "train/.hidden/x.png")).map(([path, content]) => ({
        path,
        bytes: Buffer.from(content),
      })),
    );
    const folder = writeFiles(join(root, "zip"), { "birds.zip": zip });
    expect((await loadSource(join(folder, "birds.zip"))).id).toBe(id);
    expect((await loadSource(folder)).id).toBe(id);
  });

  it("without a split gives a fifth of each class for testing, whatever the seed", async () => {
    const files = Object.fromEntries(
      ["x", "y"].flatMap((name, k) =>
        Array.from(
          { length: 10 },
          (_, i) => [`photos/${name}/${i}.png`, picture(10 * k + i)] as const,
        ),
      ),
    );
    const folder = writeFiles(join(root, "whole"), files);
    const source = await loadSource(folder, { seed: 1 });
    expect(source.classes).toEqual(["x", "y"]);
    for (const label of [0, 1])
      expect(source.test.labels.filter((l) => l === label).length).toBe(2);
    const all = [...told(source.train), ...told(source.test)];
    expect(new Set(all)).toEqual(
      new Set(Array.from({ length: 20 }, (_, i) => `${i} is ${Math.floor(i / 10)}`)),
    );
    expect((await loadSource(folder, { seed: 2 })).id).toBe(source.id);
  });

  it("is grey when every picture is", async () => {
    const grey = {
      "train/a/1.png": picture(1, 1),
      "train/b/1.png": picture(2, 1),
      "test/a/1.png": picture(3, 1),
    };
    const source = await loadSource(writeFiles(join(root, "grey"), grey));
    expect([source.channels, ...told(source.test)]).toEqual([1, "3 is 0"]);
    const mixed = { ...grey, "test/b/1.png": picture(4, 3) };
    expect((await loadSource(writeFiles(join(root, "grey"), mixed))).channels).toBe(3);
  });

  it("of many sizes is brought to one", async () => {
    const files = {
      "train/a/1.jpg": fixture("picture.jpg"),
      "train/b/1.png": picture(1),
      "test/a/1.jpg": fixture("grey.jpg"),
    };
    const folder = writeFiles(join(root, "sizes"), files);
    const source = await loadSource(folder, { size: 5 });
    expect([source.channels, source.height, source.width]).toEqual([3, 5, 5]);
    expect(source.train.images([0, 1]).length).toBe(2 * 75);
    expect(await refusal(() => loadSource(folder), folder)).toBe(
      "train/b/1.png: pictures must all have 37 by 50 pixels as the first, got 6 by 6; --size brings all to one",
    );
  });

  it("follows links, but not in circles", async () => {
    const { id } = await loadSource(writeFiles(join(root, "split"), SPLIT));
    const folder = join(root, "links");
    mkdirSync(folder);
    for (const half of ["train", "test"])
      symlinkSync(join(root, "split", half), join(folder, half));
    expect((await loadSource(folder)).id).toBe(id);
    symlinkSync(folder, join(folder, "again"));
    expect(await refusal(() => loadSource(folder), folder)).toBe(
      "again: must not lead back to a folder above",
    );
  });
});

const TINY: Files = {
  "tiny/wnids.txt": "n02\nn01\n",
  "tiny/words.txt": "n00\tentity\nn01\tgoldfish, Carassius auratus\n",
  "tiny/train/n01/images/n01_0.JPEG": picture(1),
  "tiny/train/n01/n01_boxes.txt": "n01_0.JPEG\t0\t10\t63\t58\n",
  "tiny/train/n02/images/n02_0.JPEG": picture(2),
  "tiny/val/images/val_0.JPEG": picture(3),
  "tiny/val/images/val_1.JPEG": picture(4),
  "tiny/val/val_annotations.txt": "val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t0\t0\t9\t9\n",
  "tiny/test/images/test_0.JPEG": picture(5),
};

describe("Tiny ImageNet's layout", () => {
  it("has its labels in val_annotations.txt and its names in words.txt; test has none", async () => {
    const source = await loadSource(writeFiles(join(root, "tiny"), TINY));
    expect(source.classes).toEqual(["goldfish", "n02"]);
    expect(told(source.train)).toEqual(["1 is 0", "2 is 1"]);
    expect(told(source.test)).toEqual(["3 is 1", "4 is 0"]);
  });

  it.each([
    [
      "a class that has no pictures",
      { "tiny/wnids.txt": "n01\nn02\nn03\n" },
      "the folder: folders of classes must be those in wnids.txt, got none for n03",
    ],
    [
      "a class that is not listed",
      { "tiny/wnids.txt": "n01\n" },
      "the folder: folders of classes must be those in wnids.txt, got n02 too",
    ],
    [
      "an annotation of no class",
      { "tiny/val/val_annotations.txt": "val_0.JPEG\tn02\nval_1.JPEG\tn09\n" },
      'the folder, val_annotations.txt, line 2: must name a picture and a class that has training pictures, got "val_1.JPEG\\tn09"',
    ],
    [
      "a picture without annotation",
      { "tiny/val/val_annotations.txt": "val_0.JPEG\tn02\n" },
      "tiny/val/images/val_1.JPEG: must be in val_annotations.txt, got no line",
    ],
  ])("with %s is refused", async (_, change, sentence) => {
    const folder = writeFiles(join(root, "bad-tiny"), { ...TINY, ...change });
    expect(await refusal(() => loadSource(folder), folder)).toBe(sentence);
  });

  it("under its known name must have its classes", async () => {
    const data = writeFiles(
      join(root, "data"),
      Object.fromEntries(
        Object.entries(TINY).map(([path, bytes]) => [`tiny-imagenet/${path}`, bytes]),
      ),
    );
    expect(await refusal(() => loadSource("tiny-imagenet", { data }), data)).toBe(
      "tiny-imagenet: must hold tiny-imagenet, images [3, 64, 64] of 200 classes, got images [3, 6, 6] of 2 classes",
    );
  });
});

describe("the cache of decoded pictures", () => {
  const same = (a: Source, b: Source): void => {
    expect([b.id, b.classes, b.channels, b.height, b.width]).toEqual([
      ...[a.id, a.classes, a.channels, a.height, a.width],
    ]);
    for (const half of ["train", "test"] as const) {
      expect(b[half].labels).toEqual(a[half].labels);
      const all = [...a[half].labels.keys()].reverse();
      expect(b[half].images(all)).toEqual(a[half].images(all));
    }
  };

  it("gives the same again, from the file where the memory is too small", async () => {
    const folder = writeFiles(join(root, "split"), SPLIT);
    process.env["POTSTILL_CACHE"] = "";
    const decoded = await loadSource(folder);
    process.env["POTSTILL_CACHE"] = cache;
    rmSync(cache, { recursive: true, force: true });
    same(decoded, await loadSource(folder));
    expect(readdirSync(join(cache, "data")).length).toBe(1);
    same(decoded, await loadSource(folder));
    same(decoded, await loadSource(folder, { memory: 10 }));
    // It is an ordinary set of arrays.
    const [file] = readdirSync(join(cache, "data"));
    expect((await loadSource(join(cache, "data", file!))).train.labels).toEqual(
      decoded.train.labels,
    );
  });

  it("is made anew when a picture or the size changes, or when it is damaged", async () => {
    const folder = writeFiles(join(root, "split"), SPLIT);
    const before = await loadSource(folder);
    expect((await loadSource(folder, { size: 3 })).height).toBe(3);
    writeFileSync(join(folder, "test/cat/a.png"), picture(9));
    utimesSync(join(folder, "test/cat/a.png"), 1, 1);
    const after = await loadSource(folder);
    expect(after.id).not.toBe(before.id);
    expect(tagOf(after.test, 0)).toBe(9);
    for (const file of readdirSync(join(cache, "data")))
      writeFileSync(join(cache, "data", file), "damaged");
    same(after, await loadSource(folder));
  });

  it("leaves nothing behind when a picture is damaged", async () => {
    rmSync(cache, { recursive: true, force: true });
    const folder = writeFiles(join(root, "bad"), {
      ...SPLIT,
      "test/dog/a.png": picture(5).subarray(0, 60),
    });
    expect(await refusal(() => loadSource(folder), folder)).toContain(
      "test/dog/a.png: must be an undamaged picture",
    );
    expect(readdirSync(join(cache, "data"))).toEqual([]);
  });

  it("is needed by what does not fit the memory", async () => {
    const folder = writeFiles(join(root, "split"), SPLIT);
    process.env["POTSTILL_CACHE"] = "";
    expect(await refusal(() => loadSource(folder, { memory: 10 }), folder)).toMatch(
      /^split-\w+: more than 10 bytes must be decoded into a cache file, got an empty POTSTILL_CACHE$/,
    );
    process.env["POTSTILL_CACHE"] = cache;
  });
});

describe("a folder is refused", () => {
  it.each([
    [
      "with pictures of no class",
      { "a.png": picture(1), "b/b.png": picture(2) },
      "a.png: a picture must lie in the folder of its class, got none",
    ],
    [
      "of one class",
      { "a/1.png": picture(1), "a/2.png": picture(2) },
      "the folder: must hold a folder of pictures for each of 2 to 65536 classes, got 1",
    ],
    [
      "with one picture of a class, and none for testing",
      { "a/1.png": picture(1), "a/2.png": picture(2), "b/1.png": picture(3) },
      "the folder: every class must have an image for training and one for testing, got 1 of class b",
    ],
    [
      "with a class for testing alone",
      { ...SPLIT, "test/bird/1.png": picture(1) },
      "test/bird/1.png: a picture for testing must lie in the folder of a class that has training pictures, got bird",
    ],
    [
      "with something else under a picture's name",
      { ...SPLIT, "train/cat/b.png": "GIF89a" },
      "train/cat/b.png: must be a PNG or JPEG picture, got 6 other bytes",
    ],
    [
      "with nothing in it",
      {},
      "the folder: must hold IDX files, CIFAR's batches, arrays (.npz, .npy, .safetensors) or a folder of pictures for each class, got none of these",
    ],
  ])("%s", async (_, files, sentence) => {
    const folder = writeFiles(join(root, "bad"), files);
    expect(await refusal(() => loadSource(folder), folder)).toBe(sentence);
  });

  it("and nothing worse happens, whatever is damaged", async () => {
    const files = {
      "train/a/1.jpg": fixture("grey.jpg"),
      "train/b/1.png": picture(2, 1),
      "test/a/1.png": picture(3, 1),
    };
    const load = (folder: string) => loadSource(folder, { size: 4 });
    process.env["POTSTILL_CACHE"] = "";
    await expectOnlyRefusals(join(root, "fuzz"), files, load);
    const tiny = without(TINY, "tiny/test/images/test_0.JPEG");
    await expectOnlyRefusals(join(root, "fuzz-tiny"), tiny, loadSource);
  });
});
