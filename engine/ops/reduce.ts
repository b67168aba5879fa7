/** @file Folds over axes: sums and maxima, each the partner of a broadcast. */
import { normaliseAxes, type Shape } from "../graph/shape.ts";
import { apply, requireFloat, type ReduceOp, type Tensor } from "../graph/tensor.ts";
import { div, equal, mul } from "./elementwise.ts";
import { broadcastTo, reshape } from "./layout.ts";
import { constantValue, full, isFloat } from "./source.ts";

/** `shape` with the reduced axes kept as size 1, or dropped. */
function reduced(shape: Shape, axes: readonly number[], keep: boolean): Shape {
  return keep
    ? shape.map((n, axis) => (axes.includes(axis) ? 1 : n))
    : shape.filter((_, axis) => !axes.includes(axis));
}

/** `y`, a fold of `x` over `axes`, repeated along them again. */
function spread(y: Tensor, x: Tensor, axes: readonly number[]): Tensor {
  return broadcastTo(reshape(y, reduced(x.shape, axes, true)), x.shape);
}

/**
 * A fold over separate groups of axes as two folds, the last axes first: those run along memory,
 * where a kernel can keep them beside other work on the same rows.
 */
function inTwo(x: Tensor, axes: readonly number[], again: typeof sum): Tensor | undefined {
  const rank = x.rank;
  let first = rank;
  while (first > 0 && (axes.includes(first - 1) || x.shape[first - 1] === 1)) first--;
  const last = axes.filter((axis) => axis >= first);
  const lead = axes.filter((axis) => axis < first && x.shape[axis] !== 1);
  if (last.length === 0 || lead.length === 0) return undefined;
  return again(
    again(x, last),
    axes.filter((axis) => axis < first),
  );
}

const sumOp: ReduceOp = {
  form: "reduce",
  name: "sum",
  initial: 0,
  subgroup: "subgroupAdd",
  shape: ([x], { axes }) => reduced(x!.shape, axes, false),
  cpu: (a, b) => a + b,
  wgsl: (a, b) => `(${a} + ${b})`,
  vjp: (g, [x], _, { axes }) => [spread(g, x!, axes)],
  simplify([x], { axes }, y) {
    const count = x!.size / y.size;
    if (count === 1) return reshape(x!, y.shape);
    const value = constantValue(x!);
    if (value !== undefined && isFloat(value * count)) return full(y.shape, value * count);
    return inTwo(x!, axes, sum);
  },
};

const maxOp: ReduceOp = {
  form: "reduce",
  name: "max",
  initial: -3.4028234663852886e38,
  subgroup: "subgroupMax",
  shape: ([x], { axes }) => reduced(x!.shape, axes, false),
  cpu: Math.max,
  wgsl: (a, b) => `max(${a}, ${b})`,
  vjp(g, [x], y, { axes }) {
    const mask = equal(x!, spread(y, x!, axes));
    return [mul(spread(div(g, sum(mask, axes)), x!, axes), mask)];
  },
  simplify: ([x], { axes }, y) =>
    x!.size === y.size ? reshape(x!, y.shape) : inTwo(x!, axes, max),
};

function fold(op: ReduceOp, x: Tensor, axes: readonly number[] | undefined, keep: boolean): Tensor {
  const all = axes ?? x.shape.map((_, axis) => axis);
  const over = normaliseAxes(op.name, all, x.rank);
  requireFloat(op.name, [x]);
  const y = over.length === 0 ? x : apply(op, [x], { axes: over });
  return keep ? reshape(y, reduced(x.shape, over, true)) : y;
}

/**
 * Σ over `axes` (all when absent); `keep` leaves them as size 1.
 * @throws ShapeError when an axis is out of range or named twice.
 */
export function sum(x: Tensor, axes?: readonly number[], keep = false): Tensor {
  return fold(sumOp, x, axes, keep);
}

/**
 * Largest element over `axes` (all when absent); equal maxima share the derivative.
 * @throws ShapeError when an axis is out of range or named twice.
 */
export function max(x: Tensor, axes?: readonly number[], keep = false): Tensor {
  return fold(maxOp, x, axes, keep);
}

/** Arithmetic mean over `axes` (all when absent). */
export function mean(x: Tensor, axes?: readonly number[], keep = false): Tensor {
  const total = sum(x, axes, keep);
  return mul(total, total.size / x.size);
}
