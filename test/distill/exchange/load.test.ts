/** @file Distilled sets as a program loads them: every kind of file, by its content. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { writeDistilled } from "../../../distill/distilled.ts";
import { loadDistilled } from "../../../distill/exchange/load.ts";
import { writeNpz } from "../../../distill/exchange/npz.ts";
import { writePictureFolder } from "../../../distill/exchange/picture-folder.ts";
import { fixturePath } from "../../support/fixture.ts";
import { sample } from "./sample.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-load-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

it("is loaded from what says itself what it is", async () => {
  const path = (name: string): string => join(folder, name);
  writeDistilled(path("a"), sample);
  writeNpz(path("b"), sample);
  writePictureFolder(path("c"), sample);
  expect(await loadDistilled(path("a"))).toEqual(sample);
  expect(await loadDistilled(path("b"))).toEqual(sample);
  expect((await loadDistilled(path("c"))).meta).toEqual(sample.meta);
});

it("is loaded from the published layout, told what it is of", async () => {
  const published = fixturePath("published");
  const described = { dataset: "digits", network: "ConvNetD2", width: 16 };
  const set = await loadDistilled(published, described);
  expect([set.shape, set.lr, set.labels[0]]).toEqual([[10, 1, 8, 8], Math.fround(0.05), 3]);
  expect(set.meta).toMatchObject({
    ...{ ...described, ipc: 1, augmentation: "color_crop_cutout_flip_scale_rotate" },
    preprocessing: { kind: "normalise" },
  });
  const whitened = await loadDistilled(published, { ...described, zca: true });
  expect(whitened.meta.preprocessing).toMatchObject({ kind: "zca", eps: 0.1 });
  await expect(loadDistilled(published)).rejects.toThrow(
    `${published}: its data set and network must be told, since its files do not say them, got nothing`,
  );
});

it("is not what trajectories or nothing give", async () => {
  await expect(loadDistilled(fixturePath("buffers"))).rejects.toThrow(
    "must be a distilled set, got trajectories of teachers",
  );
  await expect(loadDistilled(join(folder, "none"))).rejects.toThrow("must exist");
});
