/** @file Held-out images: which they are, what is left, and which recipes hold some out. */

import { describe, expect, it } from "vitest";

import { DataError, type Dataset } from "../../../distill/data/dataset.ts";
import { loadDigits } from "../../../distill/data/digits.ts";
import { withHeldOut } from "../../../distill/data/held-out.ts";
import { normalise } from "../../../distill/data/preprocess.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import {
  chosenOn,
  heldOutShare,
  resolveRecipe,
  teachingOf,
  type RecipeOverrides,
} from "../../../distill/recipe.ts";
import { difference } from "../../../distill/teachers/teacher-meta.ts";
import { teacherKind } from "../../../distill/teachers/teacher.ts";

const digits = normalise(loadDigits());

describe("held-out images", () => {
  const { train, heldOut, test, id } = withHeldOut(digits, 0.1);

  it("are a share of every class, and the rest is left in its order", () => {
    const per = (labels: ArrayLike<number>): number[] => {
      const counts = new Array<number>(10).fill(0);
      for (const label of Array.from(labels)) counts[label]!++;
      return counts;
    };
    expect(per(heldOut!.labels)).toEqual(per(digits.train.labels).map((n) => Math.round(n / 10)));
    expect(train.count + heldOut!.count).toBe(digits.train.count);
    expect(test).toBe(digits.test);
    const images = (of: Dataset["train"]): string[] =>
      Array.from({ length: of.count }, (_, i) => `${of.labels[i]}: ${of.images([i]).join()}`);
    const [all, kept, held] = [digits.train, train, heldOut!].map(images);
    expect([...kept!, ...held!].sort()).toEqual([...all!].sort());
    const known = new Set(held);
    expect(kept!.filter((image) => !known.has(image))).toEqual(
      all!.filter((image) => !known.has(image)),
    );
  });

  it("are the same each time, and make other data of the set", () => {
    const again = withHeldOut(digits, 0.1);
    expect(again.id).toBe(id);
    expect(id).not.toBe(digits.id);
    expect(withHeldOut(digits, 0.2).id).not.toBe(id);
    expect(again.heldOut!.images([3, 0])).toEqual(heldOut!.images([3, 0]));
    expect(() => heldOut!.images([heldOut!.count])).toThrow(RangeError);
  });

  it("must leave some", () => {
    const one = { ...digits, train: { ...digits.train, count: 1, labels: Uint8Array.of(0) } };
    expect(() => withHeldOut({ ...one, classes: ["0"] }, 0.5)).toThrow(DataError);
  });
});

describe("a recipe", () => {
  const shipped = readRecipe(shippedRecipes().get("digits-ipc1")!);
  const recipe = (overrides: RecipeOverrides) => resolveRecipe(shipped, overrides);

  it.each<[RecipeOverrides, number, string | undefined]>([
    [{}, 0, undefined],
    [{ eval_every: 10 }, 0.1, undefined],
    [{ eval_every: 10, keep: "best" }, 0.1, "held-out"],
    [{ eval_every: 10, keep: "best", held_out: 0.25 }, 0.25, "held-out"],
    [{ eval_every: 10, keep: "best", select_on: "test" }, 0, "test"],
    [{ held_out: 0.2, keep: "best" }, 0.2, undefined],
  ])("with %j holds out %d and chooses on %s", (overrides, share, images) => {
    const resolved = recipe(overrides);
    expect([heldOutShare(resolved), chosenOn(resolved)]).toEqual([share, images]);
    expect(heldOutShare(teachingOf(resolved))).toBe(share);
  });

  it("must hold some out to choose on", () => {
    expect(() => recipe({ eval_every: 10, held_out: 0 })).toThrow(
      "held_out must be above 0 where eval_every chooses on held-out images, got 0",
    );
  });

  it("has teachers that have not seen them, which their files say", () => {
    const whole = teacherKind(shipped, digits);
    const part = teacherKind(recipe({ eval_every: 10 }), withHeldOut(digits, 0.1));
    expect(difference(whole, part)).toEqual({ key: "heldOut", must: "0.1", got: "none" });
    expect(difference(part, part)).toBe(undefined);
    expect("heldOut" in whole).toBe(false);
  });
});
