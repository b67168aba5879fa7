/** @file How long a recipe's work would take on an adapter, from a few steps of each kind that are measured. */
import { Random, type Gpu } from "../engine/index.ts";
import { initialise, type Model } from "../models/index.ts";
import { match } from "./matching/match.ts";
import type { Recipe, Teaching } from "./recipe.ts";
import { teacherStrategy, strategiesOf, type Strategy } from "./training/strategy.ts";
import type { GsamSettings } from "./training/optimiser.ts";
import { Trainer, type TrainingSet } from "./training/train.ts";
import { softTargets } from "./labels.ts";

/** Times in ms. */
export type Estimate = Readonly<Record<"teachers" | "matching" | "evaluation", number>>;

/** What there is to do. */
export interface Probed<R extends Teaching = Recipe> {
  readonly model: Model;
  readonly recipe: R;
  /** Training images. */
  readonly count: number;
  /** Teachers to train, and how many of them at a time. */
  readonly teachers: number;
  readonly lanes: number;
  /** Ends it soon: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Whatever is measured is repeated until it took so long, in ms. */
const ENOUGH_MS = 80;
const TURNS = 3;
/** The first iterations are slower, so there must be more of them. */
const SOME_MS = 300;
/** An iteration that takes longer is measured by a few steps of its student. */
const LONG_MS = 500;
const STEPS = 2;
/** What a step forth and back costs, roughly, in steps of training on as many images. */
const STEP_COST = 4;

/** Ends the loop of a measurement. */
class Enough extends Error {}

/**
 * Measures on noise, which costs what images cost. Compiling is not counted, and lost on nobody: whatever
 * runs later on the same device takes what was compiled. Throws as `match` does.
 */
export async function estimate(gpu: Gpu, probed: Probed): Promise<Estimate> {
  const { model, recipe, signal } = probed;
  const { num_eval: seeds, epoch_eval_train: passes, batch } = recipe.evaluation;
  const images = recipe.ipc * model.task.classes;
  const { evaluation } = strategiesOf(recipe);
  const teachers = await estimateTeachers(gpu, probed);
  const small = Math.min(batch, images);
  const step = await stepTime(gpu, model, small, evaluation, undefined, signal);
  const iteration = await iterationTime(gpu, probed, step * (recipe.batch_syn / small));
  const choices = recipe.eval_every === undefined ? 0 : recipe.iterations / recipe.eval_every;
  const once = seeds * (passes + 1) * Math.ceil(images / batch) * step;
  return { teachers, matching: recipe.iterations * iteration + choices * once, evaluation: once };
}

/** The teachers' part of {@link estimate}. */
export async function estimateTeachers(
  gpu: Gpu,
  { model, recipe, count, teachers, lanes, signal }: Probed<Teaching>,
): Promise<number> {
  if (teachers === 0) return 0;
  const { epochs, batch, optimizer, rho, alpha, adaptive } = recipe.teachers;
  const gsam = optimizer === "gsam" ? { rho, alpha, adaptive } : undefined;
  const step = await stepTime(gpu, model, batch, teacherStrategy(recipe), gsam, signal);
  return Math.ceil(teachers / lanes) * epochs * Math.ceil(count / batch) * step;
}

/** The same noise `count` times. */
function noise(model: Model, count: number): TrainingSet {
  const { channels, size, classes } = model.task;
  const random = new Random(0);
  const pixels = channels * size ** 2;
  const image = Float32Array.from({ length: pixels }, () => random.normal());
  const images = (numbers: ArrayLike<number>): Float32Array => {
    const out = new Float32Array(numbers.length * pixels);
    for (let i = 0; i < numbers.length; i++) out.set(image, i * pixels);
    return out;
  };
  return { count, images, targets: softTargets(new Float32Array(count * classes), classes) };
}

/** Time of a step of training on a minibatch. */
async function stepTime(
  gpu: Gpu,
  model: Model,
  batch: number,
  augmentation: Strategy,
  gsam?: GsamSettings,
  signal?: AbortSignal,
): Promise<number> {
  const options = { augmentation, ...(gsam && { gsam }) };
  using trainer = await Trainer.compile(gpu, model, noise(model, batch), batch, options);
  trainer.reset(initialise(model, new Random(0)));
  const minibatch = Uint32Array.from({ length: batch }, (_, i) => i);
  const settings = { lr: 1e-3, momentum: 0, weightDecay: 0 };
  const some = async (steps: number): Promise<number> => {
    signal?.throwIfAborted();
    const begun = performance.now();
    trainer.train(new Array<Uint32Array>(steps).fill(minibatch), settings, new Random(0));
    await trainer.done();
    return performance.now() - begun;
  };
  await some(1);
  let steps = 1;
  let ms = await some(steps);
  while (ms < ENOUGH_MS / TURNS) ms = await some((steps *= 2));
  const turns = [ms];
  while (turns.length < TURNS && ms < ENOUGH_MS) turns.push((ms = await some(steps)));
  return median(turns) / steps;
}

/**
 * Time of an iteration, where a step of training takes `step`; where it is long, of a few steps of the
 * student as often as it has them.
 */
async function iterationTime(
  gpu: Gpu,
  { model, recipe, signal }: Probed,
  step: number,
): Promise<number> {
  const { syn_steps: all } = recipe;
  const steps = all * STEP_COST * step > LONG_MS ? Math.min(STEPS, all) : all;
  const some = { ...recipe, syn_steps: steps };
  return (await matchingTime(gpu, model, some, signal)) * (all / steps);
}

async function matchingTime(
  gpu: Gpu,
  model: Model,
  recipe: Recipe,
  signal?: AbortSignal,
): Promise<number> {
  const count = recipe.ipc * model.task.classes;
  const set = noise(model, count);
  const numbers = Uint32Array.from({ length: count }, (_, i) => i);
  const start = {
    images: Float32Array.from(set.images(numbers)),
    labels: new Float32Array(count * model.task.classes),
  };
  const thetas = ["start", "target"].map((name) => initialise(model, new Random(0).stream(name)));
  let asked = 0;
  const times: number[] = [];
  try {
    await match({
      gpu,
      model,
      recipe: { ...recipe, iterations: Number.MAX_SAFE_INTEGER },
      teachers: { count: 1, snapshot: () => thetas[asked++ % 2]! },
      start,
      random: new Random(0),
      signal,
      onIteration: () => {
        times.push(performance.now());
        if (times.length > 1 && times.at(-1)! - times[0]! >= SOME_MS) throw new Enough();
      },
    });
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return median(times.slice(1).map((time, i) => time - times[i]!));
}

/** So that what else the machine does for a moment is not taken for the work. */
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
