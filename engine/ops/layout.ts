/** @file The same elements in another place: reshape, permute, broadcast, slice, pad, flip, concat. */
import { flatten, Ix, unflatten, type Pick } from "../graph/ix.ts";
import {
  broadcastShapes,
  normaliseAxes,
  sameShape,
  ShapeError,
  showShape,
  sizeOf,
  stridesOf,
  type Shape,
} from "../graph/shape.ts";
import { apply, type LayoutOp, type Tensor } from "../graph/tensor.ts";
import { sum } from "./reduce.ts";
import { constantValue, full } from "./source.ts";

/** Copies by asking, for every output element, which input element it is (−1: zero). */
function copy(
  y: Tensor,
  from: (index: readonly number[]) => number,
  x: Float64Array,
): Float64Array {
  const out = new Float64Array(y.size);
  const index = new Array<number>(y.rank).fill(0);
  for (let i = 0; i < out.length; i++) {
    const source = from(index);
    if (source >= 0) out[i] = x[source]!;
    for (let axis = y.rank - 1; axis >= 0; axis--) {
      if (++index[axis]! < y.shape[axis]!) break;
      index[axis] = 0;
    }
  }
  return out;
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((s, v, i) => s + v * b[i]!, 0);

const only = (index: readonly Ix[]): Pick[] => [{ input: 0, index, when: [] }];

/** A constant stays one wherever its elements go. */
function constantLike(x: Tensor, y: Tensor): Tensor | undefined {
  const value = constantValue(x);
  return value === undefined ? undefined : full(y.shape, value, y.dtype);
}

const reshapeOp: LayoutOp<{ shape: Shape }> = {
  form: "layout",
  name: "reshape",
  alias: true,
  dtype: ([x]) => x!.dtype,
  shape([x], { shape }) {
    if (sizeOf(shape) !== x!.size)
      throw new ShapeError(
        `reshape: the number of elements must stay, got ${showShape(x!.shape)} to ${showShape(shape)}`,
      );
    return shape;
  },
  vjp: (g, [x]) => [reshape(g, x!.shape)],
  simplify: ([x], { shape }, y) =>
    sameShape(x!.shape, shape)
      ? x
      : x!.op.name === "reshape"
        ? reshape(x!.inputs[0]!, shape)
        : constantLike(x!, y),
  cpu: ([x]) => x!.slice(),
  read: (index, [x], y) => only(unflatten(flatten(index, y.shape), x!.shape)),
};

const permuteOp: LayoutOp<{ axes: readonly number[] }> = {
  form: "layout",
  name: "permute",
  dtype: ([x]) => x!.dtype,
  shape: ([x], { axes }) => axes.map((axis) => x!.shape[axis]!),
  vjp: (g, _, __, { axes }) => [permute(g, inverse(axes))],
  simplify([x], { axes }, y) {
    if (axes.every((axis, i) => axis === i)) return x;
    // Moving only axes of size 1 moves no element.
    const moved = axes.filter((axis) => x!.shape[axis] !== 1);
    if (moved.every((axis, i) => i === 0 || axis > moved[i - 1]!)) return reshape(x!, y.shape);
    if (x!.op.name === "permute") {
      const inner = x!.params["axes"] as readonly number[];
      return permute(
        x!.inputs[0]!,
        axes.map((axis) => inner[axis]!),
      );
    }
    return constantLike(x!, y);
  },
  cpu([x], [tx], y) {
    const axes = y.params["axes"] as readonly number[];
    const strides = stridesOf(tx!.shape);
    const moved = axes.map((axis) => strides[axis]!);
    return copy(y, (index) => dot(index, moved), x!);
  },
  read: (index, _, y) => only(inverse(y.params["axes"] as readonly number[]).map((i) => index[i]!)),
};

function inverse(axes: readonly number[]): number[] {
  return axes.map((_, i) => axes.indexOf(i));
}

const broadcastOp: LayoutOp<{ shape: Shape }> = {
  form: "layout",
  name: "broadcast",
  dtype: ([x]) => x!.dtype,
  shape: (_, { shape }) => shape,
  vjp(g, [x]) {
    const lead = g.rank - x!.rank;
    const axes = g.shape.flatMap((n, axis) =>
      axis < lead || x!.shape[axis - lead] !== n ? [axis] : [],
    );
    return [reshape(sum(g, axes), x!.shape)];
  },
  simplify: ([x], { shape }, y) => (sameShape(x!.shape, shape) ? x : constantLike(x!, y)),
  cpu([x], [tx], y) {
    const lead = y.rank - tx!.rank;
    const strides = stridesOf(tx!.shape);
    const spread = y.shape.map((_, axis) =>
      axis < lead || tx!.shape[axis - lead] === 1 ? 0 : strides[axis - lead]!,
    );
    return copy(y, (index) => dot(index, spread), x!);
  },
  read: (index, [x], y) =>
    only(
      index.slice(y.rank - x!.rank).map((ix, axis) => (x!.shape[axis] === 1 ? Ix.constant(0) : ix)),
    ),
};

type SliceParams = {
  readonly start: readonly number[];
  readonly size: Shape;
  readonly step: readonly number[];
};

const sliceOp: LayoutOp<SliceParams> = {
  form: "layout",
  name: "slice",
  dtype: ([x]) => x!.dtype,
  shape([x], { start, size, step }) {
    const whole = [start, size, step].every(
      (counts, k) =>
        counts.length === x!.rank &&
        counts.every((n) => Number.isInteger(n) && n >= Math.min(k, 1)),
    );
    const fits = whole && x!.shape.every((n, i) => start[i]! + (size[i]! - 1) * step[i]! < n);
    if (!fits)
      throw new ShapeError(
        `slice: the window must lie inside ${showShape(x!.shape)}, got start ${showShape(start)}, size ${showShape(size)}, step ${showShape(step)}`,
      );
    return size;
  },
  vjp: (g, [x], y, { start, step }) => [
    pad(g, {
      before: start,
      after: x!.shape.map((n, i) => n - start[i]! - (y.shape[i]! - 1) * step[i]! - 1),
      between: step.map((s) => s - 1),
    }),
  ],
  simplify: ([x], _, y) => (sameShape(x!.shape, y.shape) ? x : constantLike(x!, y)),
  cpu([x], [tx], y) {
    const { start, step } = y.params as SliceParams;
    const strides = stridesOf(tx!.shape);
    const base = dot(start, strides);
    const moved = strides.map((s, i) => s * step[i]!);
    return copy(y, (index) => base + dot(index, moved), x!);
  },
  read(index, _, y) {
    const { start, step } = y.params as SliceParams;
    return only(index.map((ix, i) => ix.times(step[i]!).plus(start[i]!)));
  },
};

type PadParams = {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly between: readonly number[];
};

const padOp: LayoutOp<PadParams> = {
  form: "layout",
  name: "pad",
  dtype: ([x]) => x!.dtype,
  shape([x], { before, after, between }) {
    const counts = [before, after, between];
    if (counts.some((c) => c.length !== x!.rank || c.some((n) => !Number.isInteger(n) || n < 0)))
      throw new ShapeError(
        `pad: before, after and between need one count ≥ 0 for each axis of ${showShape(x!.shape)}, got ${counts.map(showShape).join(", ")}`,
      );
    return x!.shape.map((n, i) => before[i]! + n + (n - 1) * between[i]! + after[i]!);
  },
  vjp: (g, [x], _, { before, between }) => [
    slice(
      g,
      before,
      x!.shape,
      between.map((b) => b + 1),
    ),
  ],
  simplify: ([x], _, y) =>
    sameShape(x!.shape, y.shape) ? x : constantValue(x!) === 0 ? constantLike(x!, y) : undefined,
  cpu([x], [tx], y) {
    const { before, between } = y.params as PadParams;
    const strides = stridesOf(tx!.shape);
    const from = (index: readonly number[]): number => {
      let at = 0;
      for (let axis = 0; axis < index.length; axis++) {
        const i = (index[axis]! - before[axis]!) / (between[axis]! + 1);
        if (!Number.isInteger(i) || i < 0 || i >= tx!.shape[axis]!) return -1;
        at += i * strides[axis]!;
      }
      return at;
    };
    return copy(y, from, x!);
  },
  read(index, [x], y) {
    const { before, between } = y.params as PadParams;
    const when: Pick["when"][number][] = [];
    const inner = index.map((ix, axis) => {
      const step = between[axis]! + 1;
      const moved = ix.plus(-before[axis]!);
      when.push({ ix: moved, lower: 0, upper: (x!.shape[axis]! - 1) * step + 1 });
      // Where the only element of an axis is read, its index is 0.
      if (x!.shape[axis] === 1) return Ix.constant(0);
      if (step === 1) return moved;
      // Remainders need a non-negative index: shift by a multiple of the step, then back.
      const lift = Math.max(0, Math.ceil(-moved.min / step));
      const lifted = moved.plus(lift * step);
      when.push({ ix: lifted.modulo(step), lower: 0, upper: 1 });
      return lifted.over(step).plus(-lift);
    });
    return [{ input: 0, index: inner, when }];
  },
};

const flipOp: LayoutOp<{ axes: readonly number[] }> = {
  form: "layout",
  name: "flip",
  dtype: ([x]) => x!.dtype,
  shape: ([x]) => x!.shape,
  vjp: (g, _, __, { axes }) => [flip(g, axes)],
  simplify: ([x], { axes }, y) =>
    axes.every((axis) => x!.shape[axis] === 1) ? x : constantLike(x!, y),
  cpu([x], [tx], y) {
    const axes = y.params["axes"] as readonly number[];
    const strides = stridesOf(tx!.shape);
    const base = axes.reduce((s, axis) => s + (tx!.shape[axis]! - 1) * strides[axis]!, 0);
    const moved = strides.map((s, axis) => (axes.includes(axis) ? -s : s));
    return copy(y, (index) => base + dot(index, moved), x!);
  },
  read(index, [x], y) {
    const axes = y.params["axes"] as readonly number[];
    return only(
      index.map((ix, axis) => (axes.includes(axis) ? ix.times(-1).plus(x!.shape[axis]! - 1) : ix)),
    );
  },
};

const concatOp: LayoutOp<{ axis: number }> = {
  form: "layout",
  name: "concat",
  dtype: ([x]) => x!.dtype,
  shape(inputs, { axis }) {
    const first = inputs[0]!;
    if (inputs.some((x) => x.dtype !== first.dtype))
      throw new TypeError(
        `concat: types must agree, got ${inputs.map((x) => x.dtype).join(" and ")}`,
      );
    const fits = inputs.every(
      (x) => x.rank === first.rank && x.shape.every((n, i) => i === axis || n === first.shape[i]),
    );
    if (!fits)
      throw new ShapeError(
        `concat: shapes must agree but for axis ${axis}, got ${inputs.map((x) => showShape(x.shape)).join(" and ")}`,
      );
    const total = inputs.reduce((n, x) => n + x.shape[axis]!, 0);
    return first.shape.map((n, i) => (i === axis ? total : n));
  },
  vjp(g, inputs, _, { axis }) {
    let at = 0;
    return inputs.map((x) => {
      const start = x.shape.map((__, i) => (i === axis ? at : 0));
      at += x.shape[axis]!;
      return slice(g, start, x.shape);
    });
  },
  simplify: (inputs) => (inputs.length === 1 ? inputs[0] : undefined),
  cpu(data, tensors, y) {
    const axis = y.params["axis"] as number;
    const inner = sizeOf(y.shape.slice(axis + 1));
    const outer = sizeOf(y.shape.slice(0, axis));
    const out = new Float64Array(y.size);
    let at = 0;
    for (let o = 0; o < outer; o++)
      data.forEach((x, k) => {
        const run = tensors[k]!.shape[axis]! * inner;
        out.set(x.subarray(o * run, (o + 1) * run), at);
        at += run;
      });
    return out;
  },
  read(index, inputs, y) {
    const axis = y.params["axis"] as number;
    let at = 0;
    return inputs.map((x, input) => {
      const own = index[axis]!.plus(-at);
      const upper = x.shape[axis]!;
      at += upper;
      const moved = index.map((ix, i) => (i === axis ? (upper === 1 ? Ix.constant(0) : own) : ix));
      return { input, index: moved, when: [{ ix: own, lower: 0, upper }] };
    });
  },
};

const storedOp: LayoutOp = {
  form: "layout",
  name: "stored",
  dtype: ([x]) => x!.dtype,
  shape: ([x]) => x!.shape,
  vjp: (g) => [g],
  simplify: ([x], _, y) => constantLike(x!, y),
  cpu: ([x]) => x!.slice(),
  read: (index) => only(index),
};

/** x itself, kept in memory: kernels that need parts of it then read them there, without copies. */
export function stored(x: Tensor): Tensor {
  return apply(storedOp, [x], {});
}

/**
 * The same elements in row-major order under another shape; one size may be −1.
 * @throws ShapeError when the number of elements would change.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
  const full = shape.map((n) => (n === -1 ? x.size / known : n));
  return sameShape(x.shape, full) ? x : apply(reshapeOp, [x], { shape: full });
}

/**
 * Axes in another order: axis i of the result is axis `axes[i]` of x.
 * @throws ShapeError when `axes` does not name every axis once.
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  if (normaliseAxes("permute", axes, x.rank).length !== x.rank)
    throw new ShapeError(
      `permute: axes must name every axis of ${showShape(x.shape)} once, got ${showShape(axes)}`,
    );
  return apply(permuteOp, [x], { axes: axes.map((a) => (a < 0 ? a + x.rank : a)) });
}

/** The two axes of a matrix `[M, N]` exchanged. */
export function transpose(x: Tensor): Tensor {
  return permute(x, [1, 0]);
}

/**
 * Repeats axes of size 1, and adds axes in front, to reach `shape`.
 * @throws ShapeError when a size is neither 1 nor already right.
 */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcastShapes("broadcastTo", x.shape, shape), shape))
    throw new ShapeError(
      `broadcastTo: ${showShape(x.shape)} must fit into ${showShape(shape)} by repeating axes of size 1`,
    );
  return apply(broadcastOp, [x], { shape: [...shape] });
}

