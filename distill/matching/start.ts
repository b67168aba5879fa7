/** @file The synthetic set before it is optimised: which images, and their soft labels (DATM.md §4). */
import type { Random } from "../../engine/index.ts";
import type { Dataset } from "../data/dataset.ts";
import { classLogits, EXACT, predictedClasses } from "../labels.ts";
import { type Trainer } from "../training/train.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";

/** Images with label logits: N = ipc · K rows, class by class. */
export interface SyntheticSet {
  /** `[N, C, H, W]` in the network's input space. */
  readonly images: Float32Array<ArrayBuffer>;
  /** `[N, K]` logits. */
  readonly labels: Float32Array<ArrayBuffer>;
}

interface Source {
  readonly dataset: Dataset;
  readonly teachers: TrajectoryBuffer;
  /** Classifies with whatever parameters it is given. */
  readonly trainer: Trainer;
}

/** Numbers of the training images of each class, in random order. */
function byClass({ train, classes }: Dataset, random: Random): number[][] {
  const lists = classes.map((): number[] => []);
  for (const i of random.permutation(train.count)) lists[train.labels[i]!]!.push(i);
  return lists;
}

/**
 * `ipc` random real images a class, class by class.
 * @throws RangeError when a class has fewer.
 */
export function randomReal(dataset: Dataset, ipc: number, random: Random): Uint32Array {
  const chosen = byClass(dataset, random).map((list, k) => {
    if (list.length < ipc)
      throw new RangeError(
        `ipc: must be at most the images of every class, got ${ipc} for ${list.length} of class ${dataset.classes[k]!}`,
      );
    return list.slice(0, ipc);
  });
  return Uint32Array.from(chosen.flat());
}

/** Class that the trainer's current network gives to training images. */
async function classify({ dataset, trainer }: Source, numbers: readonly number[]) {
  const images = (at: ArrayLike<number>): Float32Array =>
    dataset.train.images(Array.from(at, (i) => numbers[i]!));
  const logits = await trainer.logits(images, numbers.length);
  return { logits, predicted: predictedClasses(logits, dataset.classes.length) };
}

/**
 * `ipc` real images a class that some teacher's last snapshot classifies correctly: teacher by
 * teacher until every class has enough. Classes that all teachers fail on are filled at random.
 * @throws RangeError when a class has fewer than `ipc` images.
 */
export async function predictedCorrectly(
  source: Source,
  ipc: number,
  random: Random,
): Promise<Uint32Array> {
  const { dataset, teachers } = source;
  randomReal(dataset, ipc, random);
  const candidates = byClass(dataset, random);
  const chosen = candidates.map((): number[] => []);
  for (let teacher = 0; teacher < teachers.count; teacher++) {
    if (chosen.every((list) => list.length >= ipc)) break;
    takeTeacher(source, teacher);
    for (const [k, list] of candidates.entries()) {
      // Few at a time: most are classified correctly, so few need to be asked.
      for (let at = 0; at < list.length && chosen[k]!.length < ipc; at += 2 * ipc) {
        const some = list.slice(at, at + 2 * ipc);
        const { predicted } = await classify(source, some);
        some.forEach((i, n) => {
          if (predicted[n] === k && chosen[k]!.length < ipc) chosen[k]!.push(i);
        });
      }
      candidates[k] = list.filter((i) => !chosen[k]!.includes(i));
    }
  }
  chosen.forEach((list, k) => list.push(...candidates[k]!.slice(0, ipc - list.length)));
  return Uint32Array.from(chosen.flat());
}

/** Makes the trainer's network a teacher after its last epoch. */
export function takeTeacher({ teachers, trainer }: Source, teacher: number): void {
  const { epochs } = teachers.meta;
  const theta = teachers.snapshot(teacher, epochs);
  const running = teachers.runningAfter(teacher, epochs);
  if (running.length === trainer.model.runningSize) trainer.reset(theta, running);
  else {
    trainer.reset(theta);
    trainer.survey();
  }
}

/**
 * Label logits `[n, K]` of training images: the mean of the last snapshots' logits over the teachers
 * that classify the image correctly, or over all if none does.
 */
export async function teacherLogits(
  source: Source,
  numbers: Uint32Array,
): Promise<Float32Array<ArrayBuffer>> {
  const { dataset, teachers } = source;
  const classes = dataset.classes.length;
  const all = new Float64Array(numbers.length * classes);
  const correct = new Float64Array(numbers.length * classes);
  const votes = new Uint32Array(numbers.length);
  for (let teacher = 0; teacher < teachers.count; teacher++) {
    takeTeacher(source, teacher);
    const { logits, predicted } = await classify(source, Array.from(numbers));
    numbers.forEach((number, i) => {
      const right = predicted[i] === dataset.train.labels[number];
      if (right) votes[i]!++;
      for (let k = 0; k < classes; k++) {
        const z = logits[i * classes + k]!;
        all[i * classes + k]! += z;
        if (right) correct[i * classes + k]! += z;
      }
    });
  }
  return Float32Array.from(all, (sum, at) => {
    const vote = votes[Math.floor(at / classes)]!;
    return vote > 0 ? correct[at]! / vote : sum / teachers.count;
  });
}

/** Label logits `[n, K]` of training images by their own classes. */
export function hardLogits(
  dataset: Dataset,
  numbers: Uint32Array,
  off = -20,
): Float32Array<ArrayBuffer> {
  const labels = Array.from(numbers, (number) => dataset.train.labels[number]!);
  return classLogits(labels, dataset.classes.length, off);
}

/**
 * The set that optimisation starts from, by the recipe's `init` and `labels`. Noise is standard normal
 * and has labels of its class, since no teacher has an opinion on it. Hard labels are exact: softmax
 * of their logits is one 1, and has no gradient.
 */
export async function startingSet(
  source: Source,
  init: "samples_predicted_correctly" | "real" | "noise",
  ipc: number,
  random: Random,
  labels: "soft" | "hard" = "soft",
): Promise<SyntheticSet> {
  const { dataset } = source;
  const off = labels === "hard" ? EXACT : undefined;
  if (init === "noise") {
    const { channels, height, width, classes } = dataset;
    const count = ipc * classes.length;
    const images = Float32Array.from({ length: count * channels * height * width }, () =>
      random.normal(),
    );
    const numbers = randomReal(dataset, ipc, random);
    return { images, labels: hardLogits(dataset, numbers, off) };
  }
  const numbers =
    init === "real"
      ? randomReal(dataset, ipc, random)
      : await predictedCorrectly(source, ipc, random);
  return {
    images: Float32Array.from(dataset.train.images(numbers)),
    labels:
      labels === "hard"
        ? hardLogits(dataset, numbers, EXACT)
        : await teacherLogits(source, numbers),
  };
}
