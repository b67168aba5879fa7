/** @file Recipes by chance: damaged files and values of any kind are read or refused in clear sentences. */

import { readFileSync } from "node:fs";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { FileError } from "../../distill/files.ts";
import { parseRecipe, recipeToYaml, shippedRecipes } from "../../distill/recipe-file.ts";
import { GROUPS, KEYS, RecipeError } from "../../distill/recipe.ts";
import { mutated, mutations } from "../support/mutation.ts";

const shipped = shippedRecipes();

/** Parses; a recipe must come back from its own YAML, an error must be one sentence a problem. */
function survives(text: string, source: string): "read" | "refused" {
  const begun = performance.now();
  try {
    const recipe = parseRecipe(text, source);
    expect(parseRecipe(recipeToYaml(recipe), "again")).toEqual(recipe);
    return "read";
  } catch (error) {
    if (!(error instanceof RecipeError || error instanceof FileError)) throw error;
    for (const line of error.message.split("\n")) expect(line).toMatch(/^\S.*: \S.*, got \S/);
    return "refused";
  } finally {
    expect(performance.now() - begun).toBeLessThan(1000);
  }
}

describe("a recipe", () => {
  it.each(["digits-ipc1", "cifar-100-ipc10"])(
    "is read or refused in 500 damaged copies of %s",
    (name) => {
      const path = shipped.get(name)!;
      const bytes = readFileSync(path);
      const seen = new Set<string>();
      const property = fc.property(mutations(bytes.length, bytes.length), (changes) => {
        seen.add(survives(new TextDecoder().decode(mutated(bytes, changes)), path));
      });
      fc.assert(property, { numRuns: 500, seed: 5 });
      expect(seen).toEqual(new Set(["read", "refused"]));
    },
  );

  it("is read or refused with values of any kind under its keys", () => {
    const value = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.boolean(),
      fc.string({ unit: "grapheme" }),
      fc.constantFrom(null, "1e3", "0..5", ".inf", "2GiB", "hard", [], {}, [1, [2]], { lr: 1 }),
    );
    const groups = Object.entries(GROUPS).flatMap(([group, keys]) =>
      keys.map((key) => [group, key]),
    );
    const place = fc.constantFrom(...KEYS.map((key) => [key]), ...groups);
    const changes = fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 3 });
    const seen = new Set<string>();
    const property = fc.property(changes, (list) => {
      const values: Record<string, unknown> = { extends: "digits-ipc1" };
      for (const [at, v] of list) {
        const [key, inner] = at as [string, string?];
        values[key] = inner === undefined ? v : { ...(values[key] as object), [inner]: v };
      }
      seen.add(survives(JSON.stringify(values), "f.yaml"));
    });
    fc.assert(property, { numRuns: 1000, seed: 6 });
    expect(seen).toEqual(new Set(["read", "refused"]));
  });
});
