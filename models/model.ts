/** @file What a network is: a list of parameters and a function from them and images to logits. */
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

/** A network for a task. Its parameters are one vector θ `[P]`, in the order of the list. */
export interface Model {
  readonly name: string;
  readonly task: Task;
  readonly parameters: readonly Parameter[];
  /** P, the length of θ. */
  readonly size: number;
  /** Whether an image's logits depend on the other images of its batch (batch norm). */
  readonly mixesSamples: boolean;
  /** Logits `[N, K]` of images `[N, C, H, W]`. */
  forward(parameters: readonly Tensor[], x: Tensor): Tensor;
}

/** A network that does not exist, or not for these images. */
export class ModelError extends Error {
  override readonly name = "ModelError";
}

/** Collects parameters while a network is built. */
export class ParameterList {
  readonly list: Parameter[] = [];

  /** Adds a weight and a bias, both uniform in ±1/√fanIn. */
  layer(name: string, weight: Shape): void {
    const fanIn = sizeOf(weight.slice(1));
    this.list.push({ name: `${name}.weight`, shape: weight, init: "uniform", fanIn });
    this.list.push({ name: `${name}.bias`, shape: [weight[0]!], init: "uniform", fanIn });
  }

  /** Adds a norm's scale and shift. */
  norm(name: string, shape: Shape): void {
    this.list.push({ name: `${name}.weight`, shape, init: "one", fanIn: 0 });
    this.list.push({ name: `${name}.bias`, shape, init: "zero", fanIn: 0 });
  }

  get size(): number {
    return this.list.reduce((sum, parameter) => sum + sizeOf(parameter.shape), 0);
  }
}

/** Parameters as views of θ `[P]`, in order. */
export function splitParameters(model: Model, theta: Tensor): Tensor[] {
  let at = 0;
  return model.parameters.map(({ shape }) => {
    const size = sizeOf(shape);
    const part = reshape(slice(theta, [at], [size]), shape);
    at += size;
    return part;
  });
}

/** One vector `[P]` from tensors shaped like the parameters, in order. */
export function joinParameters(parts: readonly Tensor[]): Tensor {
  return concat(parts.map((part) => reshape(part, [part.size])));
}

/** Fresh parameters θ `[P]` by PyTorch's defaults, drawn from `random` in order. */
export function initialise(model: Model, random: Random): Float32Array<ArrayBuffer> {
  const theta = new Float32Array(model.size);
  let at = 0;
  for (const { shape, init, fanIn } of model.parameters) {
    const size = sizeOf(shape);
    const bound = 1 / Math.sqrt(fanIn);
    if (init === "uniform") theta.set(random.fill(size, -bound, bound), at);
    else theta.fill(init === "one" ? 1 : 0, at, at + size);
    at += size;
  }
  return theta;
}
