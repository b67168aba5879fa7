/** @file Methods: the defaults of each, what overrides them, and what a change of method takes back. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { METHOD_NAMES } from "../../../distill/matching/methods.ts";
import {
  readRecipe,
  recipeToYaml,
  parseRecipe,
  shippedRecipes,
} from "../../../distill/recipe-file.ts";
import { checkedRecipe, resolveRecipe, type Recipe } from "../../../distill/recipe.ts";

const minimal = {
  ...{ dataset: "digits", ipc: 1, network: "ConvNetD2" },
  teachers: { experts: 6, epochs: 15, batch: 32, lr: 0.05 },
  ...{ syn_steps: 20, expert_epochs: 2, batch_syn: 10, lr_img: 10, lr_lr: 0, max_start_epoch: 4 },
};
const of = (settings: object): Recipe => checkedRecipe({ ...minimal, ...settings }, () => "here");

const decided = ({ labels, lr_y, gradient, ema_decay, sequential, teachers }: Recipe) => {
  return { labels, lr_y, gradient, ema_decay, sequential, optimizer: teachers.optimizer };
};
const plain = {
  ...{ labels: "hard", lr_y: 0, gradient: "exact", ema_decay: 0, sequential: false },
  optimizer: "sgd",
};
const growing = { current_max_start_epoch: 2, expansion_end_epoch: 100 };

describe("a method", () => {
  it.each([
    ["mtt", {}],
    ["ftd", { ema_decay: 0.999, optimizer: "gsam" }],
    ["tesla", { labels: "soft", gradient: "tesla" }],
  ])("%s decides what the recipe does not say", (method, differences) => {
    expect(decided(of({ method, ...growing }))).toEqual({ ...plain, ...differences });
  });

  it("datm learns soft labels at a rate of the recipe's, and its range grows where it says how", () => {
    const datm = { ...plain, labels: "soft", lr_y: 5, optimizer: "gsam" };
    expect(decided(of({ lr_y: 5 }))).toEqual(datm);
    expect(decided(of({ lr_y: 5, ...growing }))).toEqual({ ...datm, sequential: true });
    expect(decided(of({ lr_y: 5, ...growing, sequential: false }))).toEqual(datm);
    expect(() => of({})).toThrow("here: lr_y must be a number from 0, got nothing");
  });

  it("gives way to what the recipe says", () => {
    const own = { labels: "soft", lr_y: 2, gradient: "tesla", ema_decay: 0.5 };
    for (const method of METHOD_NAMES) expect(of({ method, ...own })).toMatchObject(own);
    const teachers = { ...minimal.teachers, optimizer: "sgd" };
    expect(of({ lr_y: 1, teachers }).teachers.optimizer).toBe("sgd");
    expect(of({ labels: "hard" })).toMatchObject({ method: "datm", lr_y: 0 });
  });

  it("is refused where the recipe contradicts it", () => {
    expect(() => of({ method: "mtt", lr_y: 1 })).toThrow(
      "here: lr_y must be 0 with hard labels, which are not learned, got 1",
    );
  });

  it("is written out, so that the text of a recipe says all", () => {
    const ftd = of({ method: "ftd" });
    expect(parseRecipe(recipeToYaml(ftd), "again")).toEqual(ftd);
  });
});

describe("another method", () => {
  const base = of({ lr_y: 5, ...growing, ema_decay: 0.5 });

  it("over a recipe takes back what its method decided, but not what comes with it", () => {
    expect(base.teachers.optimizer).toBe("gsam");
    expect(decided(resolveRecipe(base, { method: "mtt" }))).toEqual(plain);
    expect(resolveRecipe(base, { method: "tesla", lr_y: 3 })).toMatchObject({
      ...{ gradient: "tesla", labels: "soft", lr_y: 3, ema_decay: 0 },
    });
    expect(resolveRecipe(base, { method: "datm" })).toEqual(base);
    expect(() => resolveRecipe(of({ method: "mtt" }), { method: "datm" })).toThrow(
      "command line: lr_y must be a number from 0, got nothing",
    );
  });

  it("in a file that extends another does so too", () => {
    const folder = mkdtempSync(join(tmpdir(), "potstill-methods-"));
    try {
      const path = join(folder, "mtt.yaml");
      writeFileSync(path, "extends: digits-ipc10\nmethod: mtt\n");
      const shipped = readRecipe(shippedRecipes().get("digits-ipc10")!);
      const { optimizer, ...own } = plain;
      expect(readRecipe(path)).toEqual({
        ...{ ...shipped, ...own, method: "mtt" },
        teachers: { ...shipped.teachers, optimizer },
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
