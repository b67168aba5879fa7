/** @file A run: from a recipe to teachers, a distilled set, and what it is worth, in one folder. */
import { join, resolve } from "node:path";
import { appendFileSync } from "node:fs";
import { Random, type Gpu } from "../engine/index.ts";
import { buildModel, type Model } from "../models/index.ts";
import { randomSets, syntheticSet, wholeSet, type Method } from "./baselines.ts";
import { scoreFor } from "./choice.ts";
import { DataError, type Dataset, type ImageShape, type Source } from "./data/dataset.ts";
import { outlineOf } from "./data/known.ts";
import { normalise } from "./data/preprocess.ts";
import { whiten } from "./data/whitened.ts";
import { loadSource, type SourceOptions } from "./data/registry.ts";
import {
  checkPreprocessing,
  readDistilled,
  writeDistilled,
  type DistilledFile,
} from "./distilled.ts";
import { evaluate, type Accuracies } from "./evaluate.ts";
import { fileError, FileError, openRunFolder, writeAtomic } from "./files.ts";
import {
  match,
  type DistilledSet,
  type IterationRecord,
  type KeptSet,
  type PlannedMemory,
} from "./match.ts";
import { contactSheet } from "./pictures.ts";
import type { Progress } from "./progress.ts";
import { resolveRecipe, type Recipe, type Teaching } from "./recipe.ts";
import { beginRecording, Recording } from "./report/recording.ts";
import type { EventFile } from "./report/tensorboard.ts";
import { randomReal, startingSet, type SyntheticSet } from "./start.ts";
import { strategiesOf, strategyText } from "./strategy.ts";
import { resultRow, type ResultRow } from "./table.ts";
import { givenTeachers, teach, type Lanes } from "./teacher.ts";
import { Trainer, type TrainingSet } from "./train.ts";
import { TrajectoryBuffer } from "./trajectory.ts";

/** A recipe with what it names: known before a device is open. */
export interface Work<R extends Teaching = Recipe> {
  readonly recipe: R;
  readonly source: Source;
  readonly model: Model;
}

/**
 * Loads the recipe's data, known sets from the folder `data`, and builds its network.
 * @throws DataError, FileError, ModelError.
 */
export async function workOf<R extends Teaching>(
  recipe: R,
  from: Pick<SourceOptions, "data" | "progress"> = {},
): Promise<Work<R>> {
  const { dataset, per_class: perClass, seed, size, normalisation } = recipe;
  const source = await loadSource(dataset, { ...from, perClass, seed, size, normalisation });
  return { recipe, source, model: modelFor(recipe, source) };
}

/**
 * The recipe's network; a known set's files need not be there.
 * @throws DataError, FileError, ModelError.
 */
export async function modelOf(recipe: Recipe): Promise<Model> {
  const outline = outlineOf(recipe.dataset, recipe.size);
  return outline ? modelFor(recipe, outline) : (await workOf(recipe)).model;
}

/** The recipe's network for images and classes like the source's. */
function modelFor(
  recipe: Teaching,
  like: ImageShape & { readonly classes: readonly string[] },
): Model {
  if (like.height !== like.width)
    throw new DataError(
      `dataset: images must be as wide as high, got ${like.height} by ${like.width}`,
    );
  const task = { channels: like.channels, size: like.height, classes: like.classes.length };
  return buildModel(recipe.network, task, { width: recipe.width });
}

/** What the steps of a run share. */
export interface RunContext {
  readonly gpu: Gpu;
  readonly folder: string;
  readonly progress: Progress;
  readonly dataset: Dataset;
  readonly model: Model;
  /** More devices, where teachers can be trained at the same time. */
  readonly lanes?: Lanes | undefined;
  /** Is told what TensorBoard is to show, if anything. */
  readonly events?: EventFile | undefined;
}

/**
 * The context of a run in `folder`, its data brought into the network's input space.
 * @throws FileError, DataError.
 */
export async function openRun(
  gpu: Gpu,
  { recipe, source, model }: Work<Teaching>,
  folder: string,
  progress: Progress,
): Promise<RunContext> {
  for (const note of source.notes ?? []) progress.log(note);
  const dataset = recipe.zca ? await whiten(gpu, source, { progress }) : normalise(source);
  return { gpu, folder, progress, dataset, model };
}

/** Streams of a recipe's seed; the purpose is the name, so that one changes nothing in another. */
const randomOf = (recipe: Teaching, purpose: string): Random =>
  new Random(recipe.seed).stream(purpose);

/** The recipe's teachers in the folder, trained unless they are there. Throws as {@link teach}. */
export function trainTeachers(
  { gpu, lanes, progress, dataset, model }: RunContext,
  recipe: Teaching,
  folder: string,
): Promise<TrajectoryBuffer> {
  const random = randomOf(recipe, "teachers");
  return teach({ gpu, lanes, dataset, model, recipe, folder, random, progress });
}

/**
 * The teachers that the recipe has in a folder, or its own in `<folder>/buffer`, trained unless they
 * are there. Throws as {@link teach} and {@link givenTeachers}.
 */
export async function teachersOf(context: RunContext, recipe: Recipe): Promise<TrajectoryBuffer> {
  const { folder } = recipe.teachers;
  return folder === undefined
    ? trainTeachers(context, recipe, join(context.folder, "buffer"))
    : givenTeachers(folder, recipe, context.dataset, context.model);
}

