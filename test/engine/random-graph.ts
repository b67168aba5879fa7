/**
 * @file Random programs whose every value is exact in f32: whole numbers, and quarters where pools and
 * their derivatives make them. Any order of summation gives the same bits, so results can be compared
 * without a tolerance, ties and kinks included.
 */

import fc from "fast-check";

import * as e from "../../engine/index.ts";
import { Random, sizeOf, topological, variable } from "../../engine/index.ts";
import { ownTerms } from "../support/tolerance.ts";
import type { HostData, Procedure, Shape, Tensor, Values } from "../../engine/index.ts";

/** A program, and values for its variables. */
export interface RandomProgram {
  readonly procedure: Procedure;
  readonly values: Readonly<Record<string, HostData>>;
}

/** Whole numbers that decide everything, one list an operation. */
export interface Recipe {
  readonly shapes: readonly (readonly number[])[];
  readonly steps: readonly (readonly number[])[];
  readonly outputs: readonly (readonly number[])[];
  readonly seed: number;
}

/** Without the preference for small numbers that fast-check has. */
const numbers = (length: number) =>
  fc.noBias(fc.array(fc.nat(0xffff), { minLength: length, maxLength: length }));

/** Sizes around 9, the longest fold that is written out, and around 32, from which rows are not shared. */
const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 5 }) },
  { weight: 1, arbitrary: fc.constantFrom(8, 9, 10, 16, 31, 32, 33, 65) },
);

