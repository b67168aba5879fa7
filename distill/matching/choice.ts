/** @file How the best set of a run is chosen where a recipe asks for evaluations on the way. */
import type { Gpu, Random } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { syntheticSet } from "../evaluation/baselines.ts";
import type { Score } from "./best.ts";
import type { Dataset, Split } from "../data/dataset.ts";
import { evaluate } from "../evaluation/evaluate.ts";
import type { Recipe } from "../recipe.ts";
import { strategiesOf } from "../training/strategy.ts";

/** Training images that a choice is made on, at most. */
const IMAGES = 10_000;

/** An evaluation on the way. */
export interface Choice {
  readonly iteration: number;
  readonly lr: number;
  /** On training images, in 0..1, one a seed. */
  readonly accuracies: readonly number[];
}

/**
 * The score of a set where the recipe has `eval_every`, else none: the mean accuracy, by the recipe's
 * protocol, on real training images. Published programs take the test images here, and so report the
 * accuracy that they chose by; ours stay unseen.
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
  const sampled = { ...dataset, test: sample(dataset.train, IMAGES, random.stream("images")) };
  return async ({ images, labels, lr }, iteration) => {
    const set = syntheticSet(images, labels, dataset.classes.length);
    const settings = { seeds, epochs, batch, lr, momentum, weightDecay, augmentation };
    const { mean, values } = await evaluate(gpu, model, () => set, sampled, settings, random);
    report({ iteration, lr, accuracies: values });
    return mean;
  };
}

/** `most` images of a split at random, or all of them. */
function sample(split: Split, most: number, random: Random): Split {
  const chosen = random.permutation(split.count).subarray(0, most);
  return {
    count: chosen.length,
    labels: Uint16Array.from(chosen, (i) => split.labels[i]!),
    images: (indices, out) =>
      split.images(
        Array.from(indices, (i) => chosen[i]!),
        out,
      ),
  };
}
