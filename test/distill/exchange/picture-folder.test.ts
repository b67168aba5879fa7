/** @file Distilled sets as folders of pictures: what is written, what comes back, and what is refused. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { decode, encode } from "fast-png";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { DistilledFile } from "../../../distill/distilled.ts";
import { hardened } from "../../../distill/exchange/labels.ts";
import {
  isDescribed,
  isPictureFolder,
  readPictureFolder,
  writePictureFolder,
} from "../../../distill/exchange/picture-folder.ts";
import { sample, whitened } from "./sample.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-pictures-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const lines = (): string[] => readFileSync(join(folder, "labels.csv"), "utf8").split("\n");

/** As near as 8 bits a pixel are, in the input space of the set. */
function expectNear(found: DistilledFile, set: DistilledFile, tolerance: number): void {
  const { images, ...rest } = found;
  const { images: wanted, ...others } = set;
  expect(rest).toEqual(others);
  images.forEach((value, i) => expect(Math.abs(value - wanted[i]!)).toBeLessThan(tolerance));
}

describe("a folder of pictures", () => {
  it("has a folder for each class, raw pixels in 8 bits, and a line of labels for each", () => {
    writePictureFolder(folder, sample);
    expect(isPictureFolder(folder) && isDescribed(folder)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual([
      ...["0-T-shirt-top", "1-the-second", "distilled.json", "labels.csv"],
    ]);
    expect(lines()).toEqual([
      "file,label,class,logit_0,logit_1",
      "0-T-shirt-top/0.png,0,T-shirt/top,1.5,-1.5",
      '1-the-second/0.png,1,"the ""second""",0.25,0.5',
      '1-the-second/1.png,1,"the ""second""",-3,2',
      "0-T-shirt-top/1.png,0,T-shirt/top,7,6",
      "",
    ]);
    const { width, height, channels, data } = decode(
      readFileSync(join(folder, "1-the-second/0.png")),
    );
    expect([width, height, channels]).toEqual([1, 2, 3]);
    // Pixel by pixel, red, green and blue: raw = input · std + mean.
    const raw = [0, 2, 4, 1, 3, 5].map((i) => {
      const std = i < 4 ? 0.5 : 0.25;
      return Math.round(255 * (sample.images[6 + i]! * std + 0.5));
    });
    expect([...data]).toEqual(raw);
  });

  it("comes back within half a step of 255, labels and all else exactly", async () => {
    writePictureFolder(folder, sample);
    expectNear(await readPictureFolder(folder), sample, 0.51 / 255 / 0.25);
  });

  it("comes back with its whitening", async () => {
    writePictureFolder(folder, whitened);
    expect(readdirSync(folder)).toContain("zca.npz");
    expectNear(await readPictureFolder(folder), whitened, (0.51 / 255) * 2);
  });

  it("may have hard labels", async () => {
    writePictureFolder(folder, sample, { hard: true });
    expect(lines()[1]).toBe("0-T-shirt-top/0.png,0,T-shirt/top");
    expectNear(await readPictureFolder(folder), hardened(sample), 0.51 / 255 / 0.25);
  });

  it("may be edited, and need not describe itself when somebody else tells", async () => {
    writePictureFolder(folder, sample);
    rmSync(join(folder, "distilled.json"));
    const told = sample.meta;
    writeFileSync(join(folder, "0-T-shirt-top/0.png"), colour(255, 0));
    const { images, lr, meta } = await readPictureFolder(folder, told, 0.5);
    expect([lr, meta]).toEqual([0.5, told]);
    expect([...images.subarray(0, 6)]).toEqual([1, -1, 1, -1, 2, -2]);
  });
});

const colour = (...values: number[]): Uint8Array =>
  encode({
    ...{ width: 1, height: values.length, channels: 3, depth: 8 },
    data: Uint8Array.from(values.flatMap((value) => [value, value, value])),
  });

describe("readPictureFolder refuses", () => {
  it.each<[string, string, string | Uint8Array, string]>([
    ["a file outside", "labels.csv", "file,label\n../a.png,0\n", "a file must lie in the folder"],
    ["other columns", "labels.csv", "name,label\na.png,0\n", "columns must be file, and label or"],
    ["a class that is none", "labels.csv", "file,label\na.png,2\n", "class numbers in 0..1, got 2"],
    ["a label in words", "labels.csv", "file,label\na.png,one\n", 'must be numbers, got "one"'],
    ["too few logits", "labels.csv", "file,logit_0\na.png,1\n", 'must be numbers, got "none"'],
    ["no lines", "labels.csv", "file,label\n", "must have a line for every picture, got none"],
    ["a picture that is missing", "labels.csv", "file,label\na.png,0\n", "must exist"],
    ["no picture", "0-T-shirt-top/0.png", "GIF89a", "must be a PNG or JPEG picture"],
    ["a cut picture", "0-T-shirt-top/1.png", colour(1, 2).subarray(0, 60), "undamaged picture"],
    [
      "pictures of several sizes",
      "0-T-shirt-top/1.png",
      colour(1, 2, 3),
      "must have 2×1 pixels as the first picture, got 3×1",
    ],
    ["another description", "distilled.json", "[]", "must be a JSON object with lr and classes"],
    ["a damaged description", "distilled.json", '{"lr":', "must be a JSON object with lr"],
    [
      "a description of something else",
      "distilled.json",
      '{"lr":0.1,"classes":["a","b"],"format":"x"}',
      'metadata format must be "potstill-distilled", got "x"',
    ],
  ])("%s", async (_, name, content, sentence) => {
    writePictureFolder(folder, sample);
    writeFileSync(join(folder, name), content);
    await expect(readPictureFolder(folder)).rejects.toThrow(sentence);
    await expect(readPictureFolder(folder)).rejects.toThrow(`${folder}/`);
  });

  it("a folder of which nobody tells the task or the learning rate", async () => {
    writePictureFolder(folder, sample);
    rmSync(join(folder, "distilled.json"));
    const told = sample.meta;
    await expect(readPictureFolder(folder)).rejects.toThrow(
      "distilled.json: must tell what the set is, got no such file",
    );
    await expect(readPictureFolder(folder, told)).rejects.toThrow(
      `${folder}: the learning rate must be given by --lr, got none`,
    );
    const grey = { ...told, preprocessing: { kind: "normalise", mean: [0], std: [1] } } as const;
    await expect(readPictureFolder(folder, grey, 1)).rejects.toThrow(
      `${folder}: normalisation: mean and std must have one value for each of 3 channels`,
    );
  });
});

it("writePictureFolder refuses images of other than 1 or 3 channels", () => {
  const set = { ...sample, shape: [4, 2, 3, 1] };
  expect(() => writePictureFolder(folder, set)).toThrow("must have 1 or 3 channels, got 2");
});
