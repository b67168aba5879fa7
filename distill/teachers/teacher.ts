/** @file Teachers: networks trained on the real data, their parameters kept on the way (DATM.md §3). */
import { existsSync } from "node:fs";
import { showBytes, sizeOf, type Gpu, type Random } from "../../engine/index.ts";
import { initialise, type Model } from "../../models/index.ts";
import { wholeSet } from "../evaluation/baselines.ts";
import type { Dataset } from "../data/dataset.ts";
import { describePreprocessing } from "../data/preprocess.ts";
import { FileError, openRunFolder } from "../files.ts";
import type { Progress } from "../progress.ts";
import { heldOutShare, keptEpochs, type Teaching } from "../recipe.ts";
import { rowBytes, type SnapshotSizes } from "./recorder.ts";
import { strategyText, teacherStrategy } from "../training/strategy.ts";
import { difference, storedEpochs, type TeacherKind } from "./teacher-meta.ts";
import { minibatches, Trainer, type TrainerState } from "../training/train.ts";
import { accuracy } from "../labels.ts";
import { readTrajectory, teacherFile, TrajectoryBuffer } from "./trajectory.ts";
import { removeUnfinished, UnfinishedTeacher } from "./unfinished.ts";

/** Devices that can work at the same time without slowing each other down. */
export interface Lanes {
  /** How many, the one that is open included. */
  readonly most: number;
  /** Opens another. */
  open(): Promise<Gpu>;
}

export interface TeachOptions {
  readonly gpu: Gpu;
  /** Where several teachers can be trained at a time; one after the other when absent. */
  readonly lanes?: Lanes | undefined;
  readonly dataset: Dataset;
  readonly model: Model;
  readonly recipe: Teaching;
  /** Folder that the trajectories are written to; teachers already there are kept. */
  readonly folder: string;
  readonly random: Random;
  readonly progress: Progress;
  /** Numbers of the teachers to train, ascending; by default all the recipe's experts. */
  readonly numbers?: readonly number[] | undefined;
  /** Ends the training soon: what is done is saved, and the signal's reason thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Saving an unfinished teacher may take this share of the time that its training takes. */
const SAVING = 0.05;

/**
 * Trains the recipe's experts, or some of them, one file each. A teacher depends on the seed and its own
 * number alone, whoever trains the others and however often its training is cut off and goes on. A teacher
 * that two processes train by accident is written by both, with the same bytes.
 * @throws FileError when the folder cannot be written, or holds teachers of another kind; RangeError
 * when a teacher's parameters do not stay finite; the reason of the signal.
 */
export async function trainExperts(options: TeachOptions): Promise<void> {
  const { gpu, lanes, dataset, model, recipe, folder, progress } = options;
  const { experts, epochs } = recipe.teachers;
  const numbers = options.numbers ?? Array.from({ length: experts }, (_, i) => i);
  openRunFolder(folder);
  const kind = teacherKind(recipe, dataset);
  const missing: number[] = [];
  for (const expert of numbers) {
    const file = teacherFile(folder, expert);
    if (!existsSync(file)) missing.push(expert);
    else {
      checkKind(file, kind);
      removeUnfinished(file);
    }
  }
  if (missing.length === 0) return;

  const there = numbers.length - missing.length;
  const count = Math.min(lanes?.most ?? 1, missing.length);
  const bytes = showBytes(missing.length * teacherSize(recipe, model).bytes);
  progress.log(
    `teachers: ${numbers.length < experts ? `${numbers.length} of ${experts}` : experts}${there > 0 ? ` (${there} are there)` : ""} in ${folder}, ${bytes} to write${count > 1 ? `, ${count} at a time` : ""}`,
  );
  progress.start("teachers", numbers.length * epochs);
  const others: Gpu[] = [];
  try {
    while (others.length < count - 1) others.push(await lanes!.open());
    await trainAll(options, kind, missing, there * epochs, [gpu, ...others]);
  } finally {
    progress.stop();
    for (const other of others) other[Symbol.dispose]();
  }
}

/** As {@link trainExperts}; returns the recipe's experts. */
export async function teach(options: TeachOptions): Promise<TrajectoryBuffer> {
  await trainExperts(options);
  return new TrajectoryBuffer(options.folder, options.recipe.teachers.experts);
}

/** Trains teachers by their numbers, each on the first device that is free; the first error ends all. */
async function trainAll(
  options: TeachOptions,
  kind: TeacherKind,
  numbers: readonly number[],
  epochsDone: number,
  devices: readonly Gpu[],
): Promise<void> {
  const { dataset, model, recipe, folder, progress } = options;
  const { batch, optimizer, rho, alpha, adaptive } = recipe.teachers;
  const gsam = optimizer === "gsam" ? { rho, alpha, adaptive } : undefined;
  const augmentation = teacherStrategy(recipe);
  let done = epochsDone;
  const queue = numbers.values();
  const ended = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ended.signal]) : ended.signal;
  const lane = async (gpu: Gpu): Promise<void> => {
    try {
      const set = wholeSet(dataset);
      using trainer = await Trainer.compile(gpu, model, set, batch, { gsam, augmentation });
      for (const expert of queue)
        await trainOne(trainer, options, kind, expert, {
          file: teacherFile(folder, expert),
          signal,
          report: (more, values) => progress.update((done += more), values),
        });
    } catch (error) {
      ended.abort(error);
    }
  };
  await Promise.all(devices.map(lane));
  ended.signal.throwIfAborted();
}

