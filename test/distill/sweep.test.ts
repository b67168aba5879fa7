/** @file Sweeps: the points of a grid by their names, and what is none. */
import { describe, expect, it } from "vitest";

import { pointsOf, sweepsOf } from "../../distill/cli/sweep.ts";
import { UsageError } from "../../distill/cli/usage.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { RecipeError } from "../../distill/recipe.ts";

const recipe = readRecipe(shippedRecipes().get("digits-ipc1")!);
const points = (...texts: string[]) => pointsOf("digits", recipe, sweepsOf(texts));

describe("a sweep", () => {
  it("is all combinations of its values, the recipe else as it was", () => {
    const all = points("lr_img=1,1e2", "teachers.optimizer=sgd,gsam", "sequential=false");
    expect(all.map(({ name }) => name)).toEqual([
      "digits,lr_img=1,teachers.optimizer=sgd,sequential=false",
      "digits,lr_img=1,teachers.optimizer=gsam,sequential=false",
      "digits,lr_img=100,teachers.optimizer=sgd,sequential=false",
      "digits,lr_img=100,teachers.optimizer=gsam,sequential=false",
    ]);
    const { teachers, ...last } = all[3]!.recipe;
    expect([last.lr_img, teachers.optimizer, last.sequential]).toEqual([100, "gsam", false]);
    expect([last.syn_steps, teachers.lr]).toEqual([recipe.syn_steps, recipe.teachers.lr]);
    expect(points()).toEqual([{ name: "digits", recipe }]);
  });

  it.each([
    [["lr_img"], '--sweep must be setting=value,value like lr_img=10,100, got "lr_img"'],
    [["lr_img=1,"], '--sweep must be setting=value,value like lr_img=10,100, got "lr_img=1,"'],
    [["lr_imgs=1"], "--sweep: lr_imgs must be a setting of recipes (did you mean lr_img?)"],
    [["lr_img=1", "lr_img=2"], "--sweep: every setting must be there once, got lr_img twice"],
    [["lr_img=1,1.0"], "--sweep: every value of lr_img must be there once, got 1 twice"],
  ])("that can't be is refused: %j", (texts, sentence) => {
    expect(() => points(...texts)).toThrow(new UsageError(sentence));
  });

  it("tells of every point whose settings do not fit together", () => {
    expect(() => points("lr_img=1,x", "min_start_epoch=0,99")).toThrow(RecipeError);
    expect(() => points("min_start_epoch=0,99")).toThrow(
      /^digits,min_start_epoch=99: min_start_epoch /,
    );
  });
});
