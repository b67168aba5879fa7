/** @file Derivatives against differences, in float64 by the interpreter. */

import { expect } from "vitest";

import {
  add,
  interpret,
  mul,
  Random,
  sum,
  variable,
  vjp,
  type Tensor,
  type Values,
} from "../../engine/index.ts";

/** A tensor, the variables it is a smooth function of, and where. */
export interface Point {
  readonly output: Tensor;
  readonly inputs: readonly Tensor[];
  /** Values of all variables, those of `inputs` included. */
  readonly values: Values;
}

export interface GradcheckOptions {
  /** Linear in each input alone: differences with a step of 1 are exact then. */
  readonly multilinear?: boolean;
  readonly seed?: number;
}

/** Fourth-order central differences: exact for polynomials up to the fourth degree. */
const STENCIL = [
  [-2, 1 / 12],
  [-1, -2 / 3],
  [1, 2 / 3],
  [2, -1 / 12],
] as const;

/** Powers of two, so that x ± k·step is exact. The fourth power of the first is 2⁻⁴⁰. */
const STEP = 2 ** -10;
const EXACT_STEP = 1;

const nameOf = (x: Tensor): string => x.params["name"] as string;

const draw = (x: Tensor, random: Random): Float64Array =>
  Float64Array.from({ length: x.size }, () => random.normal());

/** A derivative that is zero is compared with this part of Σ |g · y| instead: all that is left is rounding. */
const FLOOR = 1e-3;

/**
 * |⟨g, dy⟩ − ⟨vjp(g), dx⟩| for a random direction dx and a random cotangent g, relative to the sum of
 * the products' magnitudes; dy is the central difference of the output along dx.
 */
export function derivativeError(
  { output, inputs, values }: Point,
  { multilinear = false, seed = 1 }: GradcheckOptions = {},
): number {
  const random = new Random(seed);
  const step = multilinear ? EXACT_STEP : STEP;
  const directions = inputs.map((x) => draw(x, random));
  const g = draw(output, random);

  const dy = new Float64Array(output.size);
  for (const [k, weight] of STENCIL) {
    const moved = { ...values };
    inputs.forEach((x, i) => {
      const at = values[nameOf(x)]!;
      moved[nameOf(x)] = directions[i]!.map((d, j) => at[j]! + k * step * d);
    });
    interpret([output], moved)[0]!.forEach((y, j) => (dy[j]! += (weight * y) / step));
  }

  const cotangent = variable("gradcheck.g", output.shape);
  const pulled = interpret(vjp(output, inputs, cotangent, { unused: "zero" }), {
    ...values,
    [nameOf(cotangent)]: g,
  });
  const y = interpret([output], values)[0]!;
  let difference = 0;
  let magnitude = FLOOR * g.reduce((total, v, j) => total + Math.abs(v * y[j]!), 0);
  const count = (product: number, sign: number): void => {
    difference += sign * product;
    magnitude += Math.abs(product);
  };
  g.forEach((v, j) => count(v * dy[j]!, 1));
  pulled.forEach((p, i) => p.forEach((v, j) => count(v * directions[i]![j]!, -1)));
  return magnitude === 0 ? 0 : Math.abs(difference) / magnitude;
}

/**
 * The first derivative as a point of its own: s = Σ ⟨vjp(g), u⟩, a function of the inputs and of g. Another
 * seed gives other variables, so that this can be repeated.
 */
export function derivativePoint({ output, inputs, values }: Point, seed = 2): Point {
  const random = new Random(seed);
  const g = variable(`g${seed}`, output.shape);
  const extended = { ...values, [nameOf(g)]: draw(g, random) };
  const parts = vjp(output, inputs, g, { unused: "zero" }).map((part, i) => {
    const u = variable(`u${seed}.${i}`, part.shape);
    extended[nameOf(u)] = draw(u, random);
    return sum(mul(part, u));
  });
  return {
    output: parts.reduce((a, b) => add(a, b)),
    inputs: [...inputs, g],
    values: extended,
  };
}

/** Expects the rules of `point` to be right to second order. */
export function expectDerivatives(point: Point, options: GradcheckOptions = {}): void {
  const bound = options.multilinear ? 1e-12 : 1e-7;
  expect(derivativeError(point, options), "first derivative").toBeLessThan(bound);
  const second = derivativeError(derivativePoint(point), options);
  expect(second, "second derivative").toBeLessThan(bound);
}
