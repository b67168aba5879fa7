/** @file A network trained on a distilled set, for use: classifies pictures, is saved and loaded. */
import { Gpu, Random } from "../../engine/index.ts";
import { DataError, type ImageShape, type Split } from "../data/dataset.ts";
import { decodePicture } from "../data/picture.ts";
import { fromPixels, type Preprocessing } from "../data/preprocess.ts";
import type { DistilledFile } from "../distilled.ts";
import { readBytes } from "../files.ts";
import { usualEvaluation } from "../recipe.ts";
import { Predictor } from "../training/predict.ts";
import { parseStrategy } from "../training/strategy.ts";
import { Trainer } from "../training/train.ts";
import { predictedClasses, softTargets } from "../labels.ts";
import { syntheticSet } from "./baselines.ts";
import { networkFor, readClassifier, writeClassifier, type Trained } from "./classifier-file.ts";
import { trainByProtocol } from "./evaluate.ts";

/** How {@link trainClassifier} goes about it. What is absent is as the set has it, or as published. */
export interface ClassifierOptions {
  /** An open device, which stays open; without one the classifier opens its own, and closes it. */
  readonly gpu?: Gpu | undefined;
  /** Start, order and augmentation are drawn by it; 0 when absent. */
  readonly seed?: number | undefined;
  /** Another network than the set was made with. */
  readonly network?: string | undefined;
  /** Of a ConvNet. */
  readonly width?: number | undefined;
  /** E: the network sees the set E + 1 times; 1000 when absent, as published. */
  readonly epochs?: number | undefined;
  /** 128 when absent. */
  readonly batch?: number | undefined;
  /** Until the middle, a tenth of it afterwards; the set's learned one when absent. */
  readonly lr?: number | undefined;
  /** 0.9 when absent. */
  readonly momentum?: number | undefined;
  /** 0.0005 when absent. */
  readonly weightDecay?: number | undefined;
  /** Operators joined by _, or none; those that the set was made with when absent. */
  readonly augmentation?: string | undefined;
  /** Is told now and then how many of how many epochs are done. */
  readonly onEpoch?: ((done: number, epochs: number) => void) | undefined;
}

/** What a classifier takes an image for. */
export interface Classification {
  /** Number of the likeliest class. */
  readonly label: number;
  /** Its name. */
  readonly name: string;
  /** Its probability. */
  readonly probability: number;
  /** Of all classes, `[K]`; they add up to 1. */
  readonly probabilities: Float32Array;
}

/** Pictures that are decoded together. */
const PICTURES = 64;

/**
 * A network that was trained on a distilled set, with its class names and preprocessing. It owns memory
 * of the device, and the device if none was given: hold it by `using`.
 */
export class Classifier implements Disposable {
  /** Names, in the order of the probabilities. */
  readonly classes: readonly string[];
  /** Of the images that it takes; pictures of others are brought to it. */
  readonly shape: ImageShape;
  /** Name of the network, as published. */
  readonly network: string;
  private readonly trained: Trained;
  private readonly predictor: Predictor;
  private readonly own: Gpu | undefined;

  private constructor(trained: Trained, predictor: Predictor, own: Gpu | undefined) {
    this.classes = trained.meta.classes;
    this.shape = trained.shape;
    this.network = trained.meta.network;
    this.trained = trained;
    this.predictor = predictor;
    this.own = own;
  }

  /** `make` on the device that is given, or on one that the classifier then owns. @internal */
  static async with(
    given: Gpu | undefined,
    make: (gpu: Gpu) => Promise<Trained>,
  ): Promise<Classifier> {
    const gpu = given ?? (await Gpu.open());
    const own = given ? undefined : gpu;
    try {
      const trained = await make(gpu);
      const predictor = await Predictor.compile(gpu, trained.model, trained.state);
      return new Classifier(trained, predictor, own);
    } catch (error) {
      own?.[Symbol.dispose]();
      throw error;
    }
  }

  /** How raw pixels in [0, 1] become the network's input. */
  get preprocessing(): Preprocessing {
    return this.trained.meta.preprocessing;
  }

  /**
   * Classifies raw pixels in [0, 1], `[N, C, H, W]` in the shape that the network takes.
   * @throws RangeError when they are no whole images of that shape.
   */
  async classify(pixels: Float32Array): Promise<Classification[]> {
    const { channels, height, width } = this.shape;
    const inputs = fromPixels(pixels, this.preprocessing, this.shape);
    const size = channels * height * width;
    const images = (indices: ArrayLike<number>): Float32Array =>
      inputs.subarray(indices[0]! * size, (indices[0]! + indices.length) * size);
    const classes = this.classes.length;
    const logits = await this.predictor.logits(images, inputs.length / size);
    const probabilities = softTargets(logits, classes);
    return Array.from(predictedClasses(logits, classes), (label, i) => {
      const own = probabilities.slice(i * classes, (i + 1) * classes);
      return { label, name: this.classes[label]!, probability: own[label]!, probabilities: own };
    });
  }

  /**
   * Classifies PNG or JPEG pictures, paths or the bytes of such files, of any size: the shorter side is
   * brought to that of the network's images and the middle taken, as where a folder of pictures is read.
   * @throws FileError when a file can't be read, DataError when one is no picture, or damaged.
   */
  async classifyPictures(pictures: readonly (string | Uint8Array)[]): Promise<Classification[]> {
    const out: Classification[] = [];
    for (let at = 0; at < pictures.length; at += PICTURES) {
      const some = pictures.slice(at, at + PICTURES);
      const decoded = await Promise.all(some.map((picture, i) => this.pixelsOf(picture, at + i)));
      const size = decoded[0]!.length;
      const pixels = new Float32Array(some.length * size);
      decoded.forEach((one, i) => pixels.set(one, i * size));
      out.push(...(await this.classify(pixels)));
    }
    return out;
  }