/** Snapshots of one teacher of a recipe, and bytes that they take on disk. */
export function teacherSize(
  { teachers }: Pick<Teaching, "teachers">,
  model: Model,
): { snapshots: number; bytes: number } {
  const { epochs, precision, line } = teachers;
  const keepEpochs = keptEpochs(teachers);
  const kept = { epochs, keepEpochs, line: line ? "even" : "none" } as const;
  const snapshots = storedEpochs(kept).length;
  return { snapshots, bytes: snapshots * rowBytes(sizesOf(model), precision) };
}

/** What other teachers must have in common with the recipe's, so that students can follow them. */
const NEEDED = [
  "dataset",
  "heldOut",
  "data",
  "preprocessing",
  "augmentation",
  "network",
  "width",
] as const;

/**
 * The teachers that are in the recipe's folder already.
 * @throws FileError when there is none, or they are of other data or another network.
 */
export function givenTeachers(
  folder: string,
  recipe: Teaching,
  dataset: Dataset,
  model: Model,
): TrajectoryBuffer {
  const buffer = new TrajectoryBuffer(folder);
  const [first] = buffer.teachers;
  const other = difference(first!.meta, teacherKind(recipe, dataset), NEEDED);
  if (other)
    throw new FileError(
      `${folder}: the teachers' ${other.key} must be ${other.must} as in the recipe, got ${other.got}`,
    );
  if (buffer.parameters !== model.size)
    throw new FileError(
      `${folder}: the teachers must have the ${model.size} parameters of ${model.name}, got ${buffer.parameters}`,
    );
  return buffer;
}

/** How many of the recipe's teachers are not in a folder yet. */
export function missingTeachers({ teachers }: Teaching, folder: string): number {
  const all = Array.from({ length: teachers.experts }, (_, expert) => teacherFile(folder, expert));
  return all.filter((file) => !existsSync(file)).length;
}

/** Teachers of a recipe that are in a folder must be those that would be trained. Throws `FileError`. */
export function checkTeachers(recipe: Teaching, dataset: Dataset, folder: string): void {
  const kind = teacherKind(recipe, dataset);
  for (let expert = 0; expert < recipe.teachers.experts; expert++) {
    const file = teacherFile(folder, expert);
    if (existsSync(file)) checkKind(file, kind);
  }
}

/** A teacher that was kept must be the one that would be trained. */
function checkKind(file: string, wanted: TeacherKind): void {
  const other = difference(readTrajectory(file).meta, wanted);
  if (other)
    throw new FileError(
      `${file}: the teacher's ${other.key} must be ${other.must}, got ${other.got}; use another folder or remove it`,
    );
}

/** What the recipe's teachers on a data set are. */
export function teacherKind(recipe: Teaching, dataset: Dataset): TeacherKind {
  const { network, width, seed, teachers } = recipe;
  const { epochs, batch, optimizer, lr, momentum, weight_decay: weightDecay } = teachers;
  const { precision, line, line_spacing: spacing } = teachers;
  const { rho, alpha, adaptive } = teachers;
  const held = heldOutShare(recipe);
  return {
    dataset: dataset.name,
    ...(held > 0 && { heldOut: held }),
    data: dataset.id,
    preprocessing: describePreprocessing(dataset.preprocessing),
    augmentation: strategyText(teacherStrategy(recipe)),
    ...{ network, width, seed, epochs, batch, optimizer, lr, momentum, weightDecay },
    ...(optimizer === "gsam" ? { rho, alpha, adaptive } : { rho: 0, alpha: 0, adaptive: false }),
    precision,
    keepEpochs: keptEpochs(teachers),
    line: line ? spacing : "none",
  };
}

