/** @file What an iteration draws: its teacher, its start epoch, its minibatches and their augmentation (DATM.md §5). */
import type { Random } from "../../engine/index.ts";
import { drawRows } from "../training/augment.ts";
import type { ImageShape } from "../data/dataset.ts";
import type { Recipe } from "../recipe.ts";
import { strategiesOf } from "../training/strategy.ts";

/** Upper bound (exclusive) of the start epoch at an iteration, counted from 0: T_now of DATM.md §5. */
export function maxStartEpoch(recipe: Recipe, iteration: number): number {
  const {
    max_start_epoch: most,
    current_max_start_epoch: first,
    expansion_end_epoch: end,
  } = recipe;
  if (!recipe.sequential || first === undefined || end === undefined) return most;
  return Math.min(most, first + Math.floor(((most - first) * iteration) / end));
}

/**
 * Endless minibatches of a set: a random permutation is cut into chunks of `batch` from its front,
 * and used from the last chunk, so that a short one comes first; then comes a new permutation.
 */
export function* minibatchStream(
  count: number,
  batch: number,
  random: Random,
): Generator<Uint32Array, never> {
  for (;;) {
    const order = random.permutation(count);
    const last = Math.floor((count - 1) / batch) * batch;
    for (let at = last; at >= 0; at -= batch) yield order.subarray(at, Math.min(at + batch, count));
  }
}

/** What an iteration draws. */
export interface Draws {
  readonly teacher: number;
  /** Epoch t that the student starts from; a fraction where teachers are straight lines. */
  readonly start: number;
  /** S lists of indices into the synthetic set. */
  readonly minibatches: readonly Uint32Array[];
  /** Rows `[B, ROW]` of each minibatch's augmentation; empty without one. */
  readonly augmentations: readonly Float32Array[];
}

/** What draws are made from. */
export interface DrawOptions {
  readonly recipe: Recipe;
  /** How many teachers there are. */
  readonly teachers: number;
  /** N, images in the synthetic set. */
  readonly images: number;
  readonly shape: ImageShape;
  /** Whether teachers are known between epochs too, as convexified ones are (MCT, arXiv 2406.19827). */
  readonly continuous: boolean;
  readonly random: Random;
}

/**
 * The draws of an iteration, counted from 0, one for each of its trajectories. They depend on its
 * number and the seed alone, so a run may go on from any iteration.
 */
export function drawTrajectories(options: DrawOptions, iteration: number): Draws[] {
  const { trajectories: count } = options.recipe;
  return Array.from({ length: count }, (_, i) =>
    drawIteration(options, iteration * count + i, iteration),
  );
}

/**
 * Draws by number, where T_now is that of an iteration. Teachers come in shuffled order, all of them
 * before any comes again; each time begins with a permutation of its own.
 */
export function drawIteration(options: DrawOptions, number: number, iteration = number): Draws {
  const { recipe, teachers, images, shape, continuous, random } = options;
  const own = (purpose: string, at = number): Random => random.stream(purpose).stream(String(at));
  const order = own("teachers", Math.floor(number / teachers)).permutation(teachers);
  const least = recipe.min_start_epoch;
  const range = maxStartEpoch(recipe, iteration) - least;
  const epochs = own("start epochs");
  const { batch_syn: batch, syn_steps: steps } = recipe;
  const stream = minibatchStream(images, batch, own("minibatches"));
  const { student: strategy } = strategiesOf(recipe);
  const augmented = own("augmentation");
  return {
    teacher: order[number % teachers]!,
    start: least + (continuous ? epochs.uniform() * (range - 1) : epochs.below(range)),
    minibatches: Array.from({ length: steps }, () => stream.next().value),
    augmentations: Array.from({ length: strategy.length > 0 ? steps : 0 }, () =>
      drawRows(strategy, shape, batch, augmented),
    ),
  };
}
