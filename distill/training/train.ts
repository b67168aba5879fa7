/** @file Training a network by SGD or GSAM on images with target probabilities. */
import {
  add,
  gather,
  grad,
  logSoftmax,
  mul,
  neg,
  OutOfMemoryError,
  Program,
  repeat,
  reshape,
  sub,
  sum,
  variable,
  type Gpu,
  type Procedure,
  type Random,
  type Tensor,
} from "../../engine/index.ts";
import { initialBuffers, joinParameters, splitParameters, type Model } from "../../models/index.ts";
import { augment, drawRows, ROW } from "./augment.ts";
import { gsamDirection, sgdStep, type GsamSettings, type SgdSettings } from "./optimiser.ts";
import { logitsBy, prediction, type NetworkState } from "./predict.ts";
import type { Strategy } from "./strategy.ts";

/** What a network is trained on. */
export interface TrainingSet {
  readonly count: number;
  /** Images `[n, C, H, W]` in the network's input space. */
  images(indices: ArrayLike<number>): Float32Array;
  /** Target probabilities `[count, K]`. */
  readonly targets: Float32Array;
}

/** All that a trainer's further steps depend on, besides the minibatches. */
export interface TrainerState extends NetworkState {
  /** Of the momentum, `[P]`. */
  readonly velocity: Float32Array<ArrayBuffer>;
}

interface Sizes {
  readonly batch: number;
  readonly capacity: number;
  readonly steps: number;
}

/** How a {@link Trainer} trains. */
export interface TrainerOptions {
  /** Takes GSAM's direction for the gradient; two gradients a step. */
  readonly gsam?: GsamSettings | undefined;
  /** Operators that augment the images of a minibatch; none when absent. */
  readonly augmentation?: Strategy;
}

/** Images that a trainer keeps on the device at most, in bytes. */
const POOL_BYTES = 64 * 2 ** 20;
/** Steps whose minibatches are uploaded at once, at most. */
const STEPS = 64;
/** Images that are classified at once. */
const QUERIES = 256;
/** What a turn of training lasts at most, in ms. */
const TURN_MS = 1000;
/** What a step's statistics count for in the running ones, as in PyTorch. */
const MOMENTUM = 0.1;
/** Blocks of {@link QUERIES} images that running statistics are found from where there was no training. */
const SURVEYED = 8;

/**
 * A network under training. It owns a program: hold it by `using`.
 * Letters: M images in the pool, T steps an upload, B images a minibatch, K classes, P parameters.
 */
export class Trainer implements Disposable {
  readonly model: Model;
  readonly batch: number;
  private readonly program: Program;
  private set: TrainingSet;
  private readonly capacity: number;
  private readonly steps: number;
  private readonly augmentation: Strategy;
  private loaded = false;
  /** Steps of a turn, as they are known to last long enough. */
  private turn = 1;

  private constructor(
    program: Program,
    model: Model,
    set: TrainingSet,
    sizes: Sizes,
    augmentation: Strategy,
  ) {
    this.program = program;
    this.model = model;
    this.set = set;
    this.batch = sizes.batch;
    this.capacity = sizes.capacity;
    this.steps = sizes.steps;
    this.augmentation = augmentation;
  }

  /**
   * A trainer of `model` on minibatches of up to `batch` images of `set`.
   * @throws OutOfMemoryError when the adapter has not the memory.
   */
  static async compile(
    gpu: Gpu,
    model: Model,
    set: TrainingSet,
    batch: number,
    { gsam, augmentation = [] }: TrainerOptions = {},
  ): Promise<Trainer> {
    const { channels, size } = model.task;
    const most = Math.max(batch, Math.floor(POOL_BYTES / (4 * channels * size * size)));
    const capacity = Math.min(set.count, most);
    const steps = set.count <= most ? STEPS : Math.max(1, Math.floor(capacity / batch));
    const width = Math.min(batch, set.count);
    const sizes = { batch: width, capacity, steps };
    const procedures = trainingProcedures(model, sizes, gsam, augmentation);
    const program = await Program.compile(gpu, procedures).catch((error: unknown) => {
      if (!(error instanceof OutOfMemoryError)) throw error;
      const advice = "lower batch or width, or take --precision f16";
      const what = `training on minibatches of ${batch} images`;
      throw new OutOfMemoryError(`${what}: ${error.message}; ${advice}`, error.planned);
    });
    if (gsam) {
      program.write("rho", Float32Array.of(gsam.rho));
      program.write("alpha", Float32Array.of(gsam.alpha));
    }
    return new Trainer(program, model, set, sizes, augmentation);
  }

  /** Images of the set. */
  get count(): number {
    return this.set.count;
  }

  /**
   * Trains on another set of as many images from now on.
   * @throws RangeError when it has another number.
   */
  use(set: TrainingSet): void {
    if (set.count !== this.set.count)
      throw new RangeError(
        `trainer: a set must have ${this.set.count} images as before, got ${set.count}`,
      );
    this.set = set;
    this.loaded = false;
  }

