/** @file What is scored in a run: the whole training set, random real images, and the distilled set. */
import {
  checkPreprocessing,
  readDistilled,
  writeDistilled,
  type DistilledFile,
} from "../distilled.ts";
import { FileError } from "../files.ts";
import { randomReal } from "../matching/start.ts";
import type { Recipe } from "../recipe.ts";
import { appendMetrics } from "../resume/folder.ts";
import { distilledFile, randomOf, type RunContext, type Work } from "../run.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import { strategiesOf } from "../training/strategy.ts";
import type { TrainingSet } from "../training/train.ts";
import { randomSets, syntheticSet, wholeSet, type Method } from "./baselines.ts";
import { evaluate, type Accuracies } from "./evaluate.ts";
import { resultRow, type ResultRow } from "./table.ts";

/** Trains fresh networks on sets, one a seed, by the recipe's protocol; `lr` is the sets' own. */
async function score(
  { gpu, folder, progress, dataset, model, events, signal }: RunContext,
  recipe: Recipe,
  row: { method: Method; ipc: number; lr: number; epochs: number; batch: number },
  setOf: (seed: number) => TrainingSet,
): Promise<ResultRow> {
  const { num_eval: seeds, momentum, weight_decay: weightDecay } = recipe.evaluation;
  const { method, ipc, lr, epochs, batch } = row;
  const { evaluation: augmentation } = strategiesOf(recipe);
  const settings = { seeds, epochs, batch, lr, momentum, weightDecay, augmentation };
  const random = randomOf(recipe, "evaluation");
  progress.start(
    `evaluate ${method}${method === "full" ? "" : ` ipc ${ipc}`}`,
    seeds * (epochs + 1),
  );
  let result: Accuracies;
  try {
    const report = (done: number): void => {
      signal?.throwIfAborted();
      progress.update(done);
    };
    result = await evaluate(gpu, model, setOf, dataset, settings, random, report);
  } finally {
    progress.stop();
  }
  appendMetrics(folder, { event: "evaluation", method, ipc, lr, accuracies: result.values });
  if (method === recipe.method)
    events?.evaluation(recipe.iterations, recipe.network, result.mean, result.std);
  return resultRow(method, ipc, recipe.network, result);
}

/** Learning rate of networks trained on sets that have learned none. */
const baselineLr = (recipe: Recipe): number => recipe.evaluation.lr ?? recipe.lr_teacher;

/** The row of the whole training set: the teachers' minibatches and passes over the data. */
export function scoreWhole(context: RunContext, recipe: Recipe): Promise<ResultRow> {
  const { dataset } = context;
  const { epochs, batch } = recipe.teachers;
  const ipc = Math.round(dataset.train.count / dataset.classes.length);
  const row = { method: "full", ipc, lr: baselineLr(recipe), epochs: 2 * epochs, batch } as const;
  const set = wholeSet(dataset);
  return score(context, recipe, row, () => set);
}

/** The rows of random real images, with hard and with soft labels; every seed draws its own images. */
export async function scoreRandom(
  context: RunContext,
  recipe: Recipe,
  teachers: TrajectoryBuffer,
): Promise<ResultRow[]> {
  const { dataset, model } = context;
  const { ipc } = recipe;
  const random = randomOf(recipe, `random real ipc ${ipc}`);
  const draws = Array.from({ length: recipe.evaluation.num_eval }, (_, seed) =>
    randomReal(dataset, ipc, random.stream(`seed ${seed}`)),
  );
  const sets = await randomSets(context.gpu, model, dataset, teachers, draws);
  const { epoch_eval_train: epochs, batch } = recipe.evaluation;
  const row = { ipc, lr: baselineLr(recipe), epochs, batch };
  return [
    await score(context, recipe, { ...row, method: "random" }, (seed) => sets[seed]!.hard),
    await score(context, recipe, { ...row, method: "random-soft" }, (seed) => sets[seed]!.soft),
  ];
}

/**
 * The distilled set of a recipe in a run's folder.
 * @throws FileError when it is damaged, or was made for other data or another network.
 */
export function distilledFor(folder: string, { recipe, source }: Work): DistilledFile {
  const path = distilledFile(folder, recipe.ipc);
  const file = readDistilled(path);
  const { channels, height, width, classes } = source;
  const rows = recipe.ipc * classes.length;
  const wanted = {
    dataset: source.name,
    ipc: recipe.ipc,
    network: recipe.network,
    width: recipe.width,
    classes: classes.join(", "),
    images: `[${[rows, channels, height, width].join(", ")}]`,
  };
  const found = {
    ...file.meta,
    classes: file.meta.classes.join(", "),
    images: `[${file.shape.join(", ")}]`,
  };
  for (const key of Object.keys(wanted) as (keyof typeof wanted)[])
    if (found[key] !== wanted[key])
      throw new FileError(
        `${path}: ${key} must be ${wanted[key]} as in the recipe, got ${found[key]}`,
      );
  return file;
}

/** The row of a distilled set, read back from its file; throws as `distilledFor`. */
export function scoreDistilled(context: RunContext, recipe: Recipe): Promise<ResultRow> {
  const { dataset, model } = context;
  const { ipc } = recipe;
  const work = { recipe, source: dataset, model };
  const file = distilledFor(context.folder, work);
  checkPreprocessing(file, dataset, distilledFile(context.folder, ipc));
  const { images, labels, lr } = file;
  const { epoch_eval_train: epochs, batch } = recipe.evaluation;
  const set = syntheticSet(images, labels, dataset.classes.length);
  return score(context, recipe, { method: recipe.method, ipc, lr, epochs, batch }, () => set);
}

/** Writes into the distilled set's file what networks trained on it reach: a row of {@link scoreDistilled}. */
export function recordAccuracy(folder: string, { ipc, mean, std, seeds }: ResultRow): void {
  const path = distilledFile(folder, ipc);
  const { meta, ...file } = readDistilled(path);
  writeDistilled(path, { ...file, meta: { ...meta, accuracy: { mean, std, seeds } } });
}
