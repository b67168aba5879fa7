/** @file Layers that networks share, and how a network is made from a function that asks for them. */
import {
  add,
  batchMoments,
  batchNorm,
  conv2d,
  div,
  groupNorm,
  instanceNorm,
  layerNorm,
  linear,
  mul,
  reshape,
  sizeOf,
  square,
  sub,
  sum,
  variable,
  type Moments,
  type Shape,
  type Tensor,
} from "../engine/index.ts";
import { elements, ModelError, type Model, type Parameter, type Task } from "./model.ts";

/** What follows a convolution. */
export type Norm = "none" | "batch" | "layer" | "instance" | "group";

/** Groups of a group norm, as in the published program. */
export const GROUPS = 4;

interface ConvolutionOptions {
  /** Pixels along a side of the kernel. */
  readonly size: number;
  readonly stride?: number;
  readonly padding?: number;
  /** Whether each channel has a bias; true when absent. */
  readonly bias?: boolean;
}

/** What the layers of one pass get from outside, each in the order in which the network asks. */
interface Source {
  parameter(declared: Parameter): Tensor;
  /** Statistics by which the batch norm called `name` normalises `x`. */
  moments(name: string, x: Tensor): Moments;
}

/** The layers of one pass. A layer's parameters are declared by its call, in PyTorch's order. */
export class Layers {
  private readonly source: Source;
  /** What the last linear layer was given, `[N, F]`. */
  features: Tensor | undefined;

  constructor(source: Source) {
    this.source = source;
  }

  /** Convolution of x `[N, C, H, W]` with `[O, C, size, size]`, plus a bias `[O]`. */
  convolution(name: string, x: Tensor, channels: number, options: ConvolutionOptions): Tensor {
    const { size, bias = true, ...window } = options;
    const shape = [channels, x.shape[1]!, size, size];
    const y = conv2d(x, this.uniform(`${name}.weight`, shape, shape), window);
    if (!bias) return y;
    return add(y, reshape(this.uniform(`${name}.bias`, [channels], shape), [channels, 1, 1]));
  }

  /** x `[N, F]` times `[units, F]` transposed, plus a bias `[units]`. */
  linear(name: string, x: Tensor, units: number): Tensor {
    this.features = x;
    const shape = [units, x.shape[1]!];
    const weight = this.uniform(`${name}.weight`, shape, shape);
    return linear(x, weight, this.uniform(`${name}.bias`, [units], shape));
  }

  /** A norm of x `[N, C, H, W]` with a scale and a shift; "none" leaves x as it is. */
  norm(name: string, kind: Norm, x: Tensor): Tensor {
    if (kind === "none") return x;
    const shape = kind === "layer" ? x.shape.slice(1) : [x.shape[1]!];
    const scale = this.constant(`${name}.weight`, shape, "one");
    const shift = this.constant(`${name}.bias`, shape, "zero");
    switch (kind) {
      case "batch":
        return batchNorm(x, scale, shift, this.source.moments(name, x));
      case "layer":
        return layerNorm(x, scale, shift);
      case "instance":
        return instanceNorm(x, scale, shift);
      case "group":
        return groupNorm(x, GROUPS, scale, shift);
    }
  }

  private uniform(name: string, shape: Shape, weight: Shape): Tensor {
    const fanIn = sizeOf(weight.slice(1));
    return this.source.parameter({ name, shape, init: "uniform", fanIn });
  }

  private constant(name: string, shape: Shape, init: "one" | "zero"): Tensor {
    return this.source.parameter({ name, shape, init, fanIn: 0 });
  }
}

/** Images `[N, C, H, W]` as rows `[N, C·H·W]`. */
export const flatten = (x: Tensor): Tensor => reshape(x, [x.shape[0]!, -1]);

/** Padding of a first convolution that pads by `usual`: grey images of 28 pixels become 32. */
export function firstPadding({ channels, size }: Task, usual: number): number {
  return channels === 1 && size === 28 ? usual + 2 : usual;
}

/**
 * What needs `least` pixels is said by `needs`, e.g. "its three pools need".
 * @throws ModelError when images have fewer once they are padded.
 */
export function requirePixels(name: string, task: Task, least: number, needs: string): void {
  if (task.size + 2 * firstPadding(task, 0) < least)
    throw new ModelError(`${name}: ${needs} images of at least ${least} pixels, got ${task.size}`);
}

/** Variance over the n = 1/Σw² images times m = H·W pixels that were seen, with divisor n·m - 1. */
function unbiased({ variance }: Moments, x: Tensor, weights?: Tensor): Tensor {
  const [n, , h, w] = x.shape as [number, number, number, number];
  if (!weights) return mul(variance, (n * h * w) / (n * h * w - 1));
  const share = mul(sum(square(weights)), 1 / (h * w));
  return div(variance, sub(1, share));
}

/**
 * The network that `body` describes: from images `[N, C, H, W]` and layers to logits `[N, K]`. The
 * layers that it asks for are its parameters, so it must ask for the same ones every time.
 */
export function network(
  name: string,
  task: Task,
  body: (layers: Layers, x: Tensor) => Tensor,
): Model {
  const parameters: Parameter[] = [];
  const buffers: Parameter[] = [];
  const declaration: Source = {
    parameter(declared) {
      parameters.push(declared);
      return variable(declared.name, declared.shape);
    },
    moments(norm, x) {
      const [mean, variance] = (["mean", "var"] as const).map((part) => {
        const init = part === "mean" ? "zero" : "one";
        buffers.push({ name: `${norm}.running_${part}`, shape: [x.shape[1]!], init, fanIn: 0 });
        return variable(`${norm}.running_${part}`, [x.shape[1]!]);
      });
      return { mean: mean!, variance: variance! };
    },
  };
  body(new Layers(declaration), variable("x", [1, task.channels, task.size, task.size]));

  const pass = (values: readonly Tensor[], x: Tensor, moments: Source["moments"]) => {
    const layers = new Layers({ parameter: inOrder(values), moments });
    return { logits: body(layers, x), features: layers.features! };
  };
  const evaluation = (values: readonly Tensor[], running: readonly Tensor[], x: Tensor) => {
    const next = inOrder(running);
    return pass(values, x, () => ({ mean: next(), variance: next() }));
  };
  const train: Model["train"] = (values, x, weights) => {
    const statistics: Tensor[] = [];
    const { logits } = pass(values, x, (_, y) => {
      const moments = batchMoments(y, weights);
      statistics.push(moments.mean, unbiased(moments, y, weights));
      return moments;
    });
    return { logits, statistics };
  };
  return {
    name,
    task,
    parameters,
    size: elements(parameters),
    buffers,
    runningSize: elements(buffers),
    mixesSamples: buffers.length > 0,
    forward: (values, x, weights) => train(values, x, weights).logits,
    train,
    evaluate: (values, running, x) => evaluation(values, running, x).logits,
    features: (values, running, x) => evaluation(values, running, x).features,
  };
}

/** One of `values` a call. */
function inOrder(values: readonly Tensor[]): () => Tensor {
  let at = 0;
  return () => values[at++]!;
}
