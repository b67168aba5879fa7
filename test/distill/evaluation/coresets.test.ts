/** @file Herding and k-center choose what their definitions say. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { herding, kCenter, type Features } from "../../../distill/evaluation/coresets.ts";

const line = (...values: number[]): Features => ({ values: Float32Array.from(values), size: 1 });

describe("herding", () => {
  it("keeps the mean of the chosen near the mean of all", () => {
    // Mean 3: first 3 itself; then two whose sum is nearest to 6 with it, and so on.
    expect([...herding(line(0, 1, 3, 5, 6), 3)]).toEqual([2, 1, 3]);
  });

  it("takes at every step the row with the least distance of means, found by trying all", () => {
    const rows = fc.array(
      fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 })),
      {
        minLength: 3,
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(rows, (points) => {
        const chosen = herding({ values: Float32Array.from(points.flat()), size: 2 }, 3);
        expect(new Set(chosen).size).toBe(3);
        const mean = [0, 1].map((d) => points.reduce((s, p) => s + p[d]!, 0) / points.length);
        const gap = (some: number[]) =>
          [0, 1].reduce((s, d) => {
            const own = some.reduce((t, i) => t + points[i]![d]!, 0) / some.length;
            return s + (own - mean[d]!) ** 2;
          }, 0);
        for (let k = 0; k < 3; k++) {
          const before = [...chosen.slice(0, k)];
          const got = gap([...before, chosen[k]!]);
          const all = points.map((_, i) => (before.includes(i) ? Infinity : gap([...before, i])));
          expect(got).toBeCloseTo(Math.min(...all), 9);
        }
      }),
    );
  });
});

describe("k-center", () => {
  it("begins in the middle and goes where nothing chosen is near", () => {
    expect([...kCenter(line(0, 1, 4, 5, 11), 4)]).toEqual([2, 4, 0, 1]);
  });

  it("measures distances in all dimensions", () => {
    const values = Float32Array.of(0, 0, 0, 3, 4, 0, 1, 1);
    // Mean (1.25, 1): (1, 1) first, then (4, 0) at √10, then (0, 3) at √5.
    expect([...kCenter({ values, size: 2 }, 3)]).toEqual([3, 2, 1]);
  });
});

it("refuses more rows than there are", () => {
  for (const choose of [herding, kCenter]) {
    expect(() => choose(line(1, 2), 3)).toThrow("count must be an integer in 1..2, got 3");
    expect(() => choose(line(1, 2), 0)).toThrow(RangeError);
  }
});