/**
 * The recipe with the settings of the teachers in the folder that it names, in place of its own.
 * @throws FileError when there is none, RecipeError when they have not the epochs that it matches.
 */
export function withGivenTeachers(recipe: Recipe): Recipe {
  if (recipe.teachers.folder === undefined) return recipe;
  const folder = resolve(recipe.teachers.folder);
  const buffer = new TrajectoryBuffer(folder);
  const { epochs, batch, optimizer, lr, momentum, weightDecay, ...meta } = buffer.teachers[0]!.meta;
  const { precision, line } = meta;
  const teachers: Partial<Recipe["teachers"]> = {
    ...{ experts: buffer.count, epochs, batch, optimizer, lr, momentum, precision, folder },
    weight_decay: weightDecay,
    keep_epochs: meta.keepEpochs.join(".."),
    ...(optimizer === "gsam" && { rho: meta.rho, alpha: meta.alpha, adaptive: meta.adaptive }),
    line: line !== "none",
    ...(line !== "none" && { line_spacing: line }),
  };
  return resolveRecipe(recipe, { teachers }, folder);
}

/** How many iterations without finite numbers are told of one by one. */
const PROBLEMS = 3;

/** Path of the distilled set for a number of images a class. */
export const distilledFile = (folder: string, ipc: number): string =>
  join(folder, `distilled-ipc${ipc}.safetensors`);

/**
 * Distils by the recipe: writes `distilled-ipc<n>.safetensors`, `images-ipc<n>.png`, a line an
 * iteration to `metrics.jsonl`, and what a {@link Recording} does.
 * @throws FileError when a file cannot be written; DistillError when the run cannot go on.
 */
export async function distil(
  context: RunContext,
  recipe: Recipe,
  teachers: TrajectoryBuffer,
): Promise<DistilledSet> {
  const { gpu, folder, progress, dataset, model, events } = context;
  const { ipc, iterations } = recipe;
  const random = randomOf(recipe, `distil ipc ${ipc}`);
  const start = await startOf(context, recipe, teachers, random.stream("start"));

  const recording = new Recording(folder, recipe, dataset);
  recording.start(start);
  const onPlanned = (memory: PlannedMemory): void => recording.planned(memory);
  let skipped = 0;
  let told = 0;
  const onIteration = (
    record: IterationRecord,
    current: () => Promise<DistilledSet>,
  ): Promise<void> => {
    appendMetrics(folder, { event: "iteration", ipc, ...record });
    events?.iteration(record);
    if (!record.accepted) skipped++;
    if (record.problem !== undefined && told++ < PROBLEMS) progress.log(record.problem);
    const { loss, lr } = record;
    progress.update(record.iteration, { loss, lr, ...(skipped > 0 ? { skipped } : {}) });
    return recording.iteration(record.iteration, current);
  };
  progress.start(`distil ipc ${ipc}`, iterations);
  const score = scoreFor(context, recipe, random.stream("choice"), (choice) => {
    appendMetrics(folder, { event: "choice", ipc, ...choice });
    recording.resume();
  });
  let set: KeptSet;
  try {
    const matched = await match({
      gpu,
      continuous: recipe.teachers.line,
      model,
      recipe,
      teachers,
      start,
      random,
      onPlanned,
      onIteration,
      score,
    });
    set = matched.kept;
  } finally {
    progress.stop();
  }
  if (recipe.keep === "best")
    progress.log(`distil ipc ${ipc}: kept the set after iteration ${set.iteration}`);
  const { channels, height, width, classes, preprocessing } = dataset;
  const rows = classes.length;
  writeDistilled(distilledFile(folder, ipc), {
    ...set,
    shape: [rows * ipc, channels, height, width],
    meta: {
      dataset: dataset.name,
      classes,
      ipc,
      network: recipe.network,
      width: recipe.width,
      seed: recipe.seed,
      augmentation: strategyText(strategiesOf(recipe).student),
      preprocessing,
    },
  });
  const sheet = contactSheet({ ...dataset, images: set.images, rows, columns: ipc });
  writeAtomic(join(folder, `images-ipc${ipc}.png`), sheet);
  recording.finish(set);
  return set;
}

/** The set that a recipe's matching starts from; what chooses it is gone from the device then. */
export async function startOf(
  { gpu, dataset, model }: RunContext,
  recipe: Recipe,
  teachers: TrajectoryBuffer,
  random: Random,
): Promise<SyntheticSet> {
  using trainer = await Trainer.compile(gpu, model, wholeSet(dataset), 1);
  const source = { dataset, teachers, trainer };
  return await startingSet(source, recipe.init, recipe.ipc, random, recipe.labels);
}

/** Adds a line to `metrics.jsonl`. */
export function appendMetrics(folder: string, record: object): void {
  const path = join(folder, "metrics.jsonl");
  try {
    appendFileSync(path, `${JSON.stringify(record)}\n`);
  } catch (error) {
    throw fileError(path, "writable", error);
  }
}

/** Opens a run's folder for new metrics. */
export function beginRun(folder: string): string {
  const path = openRunFolder(folder);
  writeAtomic(join(path, "metrics.jsonl"), "");
  beginRecording(path);
  return path;
}

/** Trains fresh networks on sets, one a seed, by the recipe's protocol; `lr` is the sets' own. */
async function score(
  { gpu, folder, progress, dataset, model, events }: RunContext,
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
    const report = (done: number): void => progress.update(done);
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

/** The row of a distilled set, read back from its file; throws as {@link distilledFor}. */
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