export const recipes: fc.Arbitrary<Recipe> = fc.record({
  shapes: fc.array(fc.array(size, { maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  steps: fc.array(numbers(8), { minLength: 1, maxLength: 40, size: "max" }),
  outputs: fc.array(numbers(4), { minLength: 1, maxLength: 4 }),
  seed: fc.nat(0xffff),
});

/** Magnitude that every tensor of the pool keeps to. */
const BOUND = 64;
const LARGEST = 1500;

/** Numbers of a step, taken one after the other. */
class Choices {
  private at = 0;
  private readonly numbers: readonly number[];

  constructor(given: readonly number[]) {
    this.numbers = given;
  }

  below(count: number): number {
    const n = this.numbers[this.at++ % this.numbers.length]! + 7 * this.at;
    return n % count;
  }

  flag(): boolean {
    return this.below(2) === 1;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

type Step = (c: Choices) => Tensor;

const unaries = [
  e.neg,
  e.abs,
  e.sign,
  e.relu,
  e.square,
  e.stopGradient,
  e.stored,
  (x: Tensor) => e.floor(e.mul(x, 0.5)),
  (x: Tensor) => e.leakyRelu(x, 2),
  (x: Tensor) => e.add(e.mul(x, 3), -1),
  (x: Tensor) => e.mul(x, 1),
  (x: Tensor) => e.sub(0, x),
];

const binaries = [
  e.add,
  e.sub,
  e.mul,
  e.maximum,
  e.minimum,
  e.greater,
  e.greaterEqual,
  e.equal,
  e.add,
  e.mul,
];

/** The elements of x, repeated or cut, or every second of them, under another shape. */
export function fit(x: Tensor, shape: Shape, from = 0): Tensor {
  const count = sizeOf(shape);
  const times = Math.ceil(count / x.size);
  const flat = e.reshape(x, [x.size]);
  const repeated = times === 1 ? flat : e.reshape(e.broadcastTo(flat, [times, x.size]), [-1]);
  const step = from % 2 === 1 && repeated.size >= 2 * count ? 2 : 1;
  const start = from % (repeated.size - step * (count - 1));
  return e.reshape(e.slice(repeated, [start], [count], [step]), shape);
}

class Builder {
  readonly pool: Tensor[];
  readonly floats: readonly Tensor[];
  /** u32 `[5]` and `[]`, with values below 2. */
  private readonly indices = variable("indices", [5], "u32");
  readonly row = variable("row", [], "u32");

  constructor(shapes: readonly Shape[]) {
    this.floats = shapes.map((shape, i) => variable(`v${i}`, shape));
    this.pool = [...this.floats];
  }

  /** One of the last tensors, mostly. */
  pick(c: Choices): Tensor {
    return this.pool[this.pool.length - 1 - c.below(Math.min(this.pool.length, 8))]!;
  }

  /** Adds a result, made small in size and value. */
  add(t: Tensor, c: Choices): void {
    let x = t.size > LARGEST ? fit(t, [c.of([3, 12, 40]), 1 + c.below(20)]) : t;
    if (x.rank > 5) x = e.reshape(x, [x.shape[0]!, -1]);
    const far = e.greater(e.abs(x), BOUND);
    const bounded = c.flag() ? e.minimum(e.maximum(x, -BOUND), BOUND) : e.where(far, e.sign(x), x);
    this.pool.push(c.below(3) === 0 ? e.stored(bounded) : bounded);
  }

  /** u32 `[count]` with values below `rows`. */
  private index(count: number, rows: number, c: Choices): Tensor {
    if (count + 1 < rows && c.flag()) return e.addIndex(e.iota(count), 1);
    if (rows === 1) return e.subIndex(e.iota(count), e.iota(count));
    return fit(this.indices, [count], c.below(5));
  }

  private readonly steps: readonly Step[] = [
    (c) => c.of(unaries)(this.pick(c)),
    (c) => c.of(unaries)(this.pick(c)),
    (c) => c.of(unaries)(this.pick(c)),
    (c) => this.binary(c),
    (c) => this.binary(c),
    (c) => {
      const [a, b] = [this.pick(c), this.pick(c)];
      return e.where(e.greater(fit(b, a.shape), c.below(3)), a, fit(this.pick(c), a.shape));
    },
    (c) => this.reshape(c),
    (c) => this.permute(c),
    (c) => this.spread(c),
    (c) => this.slice(c),
    (c) => this.pad(c),
    (c) => {
      const x = this.pick(c);
      return e.flip(x, this.axes(x, c));
    },
    (c) => this.concat(c),
    (c) => this.fold(c),
    (c) => this.fold(c),
    (c) => this.gather(c),
    (c) => this.scatter(c),
    (c) => this.setRow(c),
    (c) => this.addRows(c),
    (c) => this.matmul(c),
    (c) => this.convolution(c),
    (c) => this.pool2d(c),
    (c) => e.oneHot(this.index(1 + c.below(6), 3, c), 3),
    (c) => e.toFloat(e.addIndex(e.iota(1 + c.below(40)), c.below(9))),
  ];

  step(given: readonly number[]): void {
    const c = new Choices(given);
    this.add(c.of(this.steps)(c), c);
  }

  private axes(x: Tensor, c: Choices): number[] {
    const chosen = x.shape.flatMap((_, axis) => (c.flag() ? [axis] : []));
    return chosen.length === 0 && x.rank > 0 ? [c.below(x.rank)] : chosen;
  }

  private binary(c: Choices): Tensor {
    const [f, a, b] = [c.of(binaries), this.pick(c), this.pick(c)];
    // Some axes of b are 1, so that it broadcasts.
    const shape = a.shape.map((n) => (c.below(3) === 0 ? 1 : n)).slice(c.below(a.rank + 1));
    const other = fit(b, shape, c.below(7));
    return c.flag() ? f(a, other) : f(other, a);
  }

  private reshape(c: Choices): Tensor {
    const x = this.pick(c);
    const sizes: number[] = [];
    let rest = x.size;
    while (rest > 1 && sizes.length < 3) {
      const divisors = Array.from({ length: rest }, (_, i) => i + 1).filter((d) => rest % d === 0);
      const n = c.of(divisors);
      sizes.push(n);
      rest /= n;
    }
    return e.reshape(x, [...sizes, rest]);
  }

  private permute(c: Choices): Tensor {
    const x = this.pick(c);
    return e.permute(x, [...new Random(c.below(1000)).permutation(x.rank)]);
  }

  private spread(c: Choices): Tensor {
    const x = this.pick(c);
    const shape = x.shape.map((n) => (n === 1 ? 1 + c.below(4) : n));
    return e.broadcastTo(x, c.flag() ? [1 + c.below(3), ...shape] : shape);
  }

  private slice(c: Choices): Tensor {
    const x = this.pick(c);
    const step = x.shape.map(() => 1 + c.below(3));
    const start = x.shape.map((n) => c.below(n));
    const count = x.shape.map((n, i) => 1 + c.below(Math.ceil((n - start[i]!) / step[i]!)));
    return e.slice(x, start, count, step);
  }

  private pad(c: Choices): Tensor {
    const x = this.pick(c);
    const counts = () => x.shape.map(() => (c.flag() ? c.below(3) : 0));
    return e.pad(x, { before: counts(), after: counts(), between: counts() });
  }

  private concat(c: Choices): Tensor {
    const x = this.pick(c);
    if (x.rank === 0) return e.concat([e.reshape(x, [1]), e.reshape(this.pick(c), [-1])]);
    const axis = c.below(x.rank);
    const shape = x.shape.map((n, i) => (i === axis ? 1 + c.below(3) : n));
    const parts = [x, fit(this.pick(c), shape), ...(c.flag() ? [x] : [])];
    return e.concat(c.flag() ? parts : parts.reverse(), axis);
  }

  private fold(c: Choices): Tensor {
    const x = this.pick(c);
    const f = c.below(3) === 0 ? e.max : e.sum;
    return f(x, c.below(4) === 0 ? undefined : this.axes(x, c), c.flag());
  }

  private gather(c: Choices): Tensor {
    const x = this.pick(c);
    const rows = x.rank === 0 ? e.reshape(x, [1]) : x;
    if (rows.shape[0]! > 1 && c.flag()) return e.gather(rows, this.row);
    return e.gather(rows, this.index(1 + c.below(6), rows.shape[0]!, c));
  }

  private scatter(c: Choices): Tensor {
    const x = this.pick(c);
    const g = x.rank === 0 ? e.reshape(x, [1]) : x;
    const rows = 1 + c.below(5);
    return e.scatterAdd(g, this.index(g.shape[0]!, rows, c), rows);
  }

  private setRow(c: Choices): Tensor {
    const picked = c.flag() ? this.pick(c) : c.of(this.floats);
    const x = (picked.shape[0] ?? 1) > 1 ? picked : fit(picked, [2, 3]);
    return e.setRow(x, this.row, fit(this.pick(c), x.shape.slice(1), c.below(9)));
  }

  private addRows(c: Choices): Tensor {
    const picked = c.flag() ? this.pick(c) : c.of(this.floats);
    const x = picked.rank === 0 ? fit(picked, [2, 3]) : picked;
    const count = 1 + c.below(5);
    const g = fit(this.pick(c), [count, ...x.shape.slice(1)], c.below(9));
    return e.addRows(x, this.index(count, x.shape[0]!, c), g);
  }

  private matmul(c: Choices): Tensor {
    const [m, k, n] = [c.of([1, 3, 33]), c.of([1, 4, 10]), c.of([1, 5, 33])];
    const [transposeA, transposeB] = [c.flag(), c.flag()];
    const a = fit(this.pick(c), transposeA ? [k, m] : [m, k], c.below(5));
    const b = fit(this.pick(c), transposeB ? [n, k] : [k, n], c.below(5));
    return e.matmul(a, b, { transposeA, transposeB });
  }

  private convolution(c: Choices): Tensor {
    const [x, k, y, options] = c.of([
      [[2, 2, 5, 4], [3, 2, 3, 3], [2, 3, 5, 4], { padding: 1 }],
      [[1, 3, 6, 5], [2, 3, 2, 2], [1, 2, 3, 2], { stride: 2 }],
    ] as const);
    const [a, b] = [this.pick(c), this.pick(c)];
    switch (c.below(3)) {
      case 0:
        return e.conv2d(fit(a, x, c.below(3)), fit(b, k), options);
      case 1:
        return e.convInput(fit(a, y), fit(b, k, c.below(3)), x.slice(2), options);
      default:
        return e.convKernel(fit(a, x), fit(b, y), k.slice(2), options);
    }
  }

  private pool2d(c: Choices): Tensor {
    const x = fit(
      this.pick(c),
      c.of([
        [2, 2, 4, 6],
        [1, 3, 5, 5],
      ]),
    );
    const options = c.of([{ size: 2 }, { size: 2, stride: 1, padding: 1 }]);
    return c.flag() ? e.maxPool(x, options) : e.mul(e.avgPool(x, options), 4);
  }
}

/** A new value for a variable that is mostly the old one. */
function assigned(target: Tensor, t: Tensor, { floats, row }: Builder, c: Choices): Tensor {
  const shape = e.showShape(target.shape);
  switch (c.below(3)) {
    case 0:
      return c.of(floats.filter((v) => e.showShape(v.shape) === shape));
    case 1:
      if (target.rank > 0 && c.flag())
        return e.addRows(target, e.full([2], 0, "u32"), fit(t, [2, ...target.shape.slice(1)], 1));
      if ((target.shape[0] ?? 1) > 1)
        return e.setRow(target, row, fit(t, target.shape.slice(1), c.below(5)));
      return e.sub(target, 1);
    default:
      return e.minimum(e.add(target, 1), BOUND);
  }
}

/** The program of a recipe; some outputs are gradients, some are assigned to variables. */
export function buildProgram({ shapes, steps, outputs, seed }: Recipe): RandomProgram {
  const builder = new Builder(shapes.map((s) => (sizeOf(s) > LARGEST ? s.slice(0, 2) : s)));
  for (const step of steps) builder.step(step);
  const procedure: Record<string, Tensor> = {};
  outputs.forEach((given, i) => {
    const c = new Choices(given);
    const t = builder.pick(c);
    const target = c.of(builder.floats);
    switch (c.below(4)) {
      case 0:
        procedure[`out${i}`] = t;
        break;
      case 1:
        procedure[target.params["name"] as string] = fit(t, target.shape);
        break;
      case 2:
        procedure[target.params["name"] as string] = assigned(target, t, builder, c);
        break;
      default: {
        const [gradient] = e.grad(e.sum(e.mul(t, e.add(t, 1))), [target], { unused: "zero" });
        procedure[`out${i}`] = gradient!;
        procedure[`second${i}`] = e.grad(e.sum(e.mul(gradient!, target)), [target], {
          unused: "zero",
        })[0]!;
      }
    }
  });
  const random = new Random(seed);
  const values: Record<string, HostData> = {};
  for (const t of topological([...Object.values(procedure), ...builder.floats]))
    if (t.op.name === "variable")
      values[t.params["name"] as string] =
        t.dtype === "u32"
          ? Uint32Array.from({ length: t.size }, () => random.below(2))
          : Float32Array.from({ length: t.size }, () => random.below(11) - 5);
  return { procedure, values };
}

/** Whether every value, and every partial sum in whatever order, is exact in f32. */
export function isExact(outputs: readonly Tensor[], values: Values): boolean {
  const all = topological(outputs);
  const results = e.interpret(all, values);
  // What max pools put around images wins nowhere.
  const counts = (v: number) => Math.abs(v) < 1e38;
  const largest = (x: Float64Array) =>
    x.reduce((most, v) => (counts(v) ? Math.max(most, Math.abs(v)) : most), 0);
  const most = new Map(all.map((t, i) => [t, largest(results[i]!)]));
  return all.every((t, i) => {
    if (results[i]!.some((v) => counts(v) && !Number.isInteger(v * 16))) return false;
    const adds = t.op.form === "reduce" || t.op.form === "kernel";
    const terms =
      t.op.name === "scatterAdd" || t.op.name === "addRows" ? t.inputs[1]!.size : ownTerms(t);
    const sum = t.inputs.reduce(
      (product, x) => product * (x.dtype === "f32" ? most.get(x)! : 1),
      terms,
    );
    return (adds ? sum : most.get(t)!) <= 2 ** 19;
  });
}
