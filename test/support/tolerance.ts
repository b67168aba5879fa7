/** @file How far f32 kernels may be from the float64 interpreter. */

import { expect } from "vitest";

import { topological, type Tensor } from "../../engine/index.ts";
import type { Target } from "../../engine/graph/tensor.ts";

/** Half the distance from 1 to the next f32: what one rounding may cost, relatively. */
const ROUNDING = 2 ** -24;

/** |actual − expected| ≤ c · 2⁻²⁴ · √terms · scale + absolute. */
export interface Tolerance {
  /** At most 8. */
  readonly c?: number;
  /** Roundings on the way to one element. */
  readonly terms?: number;
  /** Magnitude of what is added up; by default the largest expected element. */
  readonly scale?: number;
  /** What WGSL lets a built-in be off, whatever its value. */
  readonly absolute?: number;
}

const ANY: Target = {
  subgroupSize: 0,
  software: true,
  f16: false,
  maxWorkgroupSize: 256,
  maxBuffers: 8,
};

/** Operations on one element of `t`, given its inputs. */
export function ownTerms(t: Tensor): number {
  switch (t.op.form) {
    case "source":
    case "layout":
    case "update":
      return 0;
    case "elementwise":
      return 1;
    case "reduce":
      return t.inputs[0]!.size / t.size;
    case "kernel":
      return Math.max(
        1,
        t.op.kernels(
          t.inputs,
          t,
          ANY,
          t.inputs.map(() => 0),
        )[0].flops /
          (2 * t.size),
      );
  }
}

/** Roundings on the longest way from a leaf to each of `outputs`. */
export function termsOf(outputs: readonly Tensor[]): number[] {
  const terms = new Map<Tensor, number>();
  for (const t of topological(outputs))
    terms.set(t, ownTerms(t) + Math.max(0, ...t.inputs.map((x) => terms.get(x)!)));
  return outputs.map((t) => Math.max(1, terms.get(t)!));
}

/** The largest magnitude. */
export const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, v) => Math.max(most, Math.abs(v)), 0);

/** Largest distance between two elements; infinite where one alone is no number. */
export function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  return Array.from(actual).reduce((most, a, i) => {
    const apart = Object.is(a, expected[i]) ? 0 : Math.abs(a - expected[i]!);
    return Math.max(most, Number.isNaN(apart) ? Infinity : apart);
  }, 0);
}

/** Expects f32 values to be as near to the float64 ones as the formula allows. */
export function expectNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { c = 8, terms = 1, scale = largest(expected), absolute = 0 }: Tolerance,
  what: string,
): void {
  expect(c, "c").toBeLessThanOrEqual(8);
  const allowed = c * ROUNDING * Math.sqrt(terms) * scale + absolute;
  expect(distance(actual, expected), `${what}, scale ${scale}`).toBeLessThanOrEqual(allowed);
}
