/** @file Strategies of augmentation: which operators there are, and which of them a recipe asks for. */
import type { Recipe, Teaching } from "../recipe.ts";
import { closest } from "../spelling.ts";

export const OPERATORS = ["color", "crop", "cutout", "flip", "scale", "rotate"] as const;

/** An operator of differentiable augmentation. */
export type Operator = (typeof OPERATORS)[number];

/** The operators of which one is drawn for each batch; none leaves the images as they are. */
export type Strategy = readonly Operator[];

/** The published strategy. */
export const DSA_STRATEGY = "color_crop_cutout_flip_scale_rotate";

/** What a strategy's text must be. */
export const STRATEGY_RULE = `none, or some of ${OPERATORS.join(", ")} joined by _`;

/**
 * The operators that `text` names, joined by _; none for "none".
 * @throws RangeError that says what the text must be.
 */
export function parseStrategy(text: string): Strategy {
  if (text === "none") return [];
  const words = text.split("_");
  words.forEach((word, at) => {
    const got = JSON.stringify(word.slice(0, 40));
    const meant = closest(word, OPERATORS);
    const hint = meant === undefined ? "" : ` (did you mean ${meant}?)`;
    if (!OPERATORS.some((operator) => operator === word))
      throw new RangeError(`must be ${STRATEGY_RULE}, got ${got}${hint}`);
    if (words.indexOf(word) !== at)
      throw new RangeError(`must be ${STRATEGY_RULE}, got ${word} twice`);
  });
  return words as Operator[];
}

/** The text of a strategy, "none" for one of nothing. */
export function strategyText(strategy: Strategy): string {
  return strategy.length === 0 ? "none" : strategy.join("_");
}

/** Whether {@link parseStrategy} takes the text. */
export function isStrategy(text: string): boolean {
  try {
    parseStrategy(text);
    return true;
  } catch {
    return false;
  }
}

/** The strategy of a recipe's teachers. */
export function teacherStrategy({ dsa, dsa_strategy: text, teachers }: Teaching): Strategy {
  return (teachers.augment ?? dsa) ? parseStrategy(text) : [];
}

/** The strategies of a recipe: of its student, of its teachers, and of networks that are evaluated. */
export function strategiesOf(
  recipe: Recipe,
): Record<"student" | "teachers" | "evaluation", Strategy> {
  const { dsa, dsa_strategy: text, evaluation } = recipe;
  const strategy = parseStrategy(text);
  const where = (augmented: boolean): Strategy => (augmented ? strategy : []);
  return {
    student: where(dsa),
    teachers: teacherStrategy(recipe),
    evaluation: where(evaluation.augment ?? dsa),
  };
}
