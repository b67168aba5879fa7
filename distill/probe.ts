/** @file How long a recipe's work would take on an adapter, from a few steps of each kind that are measured. */
import { Random, type Gpu } from "../engine/index.ts";
import { initialise, type Model } from "../models/index.ts";
import { match } from "./matching/match.ts";
import type { Recipe } from "./recipe.ts";
import { teacherStrategy, strategiesOf, type Strategy } from "./training/strategy.ts";
import type { GsamSettings } from "./training/optimiser.ts";
import { Trainer, type TrainingSet } from "./training/train.ts";
import { softTargets } from "./labels.ts";

/** Times in ms. */
export type Estimate = Readonly<Record<"teachers" | "matching" | "evaluation", number>>;

/** Steps of a student, iterations and steps of training that are measured, after as many that are not. */
const STEPS = 2;
const ITERATIONS = 2;
const MINIBATCHES = 4;

/**
 * Measures on noise, which costs what images cost. `count` is how many training images there are;
 * compiling is not counted. Throws as `match` does.
 */
export async function estimate(
  gpu: Gpu,
  model: Model,
  recipe: Recipe,
  count: number,
): Promise<Estimate> {
  const { experts, epochs, batch, optimizer, rho, alpha, adaptive } = recipe.teachers;
  const { num_eval: seeds, epoch_eval_train: passes, batch: small } = recipe.evaluation;
  const gsam = optimizer === "gsam" ? { rho, alpha, adaptive } : undefined;
  const images = recipe.ipc * model.task.classes;
  const { evaluation } = strategiesOf(recipe);
  const ofTeachers = await stepTime(gpu, model, batch, teacherStrategy(recipe), gsam);
  const ofEvaluation = await stepTime(gpu, model, Math.min(small, images), evaluation);
  return {
    teachers: experts * epochs * Math.ceil(count / batch) * ofTeachers,
    matching: recipe.iterations * (await iterationTime(gpu, model, recipe)),
    evaluation: seeds * (passes + 1) * Math.ceil(images / small) * ofEvaluation,
  };
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
): Promise<number> {
  const options = { augmentation, ...(gsam && { gsam }) };
  using trainer = await Trainer.compile(gpu, model, noise(model, batch), batch, options);
  trainer.reset(initialise(model, new Random(0)));
  const minibatch = Uint32Array.from({ length: batch }, (_, i) => i);
  const settings = { lr: 1e-3, momentum: 0, weightDecay: 0 };
  const some = async (steps: number): Promise<number> => {
    const begun = performance.now();
    trainer.train(new Array<Uint32Array>(steps).fill(minibatch), settings, new Random(0));
    await trainer.done();
    return performance.now() - begun;
  };
  await some(1);
  return (await some(MINIBATCHES)) / MINIBATCHES;
}

/** Time of an iteration, which is that of a few steps of the student as often as it has them. */
async function iterationTime(gpu: Gpu, model: Model, recipe: Recipe): Promise<number> {
  const steps = Math.min(STEPS, recipe.syn_steps);
  const count = recipe.ipc * model.task.classes;
  const set = noise(model, count);
  const numbers = Uint32Array.from({ length: count }, (_, i) => i);
  const start = {
    images: Float32Array.from(set.images(numbers)),
    labels: new Float32Array(count * model.task.classes),
  };
  const thetas = ["start", "target"].map((name) => initialise(model, new Random(0).stream(name)));
  const times: number[] = [];
  await match({
    gpu,
    model,
    recipe: { ...recipe, syn_steps: steps, iterations: 1 + ITERATIONS },
    teachers: { count: 1, snapshot: (_, epoch) => thetas[epoch % 2]! },
    start,
    random: new Random(0),
    onIteration: () => void times.push(performance.now()),
  });
  const [first, last] = [times[0]!, times.at(-1)!];
  return ((last - first) / (times.length - 1)) * (recipe.syn_steps / steps);
}
