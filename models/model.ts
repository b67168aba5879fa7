/** @file What a network is: a list of parameters and functions from them and images to logits. */
import {
  concat,
  reshape,
  slice,
  sizeOf,
  type Random,
  type Shape,
  type Tensor,
} from "../engine/index.ts";

/** One parameter, as PyTorch would name and initialise it. */
export interface Parameter {
  readonly name: string;
  readonly shape: Shape;
  /**
   * `uniform` in ±1/√fanIn (PyTorch's default for weights and biases of convolutions and linear
   * layers), or a constant 1 or 0 (norm scales and shifts).
   */
  readonly init: "uniform" | "one" | "zero";
  /** Inputs of one unit; only for `uniform`. */
  readonly fanIn: number;
}

/** Images and classes that a network is made for. */
export interface Task {
  readonly channels: number;
  /** Height and width in pixels. */
  readonly size: number;
  readonly classes: number;
}

/** A training pass: logits, and what the batch norms met. */
export interface TrainingPass {
  /** `[N, K]` */
  readonly logits: Tensor;
  /** Mean and unbiased variance of the batch at every batch norm, shaped as the buffers. */
  readonly statistics: readonly Tensor[];
}

/** A network for a task. Its parameters are one vector θ `[P]`, in the order of the list. */
export interface Model {
  readonly name: string;
  readonly task: Task;
  readonly parameters: readonly Parameter[];
  /** P, the length of θ. */
  readonly size: number;
  /**
   * Running mean and variance of every batch norm, which evaluation uses: one vector `[R]` in this
   * order. None without batch norm.
   */
  readonly buffers: readonly Parameter[];
  /** R, the length of the running statistics. */
  readonly runningSize: number;
  /** Whether an image's logits depend on the other images of its batch (batch norm). */
  readonly mixesSamples: boolean;
  /**
   * Logits `[N, K]` of images `[N, C, H, W]` in training: batch norms use the statistics of the
   * batch, where images count by `weights` `[N]` that add up to 1 (equally when absent; 0 leaves one out).
   */
  forward(parameters: readonly Tensor[], x: Tensor, weights?: Tensor): Tensor;
  /** {@link Model.forward} with the statistics of the batch. */
  train(parameters: readonly Tensor[], x: Tensor, weights?: Tensor): TrainingPass;
  /** Logits `[N, K]` in evaluation: batch norms use the running statistics in `buffers`. */
  evaluate(parameters: readonly Tensor[], buffers: readonly Tensor[], x: Tensor): Tensor;
  /** What the last linear layer is given in evaluation: features `[N, D]`. */
  features(parameters: readonly Tensor[], buffers: readonly Tensor[], x: Tensor): Tensor;
}

/** A network that does not exist, or not for these images. */
export class ModelError extends Error {
  override readonly name = "ModelError";
}

/** Elements of all together. */
export const elements = (list: readonly Parameter[]): number =>
  list.reduce((sum, { shape }) => sum + sizeOf(shape), 0);

/** Tensors of a list's shapes as views of a vector that holds them in order. */
function split(list: readonly Parameter[], vector: Tensor): Tensor[] {
  let at = 0;
  return list.map(({ shape }) => {
    const size = sizeOf(shape);
    const part = reshape(slice(vector, [at], [size]), shape);
    at += size;
    return part;
  });
}

/** Parameters as views of θ `[P]`, in order. */
export function splitParameters(model: Model, theta: Tensor): Tensor[] {
  return split(model.parameters, theta);
}

/** Buffers as views of the running statistics `[R]`, in order. */
export function splitBuffers(model: Model, running: Tensor): Tensor[] {
  return split(model.buffers, running);
}

/** One vector from tensors shaped like the parameters (θ `[P]`) or the buffers (`[R]`), in order. */
export function joinParameters(parts: readonly Tensor[]): Tensor {
  return concat(parts.map((part) => reshape(part, [part.size])));
}

function fresh(list: readonly Parameter[], random?: Random): Float32Array<ArrayBuffer> {
  const vector = new Float32Array(elements(list));
  let at = 0;
  for (const { shape, init, fanIn } of list) {
    const size = sizeOf(shape);
    const bound = 1 / Math.sqrt(fanIn);
    if (init === "uniform") vector.set(random!.fill(size, -bound, bound), at);
    else vector.fill(init === "one" ? 1 : 0, at, at + size);
    at += size;
  }
  return vector;
}

/** Fresh parameters θ `[P]` by PyTorch's defaults, drawn from `random` in order. */
export function initialise(model: Model, random: Random): Float32Array<ArrayBuffer> {
  return fresh(model.parameters, random);
}

/** Running statistics `[R]` before training: means 0 and variances 1. */
export function initialBuffers(model: Model): Float32Array<ArrayBuffer> {
  return fresh(model.buffers);
}