  /**
   * Sets the parameters θ `[P]`; the momentum starts anew, and so do the running statistics `[R]` of
   * batch norms unless they are given.
   */
  reset(theta: Float32Array<ArrayBuffer>, running = initialBuffers(this.model)): void {
    this.restore({ theta, velocity: new Float32Array(this.model.size), running });
  }

  /**
   * Finds the running statistics of batch norms for the current parameters from the set's images, where
   * parameters were kept alone: the mean over some blocks of images from all over the set.
   */
  survey(): void {
    if (!this.hasBuffers) return;
    const { count } = this.set;
    const blocks = Math.min(SURVEYED, Math.ceil(count / QUERIES));
    for (let block = 0; block < blocks; block++) {
      const indices = Array.from({ length: QUERIES }, (_, i) =>
        Math.floor(((i * blocks + block) * count) / (blocks * QUERIES)),
      );
      this.program.write("queries", Float32Array.from(this.set.images(indices)));
      this.program.write("share", Float32Array.of(1 / (block + 1)));
      this.program.run("survey");
    }
  }

  /** The momentum starts anew, as with a new optimiser. */
  forgetMomentum(): void {
    this.program.write("velocity", new Float32Array(this.model.size));
  }

  /**
   * Queues one step on each of `batches`, lists of at most B indices into the set. Augmentations are drawn
   * from `random`, one after the other.
   * @throws RangeError when images are to be augmented and there is nothing to draw from.
   */
  train(
    batches: readonly ArrayLike<number>[],
    { lr, momentum, weightDecay }: SgdSettings,
    random?: Random,
  ): void {
    this.program.write("lr", Float32Array.of(lr));
    this.program.write("momentum", Float32Array.of(momentum));
    this.program.write("weightDecay", Float32Array.of(weightDecay));
    const resident = this.set.count <= this.capacity;
    if (resident && !this.loaded) {
      this.fillPool(Array.from({ length: this.set.count }, (_, i) => i));
      this.loaded = true;
    }
    for (let at = 0; at < batches.length; at += this.steps) {
      const some = batches.slice(at, at + this.steps);
      const rows = new Uint32Array(this.steps * this.batch);
      const weights = new Float32Array(this.steps * this.batch);
      some.forEach((indices, s) => {
        for (let b = 0; b < indices.length; b++) {
          rows[s * this.batch + b] = resident ? indices[b]! : s * this.batch + b;
          weights[s * this.batch + b] = 1 / indices.length;
        }
      });
      if (!resident) this.fillPool(padded(some, this.batch));
      this.program.write("batches", rows);
      this.program.write("weights", weights);
      if (this.augmentation.length > 0)
        this.program.write("draws", this.drawn(some.length, random));
      this.program.run("train", some.length);
    }
  }

  /**
   * The same in turns of half a second to a second, so that the process hears signals meanwhile: queueing
   * blocks it where the device is the CPU. After each but the last, `between` is told how many of the steps
   * are done; what it throws ends the training. The bits are those of {@link train}.
   */
  async trainInTurns(
    batches: readonly ArrayLike<number>[],
    settings: SgdSettings,
    random: Random | undefined,
    between: (steps: number) => void | Promise<void>,
  ): Promise<void> {
    for (let at = 0; at < batches.length;) {
      const begun = performance.now();
      const some = batches.slice(at, at + this.turn);
      this.train(some, settings, random);
      at += some.length;
      // A turn that is short enough for all needs no end of its own.
      if (at === batches.length) break;
      await this.done();
      const ms = performance.now() - begun;
      if (ms < TURN_MS / 2) this.turn *= 2;
      else if (ms > TURN_MS) this.turn = Math.ceil(this.turn / 2);
      await between(at);
    }
  }

  /** Draws the augmentations of `steps` steps that were trained before, so that the next draws are the same. */
  pass(steps: number, random: Random): void {
    if (this.augmentation.length === 0) return;
    for (let done = 0; done < steps; done += this.steps)
      this.drawn(Math.min(this.steps, steps - done), random);
  }

  /** Waits for all queued steps. */
  async done(): Promise<void> {
    await this.program.done();
  }

  /** Parameters θ `[P]` after all queued steps. */
  async theta(): Promise<Float32Array<ArrayBuffer>> {
    const [theta] = await this.program.read("theta");
    return theta;
  }

  /** Where training stands after all queued steps. */
  async state(): Promise<TrainerState> {
    const [theta, velocity] = await this.program.read("theta", "velocity");
    const [running] = this.hasBuffers ? await this.program.read("running") : [new Float32Array()];
    return { theta, velocity, running };
  }

  /** Goes on from where a trainer stood. */
  restore({ theta, velocity, running }: TrainerState): void {
    this.program.write("theta", theta);
    this.program.write("velocity", velocity);
    if (this.hasBuffers) this.program.write("running", running);
  }

  /** Sum of the minibatch losses since the last call. */
  async takeLoss(): Promise<number> {
    const [loss] = await this.program.read("lossSum");
    this.program.write("lossSum", Float32Array.of(0));
    return loss[0]!;
  }

