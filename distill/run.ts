/** @file A run: from a recipe to teachers and a distilled set, in one folder. */
import { join, resolve } from "node:path";
import { Random, type Gpu } from "../engine/index.ts";
import { buildModel, type Model } from "../models/index.ts";
import { wholeSet } from "./evaluation/baselines.ts";
import { scoreFor } from "./matching/choice.ts";
import { DataError, type Dataset, type ImageShape, type Source } from "./data/dataset.ts";
import { outlineOf } from "./data/known.ts";
import { withHeldOut } from "./data/held-out.ts";
import { normalise } from "./data/preprocess.ts";
import { whiten } from "./data/whitened.ts";
import { loadSource, type SourceOptions } from "./data/registry.ts";
import { writeDistilled } from "./distilled.ts";
import { FileError, writeAtomic } from "./files.ts";
import {
  match,
  type DistilledSet,
  type IterationRecord,
  type KeptSet,
  type MatchState,
  type PlannedMemory,
} from "./matching/match.ts";
import { contactSheet } from "./report/pictures.ts";
import type { Progress } from "./progress.ts";
import { chosenOn, heldOutShare, resolveRecipe, type Recipe, type Teaching } from "./recipe.ts";
import { Recording } from "./report/recording.ts";
import type { EventFile } from "./report/tensorboard.ts";
import { startingSet, type SyntheticSet } from "./matching/start.ts";
import type { Checkpoint } from "./resume/checkpoint.ts";
import { appendMetrics, saveCheckpoint } from "./resume/folder.ts";
export { beginRun } from "./resume/folder.ts";
import { strategiesOf, strategyText } from "./training/strategy.ts";
import { recordFollowed } from "./teachers/followed.ts";
import { givenTeachers, trainExperts, type Lanes } from "./teachers/teacher.ts";
import { Trainer } from "./training/train.ts";
import { TrajectoryBuffer } from "./teachers/trajectory.ts";

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
  /** Ends long work soon, what is done saved. */
  readonly signal?: AbortSignal | undefined;
  /** More devices that are open, among which the seeds of an evaluation are shared out. */
  readonly beside?: readonly Gpu[] | undefined;
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
  const whole = recipe.zca ? await whiten(gpu, source, { progress }) : normalise(source);
  const share = heldOutShare(recipe);
  const dataset = share > 0 ? withHeldOut(whole, share) : whole;
  return { gpu, folder, progress, dataset, model };
}

/** Streams of a recipe's seed; the purpose is the name, so that one changes nothing in another. */
export const randomOf = ({ seed }: Pick<Teaching, "seed">, purpose: string): Random =>
  new Random(seed).stream(purpose);

/** Trains the recipe's teachers in the folder, or some by number, unless they are there. Throws as `trainExperts`. */
export function trainTeachers(
  { gpu, lanes, signal, progress, dataset, model }: RunContext,
  recipe: Teaching,
  folder: string,
  numbers?: readonly number[],
): Promise<void> {
  const random = randomOf(recipe, "teachers");
  const shared = { gpu, lanes, signal, progress, dataset, model };
  return trainExperts({ ...shared, recipe, folder, random, numbers });
}

/**
 * The teachers that the recipe has in a folder, or its own in `<folder>/buffer`, trained unless they
 * are there. Throws as `trainExperts` and `givenTeachers`.
 */
export async function teachersOf(context: RunContext, recipe: Recipe): Promise<TrajectoryBuffer> {
  const { folder } = recipe.teachers;
  if (folder !== undefined) return givenTeachers(folder, recipe, context.dataset, context.model);
  const own = join(context.folder, "buffer");
  await trainTeachers(context, recipe, own);
  return new TrajectoryBuffer(own, recipe.teachers.experts);
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

/** How a run is kept for later. */
export interface Keeping {
  /** Where it goes on, in place of the beginning; its logs are cut back to there. */
  readonly resume?: Checkpoint | undefined;
  /** A checkpoint after every so many iterations; by default now and then, so that they cost little. */
  readonly checkpointEvery?: number | undefined;
}

/** By default a checkpoint comes so long after the one before, and all take at most this share of the time. */
const CHECKPOINT_MS = 10_000;
const SAVING = 0.02;

/**
 * Distils by the recipe: writes `distilled-ipc<n>.safetensors`, `images-ipc<n>.png`, a line an
 * iteration to `metrics.jsonl`, checkpoints, which stay, and what a `Recording` does.
 * @throws FileError when a file cannot be written; DistillError when the run cannot go on.
 */
export async function distil(
  context: RunContext,
  recipe: Recipe,
  teachers: TrajectoryBuffer,
  { resume, checkpointEvery }: Keeping = {},
): Promise<DistilledSet> {
  const { gpu, folder, progress, dataset, model, events, signal } = context;
  const { ipc, iterations } = recipe;
  const random = randomOf(recipe, `distil ipc ${ipc}`);
  if (resume) checkShape(resume.state, recipe, dataset);
  const start = resume?.state ?? (await startOf(context, recipe, teachers, random.stream("start")));
  signal?.throwIfAborted();

  if (recipe.teachers.folder !== undefined) recordFollowed(folder, teachers);
  const recording = new Recording(folder, recipe, dataset);
  if (!resume) recording.start(start);
  const onPlanned = (memory: PlannedMemory): void => recording.planned(memory);
  let skipped = resume?.skipped ?? 0;
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
  progress.start(`distil ipc ${ipc}`, iterations, resume?.state.iteration);
  const begun = performance.now();
  let [last, saving] = [begun, 0];
  const isCheckpoint = (iteration: number): boolean => {
    if (checkpointEvery !== undefined) return iteration % checkpointEvery === 0;
    const now = performance.now();
    return now - last >= CHECKPOINT_MS && saving <= SAVING * (now - begun);
  };
  const onCheckpoint = (state: MatchState): void => {
    const now = performance.now();
    saveCheckpoint(folder, recipe, { state, skipped });
    last = performance.now();
    saving += last - now;
    recording.resume();
  };
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
      resume: resume?.state,
      onPlanned,
      onIteration,
      onCheckpoint,
      isCheckpoint,
      score,
      signal,
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
      chosenOn: chosenOn(recipe),
      preprocessing,
    },
  });
  const sheet = contactSheet({ ...dataset, images: set.images, rows, columns: ipc });
  writeAtomic(join(folder, `images-ipc${ipc}.png`), sheet);
  recording.finish(set);
  return set;
}

/** A checkpoint must be of as many images and classes as the recipe makes. Throws `FileError`. */
function checkShape({ images, labels }: MatchState, { ipc }: Recipe, dataset: Dataset): void {
  const { channels, height, width, classes } = dataset;
  const rows = ipc * classes.length;
  const [must, got] = [
    [rows * channels * height * width, rows * classes.length],
    [images.length, labels.length],
  ];
  if (String(must) !== String(got))
    throw new FileError(
      `checkpoint: must have ${must.join(" and ")} values of images and labels, got ${got.join(" and ")}`,
    );
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
