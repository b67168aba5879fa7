/** @file A whole run with augmentation: its bits repeat, and every part of it is augmented. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { readDistilled } from "../../distill/distilled.ts";
import { createProgress } from "../../distill/progress.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { resolveRecipe, type RecipeOverrides } from "../../distill/recipe.ts";
import { beginRun, distil, distilledFile, openRun, teachersOf, workOf } from "../../distill/run.ts";
import { scoreDistilled } from "../../distill/evaluation/score.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = sharedGpu();
const root = mkdtempSync(join(tmpdir(), "potstill-augmented-"));
afterAll(() => rmSync(root, { recursive: true }));

let runs = 0;

/** Teachers, two iterations and an evaluation of a small network on the digits. */
async function run(overrides: RecipeOverrides) {
  const recipe = resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc1")!), {
    ...{ width: 4, syn_steps: 3, expert_epochs: 1, max_start_epoch: 1, iterations: 2 },
    ...overrides,
    teachers: { experts: 1, epochs: 1, ...overrides.teachers },
    evaluation: { num_eval: 2, epoch_eval_train: 3, ...overrides.evaluation },
  });
  const folder = join(root, String(runs++));
  beginRun(folder);
  const progress = createProgress({ quiet: true });
  const context = await openRun(gpu(), await workOf(recipe), folder, progress);
  const teachers = await teachersOf(context, recipe);
  const { images } = await distil(context, recipe, teachers);
  const row = await scoreDistilled(context, recipe);
  return {
    theta: teachers.snapshot(0, 1),
    images,
    accuracy: [row.mean, row.std],
    file: readFileSync(distilledFile(folder, 1)),
    meta: readDistilled(distilledFile(folder, 1)).meta,
  };
}

describe("a run with augmentation", () => {
  it("gives the same bytes again, and others without", async () => {
    const augmented = await run({ dsa: true });
    expect(augmented.images.every(Number.isFinite)).toBe(true);
    expect(await run({ dsa: true })).toEqual(augmented);
    const plain = await run({});
    expect(plain.theta).not.toEqual(augmented.theta);
    expect(plain.images).not.toEqual(augmented.images);
    expect(plain.meta.augmentation).toBe("none");
    expect(augmented.meta.augmentation).toBe("color_crop_cutout_flip_scale_rotate");

    // Each part alone.
    const student = await run({
      ...{ dsa: true, dsa_strategy: "scale" },
      teachers: { augment: false },
      evaluation: { augment: false },
    });
    expect(student.theta).toEqual(plain.theta);
    expect(student.images).not.toEqual(plain.images);
    expect(student.meta.augmentation).toBe("scale");
    const evaluation = await run({ evaluation: { augment: true } });
    expect(evaluation.file).toEqual(plain.file);
    const teachers = await run({ teachers: { augment: true } });
    expect(teachers.theta).toEqual(augmented.theta);
  });
});
