/** @file `potstill data`, and what a run keeps of its data. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { checkData, recordData } from "../../../distill/data/record.ts";
import { loadSource } from "../../../distill/data/registry.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import { resolveRecipe } from "../../../distill/recipe.ts";
import { modelOf, workOf } from "../../../distill/run.ts";
import { idx, noise, writeFiles } from "../../support/data-files.ts";
import { runCli } from "../../support/run-cli.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-data-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const labels = (count: number) => Array.from({ length: count }, (_, i) => i % 10);
const FILES = {
  "train-images-idx3-ubyte": idx([20, 28, 28], noise(20 * 784)),
  "train-labels-idx1-ubyte": idx([20], labels(20)),
  "t10k-images-idx3-ubyte": idx([11, 28, 28], noise(11 * 784, 2)),
  "t10k-labels-idx1-ubyte": idx([11], labels(11)),
};

describe("potstill data", () => {
  it("tells of every known set whether it is here", async () => {
    writeFiles(
      join(root, "data"),
      Object.fromEntries(Object.entries(FILES).map(([name, bytes]) => [`kmnist/${name}`, bytes])),
    );
    const { code, stdout, stderr } = await runCli(["data"], root, { POTSTILL_DATA: "" });
    expect([code, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBe(14);
    expect(lines[1]).toMatch(/^digits +1 x 8 x 8 +10 +1297 +500 +come with the program$/);
    expect(lines[2]).toMatch(/^mnist +1 x 28 x 28 +10 +60000 +10000 +not here$/);
    expect(lines[4]).toMatch(/^kmnist +1 x 28 x 28 +10 +60000 +10000 +data\/kmnist$/);
  });

  it("tells what is in a folder", async () => {
    writeFiles(join(root, "mine"), FILES);
    const source = await loadSource(join(root, "mine"));
    const { code, stdout, stderr } = await runCli(["data", "mine"], root);
    expect([code, stderr]).toEqual([0, ""]);
    const told = new Map(
      stdout.split("\n").map((line) => [line.slice(0, 9).trim(), line.slice(11)] as const),
    );
    expect(told.get("data set")).toBe("mine");
    expect(told.get("id")).toBe(source.id);
    expect(told.get("images")).toBe("1 x 28 x 28");
    expect(told.get("training")).toBe("20 images: 2 a class");
    expect(told.get("test")).toMatch(/^11 images: 0 2, 1 1, .*9 1$/);
    expect(told.get("published")).toBe("none");
    expect(told.get("computed")).toMatch(/^mean 0\.4\d+, std 0\.2\d+$/);
    expect(told.get("files")).toBe("IDX files in mine");
    expect(stdout).toMatch(/mine\/train-labels-idx1-ubyte {2}md5 [0-9a-f]{32} {2}not known\n/);
  });

  it.concurrent.each([
    [
      ["data", "mnist"],
      1,
      /^dataset: mnist must be in elsewhere\/mnist or elsewhere\/MNIST\/raw .+\n$/,
    ],
    [["data", "letters"], 1, /^dataset: must be one of digits, .+, got "letters"\n$/],
    [
      ["data", "--download"],
      2,
      "potstill: --download must come with the name of a data set, got none\n",
    ],
    [
      ["data", "digits", "--download"],
      2,
      /^potstill: --download must come with a set that is published: mnist, .+, got "digits"\n$/,
    ],
  ] as const)("says what is wrong with %j", async (args, code, says) => {
    const finished = await runCli([...args, "--data", "elsewhere"], root);
    expect([finished.code, finished.stdout]).toEqual([code, ""]);
    expect(finished.stderr).toEqual(typeof says === "string" ? says : expect.stringMatching(says));
  });
});

describe("a run", () => {
  const digits = readRecipe(shippedRecipes().get("digits-ipc1")!);

  it("knows its network without the files of a known set", async () => {
    const recipe = resolveRecipe(digits, {
      dataset: "cifar-100",
      network: "ConvNetD3",
      width: 128,
    });
    const { task } = await modelOf(recipe);
    expect(task).toEqual({ channels: 3, size: 32, classes: 100 });
    const tiny = resolveRecipe(digits, { dataset: "tiny-imagenet", size: 32 });
    expect((await modelOf(tiny)).task).toEqual({ channels: 3, size: 32, classes: 200 });
    await expect(workOf(recipe, { data: join(root, "none") })).rejects.toThrow(
      "dataset: cifar-100 must be in",
    );
  });

  it("takes the part of the data that its recipe says", async () => {
    const recipe = resolveRecipe(digits, { per_class: 5, normalisation: "computed" });
    const { source, model } = await workOf(recipe);
    expect([source.train.count, source.test.count, model.task.classes]).toEqual([50, 500, 10]);
    expect(source.normalisation).toBeUndefined();
  });

  it("keeps which data it was made with, and finds out when they are others", async () => {
    const folder = writeFiles(join(root, "run"), {});
    const source = await loadSource(writeFiles(join(root, "mine"), FILES));
    checkData(folder, source);
    recordData(folder, source);
    const record = JSON.parse(readFileSync(join(folder, "data.json"), "utf8")) as object;
    expect(record).toEqual({
      ...{ name: "mine", id: source.id, images: [1, 28, 28], train: 20, test: 11, notes: [] },
      classes: source.classes,
    });
    checkData(folder, source);
    const other = await loadSource("digits");
    expect(() => checkData(folder, other)).toThrow(
      `data.json: the run's data must be digits as it is here (id ${other.id}), got id ${source.id}`,
    );
    writeFileSync(join(folder, "data.json"), "{");
    expect(() => checkData(folder, source)).toThrow("got no id");
  });

  it("of images that are not square is refused", async () => {
    const wide = {
      ...FILES,
      "train-images-idx3-ubyte": idx([20, 28, 14], noise(20 * 392)),
      "t10k-images-idx3-ubyte": idx([11, 28, 14], noise(11 * 392)),
    };
    const recipe = resolveRecipe(digits, { dataset: writeFiles(join(root, "wide"), wide) });
    await expect(workOf(recipe)).rejects.toThrow(
      "dataset: images must be as wide as high, got 28 by 14",
    );
  });
});
