/** @file The plan of an evaluation: what is the same for all sets and networks that are compared. */
import type { Recipe } from "../recipe.ts";
import { strategiesOf, type Strategy } from "../training/strategy.ts";
import type { EvaluationSettings } from "./evaluate.ts";

/** Settings (DATM.md §7), whose lr is of sets that have learned none. */
export interface EvaluationPlan extends EvaluationSettings {
  readonly augmentation: Strategy;
  /** Of all random draws. */
  readonly seed: number;
}

/** A recipe's plan; sets that have learned no lr are trained with its `evaluation.lr`, or `lr_teacher`. */
export function planOf(recipe: Recipe): EvaluationPlan {
  const { num_eval: seeds, epoch_eval_train: epochs, batch, momentum } = recipe.evaluation;
  const { weight_decay: weightDecay, lr = recipe.lr_teacher } = recipe.evaluation;
  const { evaluation: augmentation } = strategiesOf(recipe);
  return { seeds, epochs, batch, momentum, weightDecay, lr, augmentation, seed: recipe.seed };
}
