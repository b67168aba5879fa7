/** @file Teachers: networks trained on the real data, their parameters kept on the way (DATM.md §3). */
import { existsSync } from "node:fs";
import { showBytes, sizeOf, type Gpu, type Random } from "../engine/index.ts";
import { initialise, type Model } from "../models/index.ts";
import { wholeSet } from "./baselines.ts";
import type { Dataset } from "./data/dataset.ts";
import { describePreprocessing } from "./data/preprocess.ts";
import { FileError, openRunFolder } from "./files.ts";
import type { Progress } from "./progress.ts";
import { keptEpochs, type Teaching } from "./recipe.ts";
import { rowBytes, type SnapshotSizes } from "./recorder.ts";
import { strategyText, teacherStrategy } from "./strategy.ts";
import { difference, storedEpochs, type TeacherKind } from "./teacher-meta.ts";
import { accuracy, minibatches, Trainer, type TrainerState } from "./train.ts";
import { readTrajectory, teacherFile, TrajectoryBuffer } from "./trajectory.ts";
import { removeUnfinished, UnfinishedTeacher } from "./unfinished.ts";

export interface TeachOptions {
  readonly gpu: Gpu;
  readonly dataset: Dataset;
  readonly model: Model;
  readonly recipe: Teaching;
  /** Folder that the trajectories are written to; teachers already there are kept. */
  readonly folder: string;
  readonly random: Random;
  readonly progress: Progress;
}

/** Saving an unfinished teacher may take this share of the time that its training takes. */
const SAVING = 0.05;

/**
 * Trains the recipe's experts, one file each, and returns the folder of trajectories. A teacher
 * depends on the seed and its own number alone, however often its training is cut off and goes on.
 * @throws FileError when the folder cannot be written, or holds teachers of another kind; RangeError
 * when a teacher's parameters do not stay finite.
 */
export async function teach(options: TeachOptions): Promise<TrajectoryBuffer> {
  const { gpu, dataset, model, recipe, folder, progress } = options;
  const { experts, epochs, batch, optimizer, rho, alpha, adaptive } = recipe.teachers;
  openRunFolder(folder);
  const kind = teacherKind(recipe, dataset);
  const files = Array.from({ length: experts }, (_, expert) => teacherFile(folder, expert));
  const finished = files.map((file) => existsSync(file));
  for (const [expert, file] of files.entries()) {
    if (!finished[expert]) continue;
    checkKind(file, kind);
    removeUnfinished(file);
  }
  const there = finished.filter(Boolean).length;
  if (there === experts) return new TrajectoryBuffer(folder, experts);

  const bytes =
    (experts - there) * storedEpochs(kind).length * rowBytes(sizesOf(model), kind.precision);
  const known = there > 0 ? ` (${there} are there)` : "";
  progress.log(`teachers: ${experts}${known} in ${folder}, ${showBytes(bytes)} to write`);
  const gsam = optimizer === "gsam" ? { rho, alpha, adaptive } : undefined;
  const augmentation = teacherStrategy(recipe);
  const set = wholeSet(dataset);
  using trainer = await Trainer.compile(gpu, model, set, batch, { gsam, augmentation });
  progress.start("teachers", experts * epochs);
  try {
    for (const [expert, file] of files.entries()) {
      if (!finished[expert]) await trainOne(trainer, options, kind, expert, file);
      progress.update((expert + 1) * epochs);
    }
  } finally {
    progress.stop();
  }
  return new TrajectoryBuffer(folder, experts);
}

/** What other teachers must have in common with the recipe's, so that students can follow them. */
const NEEDED = ["dataset", "data", "preprocessing", "augmentation", "network", "width"] as const;

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
  return {
    dataset: dataset.name,
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

/** Trains a teacher, from where it was cut off if it was, and writes its file. */
async function trainOne(
  trainer: Trainer,
  { dataset, model, recipe, random, progress }: TeachOptions,
  kind: TeacherKind,
  expert: number,
  file: string,
): Promise<void> {
  const { epochs, batch, lr, momentum, weight_decay: weightDecay } = recipe.teachers;
  using teacher = new UnfinishedTeacher(file, kind, sizesOf(model));
  const own = random.stream(`teacher ${expert}`);
  if (teacher.damage !== undefined)
    progress.log(`${teacher.damage}; teacher ${expert} begins anew`);
  const { standing } = teacher;
  if (standing) {
    progress.log(`teacher ${expert} goes on after epoch ${standing.epoch} of ${epochs}`);
    trainer.restore(standing.state);
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
    // Streams for each epoch: going on needs no position in them.
    const order = own.stream(`order ${epoch}`).permutation(dataset.train.count);
    const draws = own.stream(`augmentation ${epoch}`);
    trainer.train(minibatches(order, batch), { lr, momentum, weightDecay }, draws);
    const state = await trainer.state();
    const { test } = dataset;
    const logits = await trainer.logits((indices) => test.images(indices), test.count);
    const accuracyNow = accuracy(logits, test.labels);
    record(epoch, state, accuracyNow);
    const now = performance.now();
    if (epoch < epochs && saving <= SAVING * (now - begun)) {
      teacher.save(epoch, state);
      saving += performance.now() - now;
    }
    progress.update(expert * epochs + epoch, { accuracy: accuracyNow });
  }
  teacher.finish();
}
