/** @file How the best set of a run is chosen where a recipe asks for evaluations on the way. */
import type { Gpu, Random } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { syntheticSet } from "../evaluation/baselines.ts";
import type { Score } from "./best.ts";
import type { Dataset, Split } from "../data/dataset.ts";
import { part } from "../data/held-out.ts";
import { evaluate } from "../evaluation/evaluate.ts";
import type { Recipe } from "../recipe.ts";
import { strategiesOf } from "../training/strategy.ts";

/** Images that a choice is made on, at most. */
const IMAGES = 10_000;

/** An evaluation on the way. */
export interface Choice {
  readonly iteration: number;
  readonly lr: number;
  /** In 0..1, one a seed. */
  readonly accuracies: readonly number[];
}

/**
 * The score of a set where the recipe has `eval_every`, else none: the mean accuracy, by the recipe's
 * protocol, on images that were held out of the training set. With `select_on: test` it is on the test
 * set, as in the published programs, which so report the accuracy that they chose by.
 * @throws RangeError when no images were held out.
 */
export function scoreFor(
  { gpu, dataset, model }: { gpu: Gpu; dataset: Dataset; model: Model },
  recipe: Recipe,
  random: Random,
  report: (choice: Choice) => void,
): Score | undefined {
  if (recipe.eval_every === undefined) return undefined;
  const { num_eval: seeds, epoch_eval_train: epochs, batch, momentum } = recipe.evaluation;
  const { weight_decay: weightDecay } = recipe.evaluation;
  const { evaluation: augmentation } = strategiesOf(recipe);
  const from = recipe.select_on === "test" ? dataset.test : dataset.heldOut;
  if (!from) throw new RangeError("eval_every: images must be held out to choose on, got none");
  const sampled = { ...dataset, test: sample(from, random.stream("images")) };
  return async ({ images, labels, lr }, iteration) => {
    const set = syntheticSet(images, labels, dataset.classes.length);
    const settings = { seeds, epochs, batch, lr, momentum, weightDecay, augmentation };
    const { mean, values } = await evaluate(gpu, model, () => set, sampled, settings, random);
    report({ iteration, lr, accuracies: values });
    return mean;
  };
}

/** Some images of a split at random, or all of them. */
const sample = (split: Split, random: Random): Split =>
  part(split, random.permutation(split.count).subarray(0, IMAGES));
