/** @file Folds over axes: sums and maxima, each the partner of a broadcast. */
import { normaliseAxes, type Shape } from "../graph/shape.ts";
import { apply, requireFloat, type ReduceOp, type Tensor } from "../graph/tensor.ts";
import { add, div, equal, mul, neg, sub } from "./elementwise.ts";
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

/** `x` without `axes`, if it is the same all along them. */
function constantAlong(x: Tensor, axes: readonly number[]): Tensor | undefined {
  const value = constantValue(x);
  if (value !== undefined) return full(reduced(x.shape, axes, false), value);
  if (x.op.form === "elementwise") {
    const parts = x.inputs.map((input) => constantAlong(input, axes));
    return parts.every((part) => part !== undefined) ? apply(x.op, parts, x.params) : undefined;
  }
  if (x.op.name !== "broadcast") return undefined;
  const [narrow] = x.inputs;
  const lead = x.rank - narrow!.rank;
  if (axes.some((axis) => axis >= lead && narrow!.shape[axis - lead] !== 1)) return undefined;
  const own = axes.map((axis) => axis - lead).filter((axis) => axis >= 0);
  const rest = reshape(narrow!, reduced(narrow!.shape, own, false));
  return broadcastTo(rest, reduced(x.shape, axes, false));
}

/**
 * A sum is linear: factors that do not vary along its axes come out, and sums of such terms part.
 * What remains are few sums of products, the closed forms of norms among them, and none needs
 * another's result, so that a kernel finds all of them in one pass.
 */
function linearSum(x: Tensor, axes: readonly number[]): Tensor | undefined {
  const [a, b] = x.inputs;
  const outside = (factor: Tensor): Tensor | undefined => constantAlong(factor, axes);
  switch (x.op.name) {
    case "mul": {
      const [left, right] = [outside(a!), outside(b!)];
      return left ? mul(left, sum(b!, axes)) : right && mul(sum(a!, axes), right);
    }
    case "div": {
      const divisor = outside(b!);
      return divisor && div(sum(a!, axes), divisor);
    }
    case "neg":
      return neg(sum(a!, axes));
    case "add":
    case "sub":
      if (!hasOutside(a!, axes) && !hasOutside(b!, axes)) return undefined;
      return (x.op.name === "add" ? add : sub)(sum(a!, axes), sum(b!, axes));
    case "broadcast": {
      const value = outside(x);
      return value && mul(value, x.size / value.size);
    }
    default:
      return undefined;
  }
}

/** Whether something comes out of a sum of `x`. */
function hasOutside(x: Tensor, axes: readonly number[]): boolean {
  switch (x.op.name) {
    case "neg":
    case "add":
    case "sub":
      return x.inputs.some((input) => hasOutside(input, axes));
    case "mul":
      return x.inputs.some((input) => constantAlong(input, axes) !== undefined);
    case "div":
      return constantAlong(x.inputs[1]!, axes) !== undefined;
    default:
      return x.op.name === "broadcast" && constantAlong(x, axes) !== undefined;
  }
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
  distribute: ([x], { axes }) => linearSum(x!, axes),
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
