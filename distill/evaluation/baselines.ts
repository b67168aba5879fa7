/** @file What a distilled set is compared with: random real images, and the whole training set. */
import type { MatchingMethod } from "../matching/methods.ts";
import type { Dataset } from "../data/dataset.ts";
import { teacherLogits } from "../matching/start.ts";
import { hardTargets, softTargets, Trainer, type TrainingSet } from "../training/train.ts";
import type { Model } from "../../models/index.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import type { Gpu } from "../../engine/index.ts";

/** Rows of a table of results. */
export type Method = "full" | "random" | "random-soft" | MatchingMethod;

/** The whole training set with its labels. */
export function wholeSet({ train, classes }: Dataset): TrainingSet {
  return {
    count: train.count,
    images: (indices) => train.images(indices),
    targets: hardTargets(train.labels, classes.length),
  };
}

/** A set held in memory: images `[N, C, H, W]` and label logits `[N, K]`. */
export function syntheticSet(
  images: Float32Array,
  labels: Float32Array,
  classes: number,
): TrainingSet {
  const count = labels.length / classes;
  const size = images.length / count;
  const take = (indices: ArrayLike<number>): Float32Array => {
    const out = new Float32Array(indices.length * size);
    for (let i = 0; i < indices.length; i++)
      out.set(images.subarray(indices[i]! * size, (indices[i]! + 1) * size), i * size);
    return out;
  };
  return { count, images: take, targets: softTargets(labels, classes) };
}

/** Real images of given numbers with their labels, and the same with the teachers' soft labels. */
export async function randomSets(
  gpu: Gpu,
  model: Model,
  dataset: Dataset,
  teachers: TrajectoryBuffer,
  draws: readonly Uint32Array[],
): Promise<{ hard: TrainingSet; soft: TrainingSet }[]> {
  const classes = dataset.classes.length;
  using trainer = await Trainer.compile(gpu, model, wholeSet(dataset), 1);
  const sets = [];
  for (const numbers of draws) {
    const images = Float32Array.from(dataset.train.images(numbers));
    const labels = Array.from(numbers, (i) => dataset.train.labels[i]!);
    const logits = await teacherLogits({ dataset, teachers, trainer }, numbers);
    const soft = syntheticSet(images, logits, classes);
    sets.push({ hard: { ...soft, targets: hardTargets(labels, classes) }, soft });
  }
  return sets;
}
