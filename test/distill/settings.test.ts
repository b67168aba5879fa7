/** @file Settings as flags: under the names that recipes have, hyphens or not. */

import { expect, it } from "vitest";

import { namedRecipe, underscored } from "../../distill/cli/settings.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";

it("takes hyphens for underscores in names of settings, and in nothing else", () => {
  const words = ["teach", "digits", "--per-class", "50", "--teachers.keep-epochs=0..9"];
  expect(underscored(words)).toEqual([
    ...["teach", "digits", "--per_class", "50", "--teachers.keep_epochs=0..9"],
  ]);
  expect(underscored(["--keep-epochs", "0..9", "--syn-steps=5"])).toEqual([
    ...["--keep_epochs", "0..9", "--syn_steps=5"],
  ]);
  const others = [
    "--dry-run",
    "--out",
    "my-run",
    "--lr-imgs",
    "-q",
    "--",
    "--no-zca",
    "a--per-class",
  ];
  expect(underscored(others)).toEqual(others);
});

it("takes a recipe by its file or, where it is shipped, by its name", () => {
  const file = shippedRecipes().get("digits-ipc50")!;
  for (const recipe of ["digits-ipc50", file])
    expect(namedRecipe({ dataset: undefined, recipe }, "distill")).toEqual(readRecipe(file));
  expect(() => namedRecipe({ dataset: "digits", recipe: "digit-ipc50" }, "distill")).toThrow(
    "digit-ipc50: must be a recipe file or a shipped recipe, got neither (did you mean digits-ipc50?)",
  );
  expect(() => namedRecipe({ dataset: "mnist", recipe: "digits-ipc50" }, "distill")).toThrow(
    "digits-ipc50: dataset must be mnist, got digits",
  );
});
