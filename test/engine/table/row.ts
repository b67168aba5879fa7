/** @file A row of the op table: sampled inputs and the graphs that are built from them. */

import {
  Random,
  sizeOf,
  variable,
  type HostData,
  type Shape,
  type Tensor,
} from "../../../engine/index.ts";

/** Values for a variable of a shape. */
export type Draw = (random: Random, shape: Shape) => HostData;

/** A variable of a case. */
export interface Input {
  readonly shape: Shape;
  readonly draw: Draw;
  /** An argument without a derivative: a u32 index, or a condition. */
  readonly constant?: boolean;
}

export interface Case {
  readonly label: string;
  readonly inputs: readonly Input[];
  readonly build: (...x: Tensor[]) => Tensor;
  /** Left out on the adapter, where a case of the same kernels costs seconds to compile. */
  readonly interpreterOnly?: boolean;
}

export interface Row {
  readonly cases: readonly Case[];
  /** `multilinear`: linear in each input alone. `none`: every input is constant to derivatives. */
  readonly derivative?: "smooth" | "multilinear" | "none";
  /** Factor of the tolerance on the adapter; 4 if not stated. */
  readonly c?: number;
  /** What WGSL lets the built-in be off at the sampled inputs, whatever its value; 0 if not stated. */
  readonly absolute?: number;
}

/** A case with variables and values, ready to be computed. */
export interface Built {
  readonly output: Tensor;
  /** Variables with a derivative. */
  readonly inputs: readonly Tensor[];
  readonly values: Record<string, HostData>;
}

/** The graph of a case, and the same values for it every time. */
export function build({ label, inputs, build: graph }: Case): Built {
  const random = new Random(7).stream(label);
  const values: Record<string, HostData> = {};
  const variables = inputs.map(({ shape, draw }, i) => {
    const data = draw(random, shape);
    values[`x${i}`] = data;
    return variable(`x${i}`, shape, data instanceof Uint32Array ? "u32" : "f32");
  });
  const differentiable = variables.filter((_, i) => inputs[i]!.constant !== true);
  return { output: graph(...variables), inputs: differentiable, values };
}

const each = (shape: Shape, value: (i: number) => number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: sizeOf(shape) }, (_, i) => value(i));

/** Standard normal. */
export const normal: Draw = (random, shape) => each(shape, () => random.normal());

/** Uniform in [lo, hi). */
export const uniform =
  (lo: number, hi: number): Draw =>
  (random, shape) =>
    each(shape, () => lo + (hi - lo) * random.uniform());

/** Of either sign and at least 0.2 from 0. */
export const awayFromZero: Draw = (random, shape) =>
  each(shape, () => (random.below(2) * 2 - 1) * (0.2 + random.uniform()));

/** Distinct, at least 1/8 apart, in random order around `centre`. */
export const distinct =
  (centre = 0): Draw =>
  (random, shape) => {
    const order = random.permutation(sizeOf(shape));
    return each(shape, (i) => centre + (order[i]! - order.length / 2) / 8);
  };

/** Whole multiples of 1/4 in [−2, 2), moved by `offset`: samples of different offsets never meet. */
export const quarters =
  (offset = 0): Draw =>
  (random, shape) =>
    each(shape, () => (random.below(16) - 8) / 4 + offset);

/** Zeros and ones. */
export const bits: Draw = (random, shape) => each(shape, () => random.below(2));

/** Indices below `count`. */
export const indices =
  (count: number): Draw =>
  (random, shape) =>
    Uint32Array.from({ length: sizeOf(shape) }, () => random.below(count));

/** An input of a shape with these values. */
export const input = (shape: Shape, draw: Draw = normal): Input => ({ shape, draw });

/** The same without a derivative. */
export const constant = (shape: Shape, draw: Draw): Input => ({ shape, draw, constant: true });

/** One case a shape, named by it. */
export const over = (
  shapes: readonly Shape[],
  of: (shape: Shape) => Omit<Case, "label">,
): readonly Case[] => shapes.map((shape) => ({ label: `[${shape.join(", ")}]`, ...of(shape) }));
