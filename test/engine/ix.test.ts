/** @file Symbolic index arithmetic against numbers, for every value of the variables. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { decide, flatten, Ix, unflatten } from "../../engine/graph/ix.ts";
import { sizeOf } from "../../engine/index.ts";

type Assignment = ReadonlyMap<string, number>;

/** Every value of variables `a`, `b`, … with these counts. */
function assignments(counts: readonly number[]): Assignment[] {
  return Array.from({ length: sizeOf(counts) }, (_, position) => {
    const values = new Map<string, number>();
    let rest = position;
    counts.forEach((count, i) => {
      values.set(nameOf(i), rest % count);
      rest = Math.floor(rest / count);
    });
    return values;
  });
}

const nameOf = (i: number): string => String.fromCharCode(97 + i);

/** An index beside the same arithmetic on numbers; undefined where it was divided while negative. */
interface Pair {
  readonly ix: Ix;
  readonly value: (at: Assignment) => number | undefined;
}

const map = (f: (v: number) => number, { value }: Pair): Pair["value"] => {
  return (at) => {
    const v = value(at);
    return v === undefined ? undefined : f(v);
  };
};

const guarded = (f: (v: number) => number, pair: Pair): Pair["value"] =>
  map((v) => (v < 0 ? NaN : f(v)), pair);

type Step = readonly [kind: number, amount: number];

/** One more operation on an index: what chains of layout ops do to it. */
function next(pair: Pair, [kind, amount]: Step, other: Pair): Pair {
  const { ix } = pair;
  const by = 1 + (amount % 7);
  switch (kind % 6) {
    case 0:
      return { ix: ix.over(by), value: guarded((v) => Math.floor(v / by), pair) };
    case 1:
      return { ix: ix.modulo(by), value: guarded((v) => v % by, pair) };
    case 2:
      return { ix: ix.times(by), value: map((v) => v * by, pair) };
    case 3:
      return { ix: ix.plus(amount % 9), value: map((v) => v + (amount % 9), pair) };
    case 4:
      // A flip, or a pad's way back.
      return { ix: ix.times(-1).plus(ix.max), value: map((v) => ix.max - v, pair) };
    default:
      return {
        ix: ix.plus(other.ix.times(by)),
        value: (at) => {
          const [a, b] = [pair.value(at), other.value(at)];
          return a === undefined || b === undefined ? undefined : a + b * by;
        },
      };
  }
}

const counts = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 });
const steps = fc.array(fc.tuple(fc.nat(99), fc.nat(99)), { maxLength: 8 });

/** Sizes whose product is the given one. */
function factorised(size: number, choices: readonly number[]): number[] {
  const shape: number[] = [];
  let rest = size;
  for (const choice of choices) {
    const divisors = Array.from({ length: rest }, (_, i) => i + 1).filter((d) => rest % d === 0);
    shape.push(divisors[choice % divisors.length]!);
    rest /= shape[shape.length - 1]!;
  }
  return [...shape, rest];
}

const options = { seed: 5, numRuns: 1000 };

