/**
 * @file ConvNet (Gidaris & Komodakis 2018, as used by every paper on dataset distillation):
 * depth × [convolution 3×3 → norm → activation → 2×2 pool], then one linear layer.
 */
import { avgPool, leakyRelu, maxPool, mul, relu, sigmoid, type Tensor } from "../engine/index.ts";
import { firstPadding, flatten, GROUPS, network, requirePixels, type Norm } from "./layers.ts";
import { ModelError, type Model, type Task } from "./model.ts";

/** What follows the norm of a block. */
export type Activation = "sigmoid" | "relu" | "leakyrelu" | "swish";
/** What ends a block. */
export type Pool = "none" | "max" | "avg";

/** What a ConvNet is made of. */
export interface ConvNetOptions {
  readonly depth: number;
  readonly width: number;
  readonly norm: Norm;
  readonly activation: Activation;
  readonly pool: Pool;
}

const activations: Record<Activation, (x: Tensor) => Tensor> = {
  sigmoid,
  relu,
  leakyrelu: (x) => leakyRelu(x, 0.01),
  swish: (x) => mul(x, sigmoid(x)),
};

const pools: Record<Pool, (x: Tensor) => Tensor> = {
  none: (x) => x,
  max: (x) => maxPool(x, { size: 2 }),
  avg: (x) => avgPool(x, { size: 2 }),
};

/**
 * A ConvNet for images of a task. Grey images of 28 pixels are padded to 32 by the first
 * convolution.
 * @throws ModelError when the image is too small for the depth, or the width does not suit the norm.
 */
export function convNet(name: string, task: Task, options: ConvNetOptions): Model {
  const { depth, width, norm, activation, pool } = options;
  if (norm === "group" && width % GROUPS !== 0)
    throw new ModelError(`${name}: group norm needs a width divisible by ${GROUPS}, got ${width}`);
  if (pool !== "none") requirePixels(name, task, 2 ** depth, `depth ${depth} needs`);
  return network(name, task, (layers, x) => {
    let h = x;
    for (let d = 0; d < depth; d++) {
      const padding = d === 0 ? firstPadding(task, 1) : 1;
      h = layers.convolution(`features.${d}.conv`, h, width, { size: 3, padding });
      h = layers.norm(`features.${d}.norm`, norm, h);
      h = pools[pool](activations[activation](h));
    }
    return layers.linear("classifier", flatten(h), task.classes);
  });
}
