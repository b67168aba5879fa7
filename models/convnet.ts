/**
 * @file ConvNet (Gidaris & Komodakis 2018, as used by every paper on dataset distillation):
 * depth × [convolution 3×3 → norm → activation → 2×2 pool], then one linear layer.
 */
import {
  add,
  avgPool,
  batchNorm,
  conv2d,
  groupNorm,
  instanceNorm,
  layerNorm,
  leakyRelu,
  linear,
  maxPool,
  relu,
  reshape,
  sigmoid,
  type Tensor,
} from "../engine/index.ts";
import { ModelError, ParameterList, type Model, type Task } from "./model.ts";

export type Norm = "none" | "batch" | "layer" | "instance" | "group";
export type Activation = "sigmoid" | "relu" | "leakyrelu";
export type Pool = "none" | "max" | "avg";

export interface ConvNetOptions {
  readonly depth: number;
  readonly width: number;
  readonly norm: Norm;
  readonly activation: Activation;
  readonly pool: Pool;
}

/** Groups of a group norm, as in the published program. */
const GROUPS = 4;

const activations: Record<Activation, (x: Tensor) => Tensor> = {
  sigmoid,
  relu,
  leakyrelu: (x) => leakyRelu(x, 0.01),
};

const pools: Record<Pool, (x: Tensor) => Tensor> = {
  none: (x) => x,
  max: (x) => maxPool(x, { size: 2 }),
  avg: (x) => avgPool(x, { size: 2 }),
};

function normalise(norm: Norm, x: Tensor, scale: Tensor, shift: Tensor): Tensor {
  switch (norm) {
    case "none":
      return x;
    case "batch":
      return batchNorm(x, scale, shift);
    case "layer":
      return layerNorm(x, scale, shift);
    case "instance":
      return instanceNorm(x, scale, shift);
    case "group":
      return groupNorm(x, GROUPS, scale, shift);
  }
}

/**
 * A ConvNet for images of a task. Grey images of 28 pixels are padded to 32 by the first
 * convolution.
 * @throws ModelError when the image is too small for the depth, or the width does not suit the norm.
 */
export function convNet(name: string, task: Task, options: ConvNetOptions): Model {
  const { depth, width, norm, activation, pool } = options;
  const { channels, size, classes } = task;
  if (norm === "group" && width % GROUPS !== 0)
    throw new ModelError(`${name}: group norm needs a width divisible by ${GROUPS}, got ${width}`);
  const firstPadding = channels === 1 && size === 28 ? 3 : 1;
  const parameters = new ParameterList();
  let pixels = size + 2 * (firstPadding - 1);
  for (let d = 0; d < depth; d++) {
    parameters.layer(`features.${d}.conv`, [width, d === 0 ? channels : width, 3, 3]);
    const normShape = norm === "layer" ? [width, pixels, pixels] : [width];
    if (norm !== "none") parameters.norm(`features.${d}.norm`, normShape);
    if (pool !== "none") pixels = Math.floor(pixels / 2);
    if (pixels < 1)
      throw new ModelError(
        `${name}: depth ${depth} needs images of at least ${2 ** depth} pixels, got ${size}`,
      );
  }
  parameters.layer("classifier", [classes, width * pixels * pixels]);

  return {
    name,
    task,
    parameters: parameters.list,
    size: parameters.size,
    mixesSamples: norm === "batch",
    forward(values, x) {
      const next = values[Symbol.iterator]();
      const take = (): Tensor => next.next().value!;
      let h = x;
      for (let d = 0; d < depth; d++) {
        h = conv2d(h, take(), { padding: d === 0 ? firstPadding : 1 });
        h = add(h, reshape(take(), [width, 1, 1]));
        if (norm !== "none") h = normalise(norm, h, take(), take());
        h = pools[pool](activations[activation](h));
      }
      return linear(reshape(h, [x.shape[0]!, -1]), take(), take());
    },
  };
}
