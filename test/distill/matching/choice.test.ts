/** @file The choice of the best set: on held-out images, or on the test set as published. */

import { expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { buildModel } from "../../../models/index.ts";
import { loadDigits } from "../../../distill/data/digits.ts";
import { withHeldOut } from "../../../distill/data/held-out.ts";
import { normalise } from "../../../distill/data/preprocess.ts";
import type { Dataset, Split } from "../../../distill/data/dataset.ts";
import { scoreFor, type Choice } from "../../../distill/matching/choice.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import { resolveRecipe } from "../../../distill/recipe.ts";
import { sharedGpu } from "../../support/gpu.ts";

const gpu = sharedGpu();
const model = buildModel("MLP", { channels: 1, size: 8, classes: 10 });

/** The same images, all said to be of a class. */
const said = (split: Split, label: number): Split => ({
  ...split,
  labels: new Uint8Array(split.count).fill(label),
});

it("asks the held-out images, or the test images where the recipe says so", async () => {
  const whole = withHeldOut(normalise(loadDigits()), 0.1);
  const dataset: Dataset = {
    ...whole,
    train: said(whole.train, 1),
    heldOut: said(whole.heldOut!, 0),
    test: said(whole.test, 1),
  };
  // Networks that are trained on zeros alone say 0 of everything.
  const set = {
    images: new Float32Array(10 * 64),
    labels: Float32Array.from({ length: 100 }, (_, i) => (i % 10 === 0 ? 0 : -50)),
    lr: 0.1,
  };
  const shipped = readRecipe(shippedRecipes().get("digits-ipc1")!);
  const evaluation = { num_eval: 1, epoch_eval_train: 100 };
  for (const [on, expected] of [
    ["held-out", 1],
    ["test", 0],
  ] as const) {
    const recipe = resolveRecipe(shipped, { eval_every: 5, select_on: on, evaluation });
    const choices: Choice[] = [];
    const context = { gpu: gpu(), dataset, model };
    const score = scoreFor(context, recipe, new Random(1), (choice) => choices.push(choice))!;
    const mean = await score(set, 5);
    expect(Math.abs(mean - expected)).toBeLessThan(0.5);
    expect(choices).toEqual([{ iteration: 5, lr: set.lr, accuracies: [mean] }]);
  }
  expect(scoreFor({ gpu: gpu(), dataset, model }, shipped, new Random(1), () => undefined)).toBe(
    undefined,
  );
});
