/** @file Networks of golden cases, their parameters and labels. */
import { concat, reshape, variable, type Tensor } from "../../engine/index.ts";
import { buildModel, ModelError, type Model } from "../../models/index.ts";
import type { Activation, Pool } from "../../models/convnet.ts";
import type { Norm } from "../../models/layers.ts";
import { fill } from "./fill.ts";

/** Constructor arguments, named as in the published program. */
export interface NetworkArgs {
  readonly depth?: number;
  readonly width?: number;
  readonly channels?: number;
  readonly size?: number;
  readonly nrm?: Norm;
  readonly act?: Activation;
  readonly pool?: Pool;
}

/** The model of a case, or undefined if no network of that name exists. */
export function networkOf(
  name: string,
  args: NetworkArgs,
  images: { channels: number; size: number },
  classes = 10,
): Model | undefined {
  const { depth, width, nrm, act, pool } = args;
  // Some names say more than the network's: `ConvNetD3-28`, `ConvNet-nrm=group`.
  const base = name.split("-")[0]!;
  try {
    return buildModel(
      base,
      { ...images, classes },
      {
        ...(depth === undefined ? {} : { depth }),
        ...(width === undefined ? {} : { width }),
        ...(nrm === undefined ? {} : { norm: nrm }),
        ...(act === undefined ? {} : { activation: act }),
        ...(pool === undefined ? {} : { pool }),
      },
    );
  } catch (error) {
    if (error instanceof ModelError) return undefined;
    throw error;
  }
}

/** θ `[P]`: parameter i filled with seed + i, in the range of its kind. */
export function goldenParameters(model: Model, seed: number): Float32Array<ArrayBuffer> {
  const theta = new Float32Array(model.size);
  let at = 0;
  model.parameters.forEach(({ shape, init, fanIn }, i) => {
    const bound = 1 / Math.sqrt(fanIn);
    const range = { uniform: [-bound, bound], one: [0.5, 1.5], zero: [-0.3, 0.3] }[init];
    const values = fill(shape, seed + i, range[0]!, range[1]!);
    theta.set(values, at);
    at += values.length;
  });
  return theta;
}

/** One variable a parameter, and their join. */
export function parameterVariables(model: Model): { parts: Tensor[]; joined: Tensor } {
  const parts = model.parameters.map(({ name, shape }) => variable(name, shape));
  return { parts, joined: concat(parts.map((part) => reshape(part, [part.size]))) };
}
