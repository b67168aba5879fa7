/** @file Teachers: networks trained on the real data, their parameters kept after every epoch (DATM.md §3). */
import { existsSync } from "node:fs";
import type { Gpu, Random } from "../engine/index.ts";
import { initialise, type Model } from "../models/index.ts";
import type { Dataset } from "./data/dataset.ts";
import { FileError, openRunFolder } from "./files.ts";
import type { Progress } from "./progress.ts";
import type { Recipe } from "./recipe.ts";
import { strategiesOf } from "./strategy.ts";
import { accuracy, hardTargets, minibatches, Trainer } from "./train.ts";
import {
  readTrajectory,
  teacherFile,
  TrajectoryBuffer,
  writeTrajectory,
  type TeacherMeta,
} from "./trajectory.ts";

export interface TeachOptions {
  readonly gpu: Gpu;
  readonly dataset: Dataset;
  readonly model: Model;
  readonly recipe: Recipe;
  /** Folder that the trajectories are written to; teachers already there are kept. */
  readonly folder: string;
  readonly random: Random;
  readonly progress: Progress;
}

/**
 * Trains the recipe's experts, one file each, and returns the folder of trajectories. A teacher
 * depends on the seed and its own number alone.
 * @throws FileError when the folder cannot be written, or holds teachers of another kind.
 */
export async function teach(options: TeachOptions): Promise<TrajectoryBuffer> {
  const { gpu, dataset, model, recipe, folder, random, progress } = options;
  const { experts, epochs, batch } = recipe.teachers;
  openRunFolder(folder);
  const set = {
    count: dataset.train.count,
    images: (indices: ArrayLike<number>) => dataset.train.images(indices),
    targets: hardTargets(dataset.train.labels, dataset.classes.length),
  };
  const { teachers: augmentation } = strategiesOf(recipe);
  using trainer = await Trainer.compile(gpu, model, set, batch, { augmentation });
  progress.start("teachers", experts * epochs);
  try {
    for (let expert = 0; expert < experts; expert++) {
      const file = teacherFile(folder, expert);
      if (existsSync(file)) {
        checkSame(file, metaOf(options, []));
        progress.update((expert + 1) * epochs);
        continue;
      }
      const trajectory = await trainOne(trainer, options, random.stream(`teacher ${expert}`), {
        report: (epoch, test) => progress.update(expert * epochs + epoch, { accuracy: test }),
      });
      writeTrajectory(file, metaOf(options, trajectory.testAccuracy), trajectory.theta);
    }
  } finally {
    progress.stop();
  }
  return new TrajectoryBuffer(folder);
}

/** A teacher that was kept must be the one that would be trained. */
function checkSame(file: string, wanted: TeacherMeta): void {
  const { meta } = readTrajectory(file);
  for (const key of Object.keys(wanted) as (keyof TeacherMeta)[])
    if (key !== "testAccuracy" && meta[key] !== wanted[key])
      throw new FileError(
        `${file}: the teacher's ${key} must be ${wanted[key]}, got ${meta[key]}; use another folder or remove it`,
      );
}

function metaOf({ dataset, recipe }: TeachOptions, testAccuracy: number[]): TeacherMeta {
  const { epochs, batch, lr, momentum, weight_decay: weightDecay } = recipe.teachers;
  const { network, width, seed } = recipe;
  const same = { dataset: dataset.name, network, width, seed, epochs, batch, lr };
  return { ...same, momentum, weightDecay, testAccuracy };
}

/** One teacher: snapshots θ `[epochs + 1, P]`, the first before training, and test accuracy after each epoch. */
async function trainOne(
  trainer: Trainer,
  { dataset, model, recipe }: TeachOptions,
  random: Random,
  { report }: { report: (epoch: number, testAccuracy: number) => void },
): Promise<{ theta: Float32Array; testAccuracy: number[] }> {
  const { epochs, batch, lr, momentum, weight_decay: weightDecay } = recipe.teachers;
  const theta = new Float32Array((epochs + 1) * model.size);
  const start = initialise(model, random.stream("parameters"));
  const order = random.stream("order");
  const testAccuracy: number[] = [];
  theta.set(start);
  trainer.reset(start);
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const batches = minibatches(order.permutation(dataset.train.count), batch);
    const draws = random.stream(`augmentation ${epoch}`);
    trainer.train(batches, { lr, momentum, weightDecay }, draws);
    theta.set(await trainer.theta(), epoch * model.size);
    const { test } = dataset;
    const logits = await trainer.logits((indices) => test.images(indices), test.count);
    testAccuracy.push(accuracy(logits, test.labels));
    report(epoch, testAccuracy[epoch - 1]!);
  }
  return { theta, testAccuracy };
}
