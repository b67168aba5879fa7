/** @file What a distilled set is compared with: real images, some of them or all. */
import type { Dataset } from "../data/dataset.ts";
import type { MatchingMethod } from "../matching/methods.ts";
import { type TrainingSet } from "../training/train.ts";
import { hardTargets, softTargets } from "../labels.ts";

/** Baselines, in the order of a table. */
export const BASELINES = ["full", "random", "random-soft", "herding", "k-center"] as const;

/** Real images that a distilled set is compared with. */
export type Baseline = (typeof BASELINES)[number];

/** Those of some images a class. */
export type RealSubset = Exclude<Baseline, "full">;

/** Rows of a table of results. */
export type Method = Baseline | MatchingMethod;

/** Baselines that ask teachers. */
export const NEED_TEACHERS: readonly Baseline[] = ["random-soft", "herding", "k-center"];

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

/** Real images of given numbers, with the labels that they have. */
export function realSet({ train, classes }: Dataset, numbers: Uint32Array): TrainingSet {
  const images = Float32Array.from(train.images(numbers));
  const labels = Array.from(numbers, (i) => train.labels[i]!);
  const set = syntheticSet(
    images,
    new Float32Array(numbers.length * classes.length),
    classes.length,
  );
  return { ...set, targets: hardTargets(labels, classes.length) };
}
