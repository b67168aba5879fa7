/** @file What a dry run plans, and that the largest published shape fits 2 GiB. */
import { expect, it } from "vitest";

import { dryRun } from "../../distill/cli/dry-run.ts";
import { planMatching } from "../../distill/matching/match.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { resolveRecipe } from "../../distill/recipe.ts";
import { modelOf } from "../../distill/run.ts";

const shipped = (name: string) => readRecipe(shippedRecipes().get(name)!);

it("plans 80 steps of 1000 of CIFAR-100's 100,000 images in 2 GiB, parameters of all steps included", async () => {
  const recipe = resolveRecipe(shipped("cifar-100-ipc100"), { ipc: 1000, memory: "2GiB" });
  const model = await modelOf(recipe);
  const plan = planMatching(model, recipe, 100_000);
  expect([recipe.width, recipe.syn_steps, recipe.batch_syn]).toEqual([128, 80, 1000]);
  expect(plan.memory.total).toBeLessThanOrEqual(2 * 2 ** 30);
  expect(plan.memory.variables).toBeGreaterThan(4 * 81 * model.size);
  expect(plan.micro).toBeGreaterThanOrEqual(100);
});

it("says what a run takes, without its data", async () => {
  const lines = (await dryRun(shipped("cifar-10-ipc1"))).split("\n");
  expect(lines.map((line) => line.split(" ")[0])).toEqual([
    ...["network", "matching", "set", "GPU", "teachers", "disk"],
  ]);
  expect(lines[0]).toContain("320010 parameters");
  expect(lines[4]).toContain("100 of 101 snapshots, 12.0 GiB");
  const kept = resolveRecipe(shipped("cifar-10-ipc1"), {
    teachers: { keep_epochs: "0..10", precision: "float16" },
  });
  // Epochs 0 to 10 and the last, at two bytes a parameter.
  expect(await dryRun(kept)).toContain("100 of 12 snapshots, 732 MiB");
});