describe("an index", () => {
  test("has the value of the same arithmetic on numbers, within its bounds", () => {
    const property = fc.property(counts, steps, (sizes, chain) => {
      const pairs = sizes.map((count, i): Pair => {
        return { ix: Ix.variable(nameOf(i), count), value: (at) => at.get(nameOf(i)) };
      });
      let pair = pairs[0]!;
      chain.forEach((step, i) => {
        pair = next(pair, step, pairs[i % pairs.length]!);
      });
      for (const at of assignments(sizes)) {
        const expected = pair.value(at);
        if (expected === undefined || Number.isNaN(expected)) continue;
        expect(pair.ix.evaluate(at)).toBe(expected);
        expect(expected).toBeGreaterThanOrEqual(pair.ix.min);
        expect(expected).toBeLessThanOrEqual(pair.ix.max);
      }
    });
    fc.assert(property, options);
  });

  test("survives nested splits of a position, in whatever order they are joined again", () => {
    const split = fc.array(fc.tuple(fc.array(fc.nat(99), { maxLength: 3 }), fc.nat(99)), {
      maxLength: 4,
    });
    const property = fc.property(counts, split, (sizes, levels) => {
      const names = sizes.map((count, i) => Ix.variable(nameOf(i), count));
      let shape: readonly number[] = sizes;
      let index: readonly Ix[] = names;
      // What the symbolic index stands for: a number for every assignment.
      let numbers = assignments(sizes).map((at) => sizes.map((_, i) => at.get(nameOf(i))!));
      for (const [choices, turn] of levels) {
        const to = factorised(sizeOf(shape), choices);
        index = unflatten(flatten(index, shape), to);
        numbers = numbers.map((n) => {
          const result: number[] = [];
          let position = n.reduce((sum, v, axis) => sum * shape[axis]! + v, 0);
          for (const size of [...to].reverse()) {
            result.unshift(position % size);
            position = Math.floor(position / size);
          }
          return result;
        });
        // A permutation: the axes rotated.
        const rotate = <T>(items: readonly T[]): T[] =>
          items.map((_, i) => items[(i + turn) % items.length]!);
        shape = rotate(to);
        index = rotate(index);
        numbers = numbers.map(rotate);
      }
      assignments(sizes).forEach((at, i) => {
        expect(index.map((ix) => ix.evaluate(at))).toEqual(numbers[i]);
      });
      index.forEach((ix, axis) => {
        expect(ix.min).toBeGreaterThanOrEqual(0);
        expect(ix.max).toBeLessThan(shape[axis]!);
      });
    });
    fc.assert(property, options);
  });

  test("that goes to another shape and back is the index it was", () => {
    const choices = fc.array(fc.nat(99), { maxLength: 3 });
    const property = fc.property(counts, choices, (sizes, chosen) => {
      const index = sizes.map((count, i) => Ix.variable(nameOf(i), count));
      const to = factorised(sizeOf(sizes), chosen);
      const there = unflatten(flatten(index, sizes), to);
      expect(flatten(there, to).key).toBe(flatten(index, sizes).key);
    });
    fc.assert(property, options);
  });
});

describe("what can be known at compile time", () => {
  const i = Ix.variable("i", 6);
  const j = Ix.variable("j", 4);

  test("a quotient of a split axis needs no division", () => {
    const position = flatten([i, j], [6, 4]);
    expect(position.over(4).key).toBe(i.key);
    expect(position.modulo(4).key).toBe(j.key);
    expect(position.over(24).key).toBe(Ix.constant(0).key);
  });

  test("a quotient and a remainder join again", () => {
    const halves = i.over(2).times(2).plus(i.modulo(2));
    expect(halves.key).toBe(i.key);
    expect(i.over(2).times(6).plus(i.modulo(2).times(3)).key).toBe(i.times(3).key);
  });

  test("nested splits cancel level by level", () => {
    const position = flatten([i, j], [6, 4]);
    expect(position.over(8).key).toBe(i.over(2).key);
    expect(position.modulo(8).over(4).key).toBe(i.modulo(2).key);
  });

  test("a condition is decided by the bounds where they suffice", () => {
    expect(decide({ ix: i, lower: 0, upper: 6 })).toBe(true);
    expect(decide({ ix: i.plus(6), lower: 0, upper: 6 })).toBe(false);
    expect(decide({ ix: i.plus(-6), lower: 0, upper: 6 })).toBe(false);
    expect(decide({ ix: i, lower: 1, upper: 6 })).toMatchObject({ lower: 1, upper: 6 });
  });

  test("equal indices have equal keys in whatever order they were added", () => {
    expect(i.plus(j).plus(3).key).toBe(j.plus(3).plus(i).key);
    expect(i.plus(j).plus(j.times(-1)).key).toBe(i.key);
  });

  test("an axis of size 1 has the index 0", () => {
    expect(Ix.variable("k", 1).isConstant).toBe(true);
  });
});
