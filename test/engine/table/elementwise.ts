/** @file Rows of the elementwise ops and of the leaves. */

import * as e from "../../../engine/index.ts";
import type { Shape, Tensor } from "../../../engine/index.ts";
import {
  awayFromZero,
  bits,
  constant,
  indices,
  input,
  normal,
  over,
  quarters,
  uniform,
  type Draw,
  type Row,
} from "./row.ts";

/** A workgroup of an elementwise kernel has 64 invocations. */
const SIZES: readonly Shape[] = [[], [1], [2], [63], [64], [65], [3, 50]];

type Unary = (x: Tensor) => Tensor;
type Binary = (a: Tensor, b: Tensor) => Tensor;

const unary = (f: Unary, draw: Draw = normal, row: Omit<Row, "cases"> = {}): Row => ({
  cases: over(SIZES, (shape) => ({ inputs: [input(shape, draw)], build: (x) => f(x) })),
  ...row,
});

/** Every size, and every way to broadcast. */
const binary = (f: Binary, a: Draw, b: Draw, row: Omit<Row, "cases"> = {}): Row => {
  const of = (left: Shape, right: Shape) => ({
    inputs: [input(left, a), input(right, b)],
    build: (x?: Tensor, y?: Tensor) => f(x!, y!),
  });
  return {
    cases: [
      ...over(SIZES, (shape) => of(shape, shape)),
      { label: "[3, 4] and []", ...of([3, 4], []) },
      { label: "[4] and [3, 4]", ...of([4], [3, 4]) },
      { label: "[3, 1] and [1, 4]", ...of([3, 1], [1, 4]) },
      { label: "[2, 1, 5] and [3, 1]", ...of([2, 1, 5], [3, 1]) },
    ],
    ...row,
  };
};

const none = { derivative: "none" } as const;
const linear = { derivative: "multilinear" } as const;

const source = (label: string, build: () => Tensor): Row => ({
  cases: [{ label, inputs: [], build }],
  ...none,
});

export const elementwise: Readonly<Record<string, Row>> = {
  neg: unary(e.neg, normal, linear),
  exp: unary(e.exp),
  log: unary(e.log, uniform(0.3, 4)),
  sqrt: unary(e.sqrt, uniform(0.3, 4)),
  abs: unary(e.abs, awayFromZero),
  sign: unary(e.sign, quarters(), none),
  floor: unary(e.floor, quarters(), none),
  // In [−π, π], as WGSL has it; SwiftShader is off by 2⁻¹².
  sin: unary(e.sin, uniform(-3, 3), { absolute: 2 ** -11 }),
  cos: unary(e.cos, uniform(-3, 3), { absolute: 2 ** -11 }),
  tanh: unary(e.tanh),
  sigmoid: unary(e.sigmoid),
  square: unary(e.square),
  relu: unary(e.relu, awayFromZero),
  leakyRelu: unary((x) => e.leakyRelu(x, 0.2), awayFromZero),
  stopGradient: unary(e.stopGradient, normal, none),
  add: binary(e.add, normal, normal, linear),
  sub: binary(e.sub, normal, normal, linear),
  mul: binary(e.mul, normal, normal, linear),
  div: binary(e.div, normal, awayFromZero),
  // Drivers compute it as 2 to the power b · log₂ a, whose roundings the power multiplies.
  pow: binary(e.pow, uniform(0.3, 3), uniform(-2, 3), { c: 8 }),
  maximum: binary(e.maximum, quarters(), quarters(0.125)),
  minimum: binary(e.minimum, quarters(), quarters(0.125)),
  greater: binary(e.greater, quarters(), quarters(), none),
  greaterEqual: binary(e.greaterEqual, quarters(), quarters(), none),
  equal: binary(e.equal, quarters(), quarters(), none),
  where: {
    cases: over(SIZES, (shape) => ({
      inputs: [constant(shape, bits), input(shape), input([])],
      build: (c, a, b) => e.where(c, a, b),
    })),
    ...linear,
  },
  toFloat: {
    cases: over(SIZES, (shape) => ({
      inputs: [constant(shape, indices(1000))],
      build: (x) => e.toFloat(x),
    })),
    ...none,
  },
  addIndex: {
    cases: over(SIZES, (shape) => ({
      inputs: [constant(shape, indices(1000)), constant(shape, indices(1000))],
      build: (a, b) => e.toFloat(e.addIndex(e.addIndex(a, b), 3)),
    })),
    ...none,
  },
  subIndex: {
    cases: over(SIZES, (shape) => ({
      inputs: [constant(shape, indices(1000)), constant(shape, indices(1000))],
      build: (a, b) => e.toFloat(e.subIndex(e.addIndex(a, 1000), b)),
    })),
    ...none,
  },
  full: source("[2, 3] of −1.25", () => e.full([2, 3], -1.25)),
  iota: source("65 numbers", () => e.toFloat(e.iota(65))),
};