/**
 * `size` elements along each axis, from `start`, every `step`-th (default 1).
 * @throws ShapeError when the window leaves the tensor.
 */
export function slice(
  x: Tensor,
  start: readonly number[],
  size: Shape,
  step: readonly number[] = size.map(() => 1),
): Tensor {
  return apply(sliceOp, [x], { start: [...start], size: [...size], step: [...step] });
}

/** Zeros around x, and `between` its elements; absent counts are 0. */
export interface Padding {
  readonly before?: readonly number[];
  readonly after?: readonly number[];
  readonly between?: readonly number[];
}

/**
 * x with zeros before, after and between its elements along each axis.
 * @throws ShapeError when a count is negative or an axis has none.
 */
export function pad(x: Tensor, { before, after, between }: Padding): Tensor {
  const none = x.shape.map(() => 0);
  return apply(padOp, [x], {
    before: [...(before ?? none)],
    after: [...(after ?? none)],
    between: [...(between ?? none)],
  });
}

/** Elements in reverse order along `axes`. */
export function flip(x: Tensor, axes: readonly number[]): Tensor {
  return apply(flipOp, [x], { axes: normaliseAxes("flip", axes, x.rank) });
}

/** Inputs of one concatenation at most. */
const FEW = 4;

/**
 * Tensors one after the other along `axis`. Many are joined in a tree: an element then finds its
 * input in few comparisons, and a kernel that cannot read all of them has a place to part.
 * @throws ShapeError when other axes differ or nothing is given.
 */
export function concat(xs: readonly Tensor[], axis = 0): Tensor {
  if (xs.length === 0) throw new ShapeError("concat: at least one tensor must be given, got none");
  const [at] = normaliseAxes("concat", [axis], xs[0]!.rank);
  if (xs.length <= FEW) return apply(concatOp, xs, { axis: at! });
  const part = Math.ceil(xs.length / FEW);
  const parts = Array.from({ length: Math.ceil(xs.length / part) }, (_, i) =>
    concat(xs.slice(i * part, (i + 1) * part), axis),
  );
  return apply(concatOp, parts, { axis: at! });
}
