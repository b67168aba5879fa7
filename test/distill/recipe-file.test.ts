/** @file Recipes that extend others, and where their mistakes are said to be. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { RecipeError } from "../../distill/recipe.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-extends-"));
  mkdirSync(join(folder, "more"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** What a recipe is refused with, paths relative to the folder. */
function refusal(path: string): string {
  try {
    readRecipe(path);
  } catch (error) {
    expect(error).toBeInstanceOf(RecipeError);
    return (error as RecipeError).message.replaceAll(`${folder}/`, "");
  }
  throw new Error("the recipe was accepted");
}

describe("extends", () => {
  it("takes from a shipped recipe what the file does not say, key by key in groups", () => {
    const base = readRecipe(shippedRecipes().get("digits-ipc10")!);
    const path = file("own.yaml", "extends: digits-ipc10\nlr_img: 3\nteachers:\n  experts: 2\n");
    expect(readRecipe(path)).toEqual({
      ...base,
      lr_img: 3,
      teachers: { ...base.teachers, experts: 2 },
    });
  });

  it("follows files relative to the one that names them, over several steps", () => {
    file("first.yaml", "extends: digits-ipc1\nseed: 5\niterations: 7\n");
    file("more/second.yaml", "extends: ../first.yaml\niterations: 8\n");
    const third = file("more/third.yaml", "extends: second.yaml\nlr_y: 0\n");
    expect(readRecipe(third)).toMatchObject({ seed: 5, iterations: 8, lr_y: 0, ipc: 1 });
  });

  it("has the settings that all published recipes share", () => {
    const path = file("published.yaml", "extends: published\nsyn_steps: 0\n");
    expect(refusal(path)).toContain("published.yaml, line 2: syn_steps must be");
    expect(refusal(path)).toContain("published.yaml: max_start_epoch must be");
  });

  it("names the file and line of a mistake, in whichever file it is", () => {
    file("wrong.yaml", "extends: digits-ipc1\n\nlr_img: -1\n");
    const path = file("child.yaml", "extends: wrong.yaml\nipc: none\n");
    expect(refusal(path)).toBe(
      'child.yaml, line 2: ipc must be an integer from 1, got "none"\n' +
        "wrong.yaml, line 3: lr_img must be a number from 0, got -1",
    );
  });

  it("refuses a recipe that is not there, one that comes back to itself, and no name", () => {
    expect(refusal(file("a.yaml", "extends: digits-ipc2\n"))).toBe(
      'a.yaml, line 1: extends must be a shipped recipe or a file, got "digits-ipc2" (did you mean digits-ipc1?)',
    );
    file("b.yaml", "seed: 1\nextends: c.yaml\n");
    expect(refusal(file("c.yaml", "extends: b.yaml\n"))).toBe(
      "b.yaml, line 2: extends must be another recipe, got itself by way of c.yaml",
    );
    expect(refusal(file("d.yaml", "extends: [a]\n"))).toBe(
      'd.yaml, line 1: extends must be a recipe\'s name or file, got ["a"]',
    );
    expect(refusal(file("e.yaml", "- 1\n"))).toContain("e.yaml: a recipe must be");
  });
});