const sizesOf = (model: Model): SnapshotSizes => ({
  tensors: model.parameters.map(({ shape }) => sizeOf(shape)),
  running: model.runningSize,
});

interface Training {
  readonly file: string;
  /** Ends it: where it stands is saved. */
  readonly signal: AbortSignal;
  /** Is told of epochs that are done, and how well the last one went. */
  report(epochs: number, values?: { accuracy: number }): void;
}

/** Trains a teacher, unless somebody else has by now, and writes its file. */
async function trainOne(
  trainer: Trainer,
  options: TeachOptions,
  kind: TeacherKind,
  expert: number,
  training: Training,
): Promise<void> {
  const { epochs } = options.recipe.teachers;
  let reported = 0;
  const report: Training["report"] = (more, values) => {
    reported += more;
    training.report(more, values);
  };
  try {
    if (!existsSync(training.file))
      await trainFurther(trainer, options, kind, expert, { ...training, report });
  } catch (error) {
    // Whoever finishes a teacher removes what is left of it, under the hands of others, too.
    if (!(error instanceof FileError && existsSync(training.file))) throw error;
  }
  if (reported < epochs) training.report(epochs - reported);
}

/** Trains a teacher from where it was cut off if it was, up to its end or until it is there. */
async function trainFurther(
  trainer: Trainer,
  { dataset, model, recipe, random, progress }: TeachOptions,
  kind: TeacherKind,
  expert: number,
  { file, signal, report }: Training,
): Promise<void> {
  const { epochs, batch, lr, momentum, weight_decay: weightDecay } = recipe.teachers;
  using teacher = new UnfinishedTeacher(file, kind, sizesOf(model));
  const own = random.stream(`teacher ${expert}`);
  if (teacher.damage !== undefined)
    progress.log(`${teacher.damage}; teacher ${expert} begins anew`);
  const { standing } = teacher;
  if (standing) {
    const further = standing.step > 0 ? ` ${standing.step} minibatches` : "";
    progress.log(`teacher ${expert} goes on${further} after epoch ${standing.epoch} of ${epochs}`);
    trainer.restore(standing.state);
    report(standing.epoch);
  } else {
    trainer.reset(initialise(model, own.stream("parameters")));
    teacher.add(0, await trainer.state());
  }
  const record = (epoch: number, snapshot: TrainerState, testAccuracy?: number): void => {
    try {
      teacher.add(epoch, snapshot, testAccuracy);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // Whoever trains it with other settings must not be stopped by what is left of this one.
      teacher.discard();
      throw new RangeError(`teacher ${expert}: ${error.message}; lower teachers.lr`);
    }
  };
  const begun = performance.now();
  let saving = 0;
  for (let epoch = (standing?.epoch ?? 0) + 1; epoch <= epochs; epoch++) {
    // Streams for each epoch: going on needs no position in those before.
    const order = own.stream(`order ${epoch}`).permutation(dataset.train.count);
    const draws = own.stream(`augmentation ${epoch}`);
    const batches = minibatches(order, batch);
    const first = epoch === (standing?.epoch ?? 0) + 1 ? (standing?.step ?? 0) : 0;
    const stop = async (step: number): Promise<void> => {
      if (signal.aborted) teacher.save(epoch - 1, await trainer.state(), step);
      signal.throwIfAborted();
    };
    trainer.pass(first, draws);
    await stop(first);
    const left = batches.slice(first);
    await trainer.trainInTurns(left, { lr, momentum, weightDecay }, draws, (steps) =>
      stop(first + steps),
    );
    const state = await trainer.state();
    const { test } = dataset;
    const images = (indices: ArrayLike<number>): Float32Array => {
      if (signal.aborted) teacher.save(epoch - 1, state, batches.length);
      signal.throwIfAborted();
      return test.images(indices);
    };
    const logits = await trainer.logits(images, test.count);
    const accuracyNow = accuracy(logits, test.labels);
    record(epoch, state, accuracyNow);
    const now = performance.now();
    if (epoch < epochs && saving <= SAVING * (now - begun)) {
      teacher.save(epoch, state);
      saving += performance.now() - now;
    }
    report(1, { accuracy: accuracyNow });
    if (existsSync(file)) break;
  }
  if (existsSync(file)) teacher.discard();
  else teacher.finish();
}