  /** Fraction in 0..1 of a split's raw images, such as `source.test`, that it takes for what they are. */
  async accuracy(split: Split): Promise<number> {
    let right = 0;
    for (let at = 0; at < split.count; at += PICTURES) {
      const length = Math.min(PICTURES, split.count - at);
      const indices = Array.from({ length }, (_, i) => at + i);
      const found = await this.classify(split.images(indices));
      right += found.filter(({ label }, i) => label === split.labels[at + i]).length;
    }
    return right / split.count;
  }

  /**
   * Writes a safetensors file: parameters under their names in PyTorch, and metadata that say the rest.
   * {@link loadClassifier} reads it. Throws `FileError`.
   */
  save(path: string): void {
    writeClassifier(path, this.trained);
  }

  /** Gives back its memory, and the device if it is its own. */
  [Symbol.dispose](): void {
    this.predictor[Symbol.dispose]();
    this.own?.[Symbol.dispose]();
  }

  /** Pixels `[C, H, W]` in [0, 1] of a picture. */
  private async pixelsOf(picture: string | Uint8Array, index: number): Promise<Float32Array> {
    const { channels, height: size } = this.shape;
    if (channels !== 1 && channels !== 3)
      throw new DataError(`pictures: the network must take 1 or 3 channels, got ${channels}`);
    const [bytes, name] =
      typeof picture === "string" ? [readBytes(picture), picture] : [picture, `picture ${index}`];
    const { data } = await decodePicture(bytes, name, { channels, size });
    const plane = size * size;
    return Float32Array.from(
      { length: channels * plane },
      (_, i) => data[(i % plane) * channels + Math.floor(i / plane)]! / 255,
    );
  }
}

/**
 * Trains a network on a distilled set by the published protocol (DATM.md §7): the set's learned rate, soft
 * labels and augmentation, `E + 1` passes, a tenth of the rate after half of them. The same set, options
 * and adapter give the same network, bit for bit.
 * @throws ModelError when there is no such network for the images, RangeError for a setting out of its
 * range, DataError for images that are not square.
 */
export function trainClassifier(
  set: DistilledFile,
  options: ClassifierOptions = {},
): Promise<Classifier> {
  return Classifier.with(options.gpu, (gpu) => train(gpu, set, options));
}

/**
 * The classifier that {@link Classifier.save} wrote, on a given device or its own.
 * @throws FileError when the file is damaged, or of something else.
 */
export function loadClassifier(
  path: string,
  { gpu }: { readonly gpu?: Gpu | undefined } = {},
): Promise<Classifier> {
  return Classifier.with(gpu, () => Promise.resolve(readClassifier(path)));
}

async function train(gpu: Gpu, set: DistilledFile, options: ClassifierOptions): Promise<Trained> {
  const { dataset, classes, preprocessing, ...made } = set.meta;
  const { network = made.network, width = made.width, onEpoch } = options;
  const usual = usualEvaluation();
  const training = {
    seed: options.seed ?? 0,
    epochs: options.epochs ?? usual.epoch_eval_train,
    batch: options.batch ?? usual.batch,
    lr: options.lr ?? set.lr,
    momentum: options.momentum ?? usual.momentum,
    weightDecay: options.weightDecay ?? usual.weight_decay,
    augmentation: options.augmentation ?? made.augmentation,
  };
  checkSettings(training);
  const [, channels, high, wide] = set.shape as [number, number, number, number];
  const shape = { channels, height: high, width: wide };
  const model = networkFor(shape, { network, width, classes });
  const rows = syntheticSet(set.images, set.labels, classes.length);
  const protocol = { ...training, augmentation: parseStrategy(training.augmentation) };
  using trainer = await Trainer.compile(gpu, model, rows, protocol.batch, protocol);
  const random = new Random(training.seed).stream("classifier");
  await trainByProtocol(trainer, protocol, random, (done) => onEpoch?.(done, protocol.epochs + 1));
  const meta = { dataset, classes, network, width, training, preprocessing };
  return { model, shape, state: await trainer.state(), meta };
}

type Range = readonly [must: string, holds: (value: number) => boolean];
const fromOne: Range = ["a whole number from 1", (v) => Number.isInteger(v) && v >= 1];
const RANGES = {
  seed: ["a whole number from 0 to 2^32 - 1", (v) => Number.isInteger(v) && v >= 0 && v < 2 ** 32],
  epochs: fromOne,
  batch: fromOne,
  lr: ["a number above 0", (v) => v > 0 && v < Infinity],
  momentum: ["a number from 0 and below 1", (v) => v >= 0 && v < 1],
  weightDecay: ["a number from 0", (v) => v >= 0 && v < Infinity],
} satisfies Record<string, Range>;

function checkSettings(settings: Readonly<Record<keyof typeof RANGES, number>>): void {
  for (const key of Object.keys(RANGES) as (keyof typeof RANGES)[]) {
    const [must, holds] = RANGES[key];
    if (!holds(settings[key]))
      throw new RangeError(`trainClassifier: ${key} must be ${must}, got ${settings[key]}`);
  }
}