  /** Logits `[count, K]` of images given in blocks by `images(indices)`, under the current parameters. */
  logits(
    images: (indices: ArrayLike<number>) => Float32Array,
    count: number,
  ): Promise<Float32Array> {
    return logitsBy(this.program, this.model, QUERIES, images, count);
  }

  /** Gives back the memory of its program. */
  [Symbol.dispose](): void {
    this.program[Symbol.dispose]();
  }

  /** Whether there are batch norms, which run statistics along. */
  private get hasBuffers(): boolean {
    return this.model.runningSize > 0;
  }

  /** Augmentations `[T, B, ROW]` of the next steps. */
  private drawn(steps: number, random: Random | undefined): Float32Array<ArrayBuffer> {
    if (!random)
      throw new RangeError("trainer: augmentations must be drawn from some stream, got none");
    const { channels, size } = this.model.task;
    const shape = { channels, height: size, width: size };
    const draws = new Float32Array(this.steps * this.batch * ROW);
    for (let s = 0; s < steps; s++) {
      const rows = drawRows(this.augmentation, shape, this.batch, random);
      draws.set(rows, s * this.batch * ROW);
    }
    return draws;
  }

  private fillPool(indices: ArrayLike<number>): void {
    const { channels, size, classes } = this.model.task;
    const images = new Float32Array(this.capacity * channels * size * size);
    images.set(this.set.images(indices));
    const targets = new Float32Array(this.capacity * classes);
    for (let i = 0; i < indices.length; i++)
      targets.set(
        this.set.targets.subarray(indices[i]! * classes, (indices[i]! + 1) * classes),
        i * classes,
      );
    this.program.write("pool", images);
    this.program.write("targets", targets);
  }
}

/** Minibatches one after the other, short ones filled up with their first index. */
function padded(batches: readonly ArrayLike<number>[], width: number): number[] {
  return batches.flatMap((batch) => Array.from({ length: width }, (_, b) => batch[b] ?? batch[0]!));
}

/**
 * `train`: a step on a minibatch of an upload, one a repetition. `predict`: logits of `queries`.
 * `survey`, where there are batch norms: their statistics of `queries` into the running ones.
 */
function trainingProcedures(
  model: Model,
  { capacity, steps, batch }: Sizes,
  gsam: GsamSettings | undefined,
  augmentation: Strategy,
): Record<string, Procedure> {
  const { channels, size, classes } = model.task;
  const pool = variable("pool", [capacity, channels, size, size]);
  const targets = variable("targets", [capacity, classes]);
  const step = repeat();
  const index = gather(variable("batches", [steps, batch], "u32"), step);
  const weight = gather(variable("weights", [steps, batch]), step);
  const theta = variable("theta", [model.size]);
  const velocity = variable("velocity", [model.size]);
  const lossSum = variable("lossSum", []);
  const setting = (name: string): Tensor => variable(name, []);

  // All gradients of a step see the same images.
  const draws = gather(variable("draws", [steps, batch, ROW]), step);
  const images = augment(gather(pool, index), draws, augmentation);
  const target = mul(gather(targets, index), reshape(weight, [batch, 1]));
  const lossAt = (parameters: readonly Tensor[]): Tensor =>
    neg(sum(mul(target, logSoftmax(model.forward(parameters, images, weight)))));
  const gradientAt = (at: Tensor): Tensor => {
    const parameters = splitParameters(model, at);
    return joinParameters(grad(lossAt(parameters), parameters));
  };
  const direction = gsam
    ? gsamDirection(
        theta,
        gradientAt,
        { rho: setting("rho"), alpha: setting("alpha") },
        gsam.adaptive,
      )
    : gradientAt(theta);
  const next = sgdStep(theta, velocity, direction, {
    lr: setting("lr"),
    momentum: setting("momentum"),
    weightDecay: setting("weightDecay"),
  });
  const parameters = splitParameters(model, theta);
  const train = { ...next, lossSum: add(lossSum, lossAt(parameters)) };
  const predict = { logits: prediction(model, QUERIES) };
  if (model.runningSize === 0) return { train, predict };

  const running = variable("running", [model.runningSize]);
  /** Running statistics, of which `share` is from now on from these images. */
  const moved = (share: Tensor | number, x: Tensor, weights?: Tensor): Procedure => {
    const { statistics } = model.train(parameters, x, weights);
    return { running: add(running, mul(sub(joinParameters(statistics), running), share)) };
  };
  return {
    train: { ...train, ...moved(MOMENTUM, images, weight) },
    predict,
    survey: moved(setting("share"), variable("queries", [QUERIES, channels, size, size])),
  };
}

/** Indices 0 … count - 1 in the given order, cut into minibatches; the last may be short. */
export function minibatches(order: Uint32Array, batch: number): Uint32Array[] {
  const out = [];
  for (let at = 0; at < order.length; at += batch) out.push(order.subarray(at, at + batch));
  return out;
}
