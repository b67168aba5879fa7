/** @file Evaluation: fresh networks trained on a small set, tested on the real test set (DATM.md §7). */
import { Gpu, type Random } from "../../engine/index.ts";
import { initialise, type Model } from "../../models/index.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Strategy } from "../training/strategy.ts";
import { minibatches, Trainer, type TrainingSet } from "../training/train.ts";
import { predictedClasses } from "../labels.ts";
import { accuracyOf, addConfusions, confusionMatrix, type Confusion } from "./confusion.ts";

/** How a network is trained on a small set, but for its seed. */
export interface Protocol {
  /** E: the network sees the set E + 1 times. */
  readonly epochs: number;
  readonly batch: number;
  /** Until epoch ⌊E/2⌋ + 1; a tenth of it afterwards. */
  readonly lr: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Operators that augment every minibatch; none when absent. */
  readonly augmentation?: Strategy;
}

export interface EvaluationSettings extends Protocol {
  readonly seeds: number;
}

/** Test accuracies in 0..1, one a seed, with their mean and standard deviation (of a sample). */
export interface Accuracies {
  readonly values: readonly number[];
  readonly mean: number;
  readonly std: number;
}

/** What fresh networks do on the test set. */
export interface Evaluation extends Accuracies {
  /** Of all seeds together, `[K, K]`. */
  readonly confusion: Confusion;
}

/** Is told how many of the seeds × (E + 1) epochs are done, and the accuracies of finished seeds. */
export type EvaluationReport = (epochs: number, finished: readonly number[]) => void;

/** Confusion matrices `[K, K]` of seeds that are known, kept as they come to be. */
export interface KeptSeeds {
  /** The seed's, if it is known. */
  get(seed: number): Confusion | undefined;
  /** Keeps what became known. */
  add(seed: number, confusion: Confusion): void;
}

export function summarise(values: readonly number[]): Accuracies {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { values, mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** Epochs whose minibatches are drawn at once, at most. */
const EPOCHS_AT_ONCE = 50;

/** After so many ms it is told how far they are, in their midst, too. */
const SILENCE_MS = 500;

/**
 * Trains a fresh network on the set of `trainer`, which was compiled for the protocol's batch and
 * augmentation. Its start, the order of the images and their augmentations are drawn from `random`.
 * `report` is told how many of the E + 1 epochs are done.
 */
export async function trainByProtocol(
  trainer: Trainer,
  { epochs, batch, momentum, weightDecay, lr: initial }: Protocol,
  random: Random,
  report: (epochs: number) => void = () => undefined,
): Promise<void> {
  trainer.reset(initialise(trainer.model, random.stream("parameters")));
  const order = random.stream("order");
  const draws = random.stream("augmentation");
  const drop = Math.floor(epochs / 2) + 1;
  for (let epoch = 0; epoch <= epochs;) {
    const first = epoch;
    // The learning rate drops and the momentum starts anew between two of them.
    epoch = Math.min(first + EPOCHS_AT_ONCE, first <= drop ? drop + 1 : Infinity, epochs + 1);
    const batches = Array.from({ length: epoch - first }, () =>
      minibatches(order.permutation(trainer.count), batch),
    ).flat();
    const lr = initial * (first > drop ? 0.1 : 1);
    const perEpoch = batches.length / (epoch - first);
    let told = performance.now();
    await trainer.trainInTurns(batches, { lr, momentum, weightDecay }, draws, (steps) => {
      if (performance.now() - told < SILENCE_MS) return;
      told = performance.now();
      report(first + Math.floor(steps / perEpoch));
    });
    if (epoch === drop + 1) trainer.forgetMomentum();
    await trainer.takeLoss();
    report(epoch);
  }
}

/**
 * Trains a fresh network for each seed on that seed's set and tests it once, after the last epoch, unless
 * it is `kept`. Sets have equally many images. Several devices share out the seeds; a seed gives the same
 * bits on whichever of equal devices it is trained.
 */
export async function evaluate(
  gpus: Gpu | readonly [Gpu, ...Gpu[]],
  model: Model,
  setOf: (seed: number) => TrainingSet,
  dataset: Dataset,
  settings: EvaluationSettings,
  random: Random,
  report: EvaluationReport = () => undefined,
  kept?: KeptSeeds,
): Promise<Evaluation> {
  const all = Array.from({ length: settings.seeds }, (_, seed) => seed);
  const confusions = all.map((seed) => kept?.get(seed));
  const left = all.filter((seed) => confusions[seed] === undefined);
  const known = confusions.flatMap((confusion) => (confusion ? [accuracyOf(confusion)] : []));
  const before = known.length * (settings.epochs + 1);
  await evaluateSeeds(gpus instanceof Gpu ? [gpus] : gpus, model, setOf, {
    ...{ dataset, settings, random, seeds: left },
    report: (epochs, finished) => report(before + epochs, [...known, ...finished]),
    onSeed: (seed, confusion) => {
      confusions[seed] = confusion;
      kept?.add(seed, confusion);
    },
  });
  const whole = confusions as Confusion[];
  return { ...summarise(whole.map(accuracyOf)), confusion: addConfusions(whole) };
}

export interface SeedsOptions {
  readonly dataset: Dataset;
  readonly settings: Protocol & Pick<EvaluationSettings, "augmentation">;
  readonly random: Random;
  /** Which seeds. */
  readonly seeds: readonly number[];
  readonly report: EvaluationReport;
  /** Is given the confusion matrix `[K, K]` of each seed when it is done. */
  readonly onSeed: (seed: number, confusion: Confusion) => void;
}

/** Some of the seeds of {@link evaluate}. */
export async function evaluateSeeds(
  gpus: readonly [Gpu, ...Gpu[]],
  model: Model,
  setOf: (seed: number) => TrainingSet,
  { dataset, settings, random, seeds, report, onSeed }: SeedsOptions,
): Promise<void> {
  const { batch, augmentation = [] } = settings;
  const finished: number[] = [];
  const queue = seeds.values();
  const ended = new AbortController();
  let epochs = 0;
  const lane = async (gpu: Gpu): Promise<void> => {
    try {
      using trainer = await Trainer.compile(gpu, model, setOf(0), batch, { augmentation });
      for (const seed of queue) {
        trainer.use(setOf(seed));
        let before = 0;
        await trainByProtocol(trainer, settings, random.stream(`seed ${seed}`), (done) => {
          ended.signal.throwIfAborted();
          epochs += done - before;
          before = done;
          report(epochs, finished);
        });
        const confusion = await tested(trainer, dataset);
        finished.push(accuracyOf(confusion));
        onSeed(seed, confusion);
      }
    } catch (error) {
      ended.abort(error);
    }
  };
  await Promise.all(gpus.slice(0, seeds.length).map(lane));
  ended.signal.throwIfAborted();
}

async function tested(trainer: Trainer, { test, classes }: Dataset): Promise<Confusion> {
  const logits = await trainer.logits((indices) => test.images(indices), test.count);
  return confusionMatrix(test.labels, predictedClasses(logits, classes.length), classes.length);
}
