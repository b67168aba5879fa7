/**
 * @file Convolution in two dimensions, for any kernel size, stride and padding.
 *
 * Everything follows from one form, linear in each of its three arguments:
 *   T(x, k, g) = Σ x[n, c, s·i + r - p, s·j + q - p] · k[o, c, r, q] · g[n, o, i, j]
 * conv2d = ∂T/∂g, convInput = ∂T/∂x, convKernel = ∂T/∂k. The derivative of each is the two others,
 * so derivatives of any order stay among the three.
 *
 * Letters: N images, C input and O output channels, H × W input and I × J output pixels,
 * R × Q kernel taps.
 */
import { sameShape, ShapeError, showShape } from "../graph/shape.ts";
import {
  apply,
  requireFloat,
  type Cotangent,
  type KernelOp,
  type Tensor,
} from "../graph/tensor.ts";
import {
  imageKernels,
  partKernels,
  partsFor,
  weightKernels,
  type Extents,
  type Parts,
  type Window,
} from "./conv-kernels.ts";
import { add } from "./elementwise.ts";
import { pad, reshape, slice } from "./layout.ts";
import { sum } from "./reduce.ts";
import { full } from "./source.ts";

/** What the shapes of the two arguments cannot tell: `[H, W]` or `[R, Q]` of the result. */
type Sized = Window & { readonly size: readonly number[] };

/** Checks the shapes of `x` `[N, C, H, W]`, `k` `[O, C, R, Q]` and, if given, `g` `[N, O, I, J]`. */
function extents(
  op: string,
  x: readonly number[],
  k: readonly number[],
  { stride, padding }: Window,
  g?: readonly number[],
): Extents {
  const shown = `x ${showShape(x)}, k ${showShape(k)}${g ? ` and g ${showShape(g)}` : ""}`;
  if (x.length !== 4 || k.length !== 4 || (g && g.length !== 4))
    throw new ShapeError(`${op}: arguments must have four axes, got ${shown}`);
  if (!Number.isInteger(stride) || stride < 1 || !Number.isInteger(padding) || padding < 0)
    throw new ShapeError(
      `${op}: stride must be a whole number ≥ 1 and padding one ≥ 0, got ${stride} and ${padding}`,
    );
  const [N, C, H, W] = x as [number, number, number, number];
  const [O, kc, R, Q] = k as [number, number, number, number];
  if (C !== kc) throw new ShapeError(`${op}: channels of x and k must agree, got ${shown}`);
  const I = Math.floor((H + 2 * padding - R) / stride) + 1;
  const J = Math.floor((W + 2 * padding - Q) / stride) + 1;
  if (I < 1 || J < 1)
    throw new ShapeError(
      `${op}: the kernel must fit into the padded image, got ${shown}, padding ${padding}`,
    );
  if (g && (g[0] !== N || g[1] !== O || g[2] !== I || g[3] !== J))
    throw new ShapeError(`${op}: g must have the shape ${showShape([N, O, I, J])}, got ${shown}`);
  return { N, C, H, W, O, R, Q, I, J };
}

/** Calls `visit` with flat positions in x, k and g for every product in T. */
function each(
  e: Extents,
  { stride, padding }: Window,
  visit: (x: number, k: number, g: number) => void,
): void {
  for (let n = 0; n < e.N; n++)
    for (let o = 0; o < e.O; o++)
      for (let i = 0; i < e.I; i++)
        for (let j = 0; j < e.J; j++) {
          const g = ((n * e.O + o) * e.I + i) * e.J + j;
          for (let r = 0; r < e.R; r++) {
            const h = stride * i + r - padding;
            if (h < 0 || h >= e.H) continue;
            for (let q = 0; q < e.Q; q++) {
              const w = stride * j + q - padding;
              if (w < 0 || w >= e.W) continue;
              for (let c = 0; c < e.C; c++)
                visit(((n * e.C + c) * e.H + h) * e.W + w, ((o * e.C + c) * e.R + r) * e.Q + q, g);
            }
          }
        }
}

const window = (y: Tensor): Window => y.params as Window;

/** The two operands of each pair, one pair after the other. */
type Pair<T> = readonly [T, T];

/**
 * The pairs of an operation's inputs, whose results are added: the two of a convolution, or four, as
 * for the tangent conv(ẋ, k) + conv(x, k̇) in one launch.
 * @throws ShapeError when there are others, or the second pair has other shapes than the first.
 */
function pairs(op: string, inputs: readonly Tensor[]): readonly Pair<Tensor>[] {
  const [a, b, c, d] = inputs;
  if (inputs.length === 2) return [[a!, b!]];
  if (inputs.length !== 4)
    throw new ShapeError(`${op}: inputs must be two or four, got ${inputs.length}`);
  if (!sameShape(a!.shape, c!.shape) || !sameShape(b!.shape, d!.shape))
    throw new ShapeError(
      `${op}: both pairs must have the same shapes, got ${inputs.map((t) => showShape(t.shape)).join(", ")}`,
    );
  return [
    [a!, b!],
    [c!, d!],
  ];
}

/** Values of a result from those of its pairs, in float64: `visit` is given flat positions as {@link each}. */
function addUp(
  inputs: readonly Float64Array[],
  y: Tensor,
  e: Extents,
  visit: (
    out: Float64Array,
    [a, b]: Pair<Float64Array>,
  ) => (x: number, k: number, g: number) => void,
): Float64Array {
  const out = new Float64Array(y.size);
  for (let i = 0; i < inputs.length; i += 2)
    each(e, window(y), visit(out, [inputs[i]!, inputs[i + 1]!]));
  return out;
}

const conv2dOp: KernelOp<Window> = {
  form: "kernel",
  name: "conv2d",
  addsPairs: true,
  shape(inputs, params) {
    requireFloat("conv2d", inputs);
    const [[x, k]] = pairs("conv2d", inputs) as [Pair<Tensor>];
    const { N, O, I, J } = extents("conv2d", x.shape, k.shape, params);
    return [N, O, I, J];
  },
  vjp: (g, inputs, _, params): Cotangent[] =>
    pairs("conv2d", inputs).flatMap(([x, k]) => [
      convInput(g, k, x.shape.slice(2), params),
      convKernel(x, g, k.shape.slice(2), params),
    ]),
  cpu: (inputs, [x, k], y) =>
    addUp(inputs, y, forwards(x!, k!, y), (out, [a, b]) => (xi, ki, gi) => {
      out[gi]! += a[xi]! * b[ki]!;
    }),
  kernels: ([x, k], y, target, starts) =>
    imageKernels(forwards(x!, k!, y), window(y), false, target, starts),
};

const forwards = (x: Tensor, k: Tensor, y: Tensor): Extents =>
  extents("conv2d", x.shape, k.shape, window(y));

const convInputOp: KernelOp<Sized> = {
  form: "kernel",
  name: "convInput",
  addsPairs: true,
  shape(inputs, params) {
    requireFloat("convInput", inputs);
    const [[g, k]] = pairs("convInput", inputs) as [Pair<Tensor>];
    const x = [g.shape[0]!, k.shape[1]!, ...params.size];
    extents("convInput", x, k.shape, params, g.shape);
    return x;
  },
  vjp: (h, inputs, _, params): Cotangent[] =>
    pairs("convInput", inputs).flatMap(([g, k]) => [
      conv2d(h, k, params),
      convKernel(h, g, k.shape.slice(2), params),
    ]),
  cpu: (inputs, [, k], y) =>
    addUp(inputs, y, toInput(k!, y), (out, [a, b]) => (xi, ki, gi) => {
      out[xi]! += a[gi]! * b[ki]!;
    }),
  kernels: ([, k], y, target, starts) =>
    imageKernels(toInput(k!, y), window(y), true, target, starts),
};

const toInput = (k: Tensor, y: Tensor): Extents =>
  extents("convInput", y.shape, k.shape, window(y));

const convKernelOp: KernelOp<Sized> = {
  form: "kernel",
  name: "convKernel",
  addsPairs: true,
  shape(inputs, params) {
    requireFloat("convKernel", inputs);
    const [[x, g]] = pairs("convKernel", inputs) as [Pair<Tensor>];
    const k = [g.shape[1]!, x.shape[1]!, ...params.size];
    extents("convKernel", x.shape, k, params, g.shape);
    return k;
  },
  vjp: (h, inputs, _, params): Cotangent[] =>
    pairs("convKernel", inputs).flatMap(([x, g]) => [
      convInput(g, h, x.shape.slice(2), params),
      conv2d(x, h, params),
    ]),
  cpu: (inputs, [x], y) =>
    addUp(inputs, y, toKernel(x!, y), (out, [a, b]) => (xi, ki, gi) => {
      out[ki]! += a[xi]! * b[gi]!;
    }),
  kernels: ([x], y, target, starts) => weightKernels(toKernel(x!, y), window(y), target, starts),
  lower(inputs, params, y, target) {
    const parts = partsFor(toKernel(inputs[0]!, y), target);
    if (parts.images * parts.bands === 1) return undefined;
    return sum(apply(convKernelPartsOp, inputs, { ...params, ...parts }), [0]);
  },
};

const toKernel = (x: Tensor, y: Tensor, k = y.shape): Extents =>
  extents("convKernel", x.shape, k, window(y));

/** The images and rows of pixels of one part: `[from, to)` each; empty past the end. */
interface Box {
  readonly images: Pair<number>;
  readonly rows: Pair<number>;
}

/** Boxes of all parts, bands of one group of images after the other. */
function boxes(N: number, I: number, { images, bands }: Parts): Box[] {
  const ranges = (size: number, count: number): Pair<number>[] => {
    const length = Math.ceil(size / count);
    return Array.from({ length: count }, (_, p) => [
      Math.min(size, p * length),
      Math.min(size, (p + 1) * length),
    ]);
  };
  return ranges(N, images).flatMap((n) => ranges(I, bands).map((i) => ({ images: n, rows: i })));
}

/** `g` `[N, O, I, J]` in a box, zero outside. */
function within(g: Tensor, { images: [n, m], rows: [i, j] }: Box): Tensor {
  const [N, O, I, J] = g.shape as [number, number, number, number];
  if (n === m || i === j) return full(g.shape, 0);
  const inside = slice(g, [n, 0, i, 0], [m - n, O, j - i, J]);
  return pad(inside, { before: [n, 0, i, 0], after: [N - m, 0, I - j, 0] });
}

const plus = (a: Tensor, b: Tensor): Tensor => add(a, b);

/** The terms of {@link convKernel} in boxes of pixels, of which the sum over the first axis is the whole. */
const convKernelPartsOp: KernelOp<Sized & Parts> = {
  form: "kernel",
  name: "convKernelParts",
  shape(inputs, params) {
    const { images, bands } = params;
    if (![images, bands].every((count) => Number.isInteger(count) && count >= 1))
      throw new ShapeError(
        `convKernelParts: images and bands must be whole numbers ≥ 1, got ${images} and ${bands}`,
      );
    return [images * bands, ...convKernelOp.shape(inputs, params)];
  },
  vjp: (h, inputs, y, params): Cotangent[] =>
    pairs("convKernelParts", inputs).flatMap(([x, g]) => {
      const parts = boxes(x.shape[0]!, g.shape[2]!, params).map((box, p) => {
        const k = y.shape.slice(1);
        const h1 = reshape(slice(h, [p, 0, 0, 0, 0], [1, ...k]), k);
        const gx = convInput(within(g, box), h1, x.shape.slice(2), params);
        return [gx, within(conv2d(x, h1, params), box)] as const;
      });
      return [parts.map(([a]) => a).reduce(plus), parts.map(([, b]) => b).reduce(plus)];
    }),
  cpu(inputs, [x], y) {
    const e = toKernel(x!, y, y.shape.slice(1));
    const { images, bands } = y.params as Parts & typeof y.params;
    const [n, i] = [Math.ceil(e.N / images), Math.ceil(e.I / bands)];
    const size = y.size / y.shape[0]!;
    return addUp(inputs, y, e, (out, [a, b]) => (xi, ki, gi) => {
      const row = Math.floor(gi / e.J);
      const part = Math.floor(row / (e.O * e.I) / n) * bands + Math.floor((row % e.I) / i);
      out[part * size + ki]! += a[xi]! * b[gi]!;
    });
  },
  kernels: ([x], y, target, starts) =>
    partKernels(
      toKernel(x!, y, y.shape.slice(1)),
      window(y),
      y.params as Parts & typeof y.params,
      target,
      starts,
    ),
};

/** Distance between windows and zeros around the image; 1 and 0 when absent. */
export interface ConvOptions {
  readonly stride?: number;
  readonly padding?: number;
}

const settings = ({ stride = 1, padding = 0 }: ConvOptions): Window => ({ stride, padding });

/**
 * Convolution (cross-correlation) of images `[N, C, H, W]` with kernels `[O, C, R, Q]`:
 * `[N, O, I, J]`, I = ⌊(H + 2·padding - R) / stride⌋ + 1.
 * @throws ShapeError when channels differ or the kernel does not fit.
 */
export function conv2d(x: Tensor, k: Tensor, options: ConvOptions = {}): Tensor {
  return apply(conv2dOp, [x, k], settings(options));
}

/**
 * Adjoint of {@link conv2d} in its images (transposed convolution): g `[N, O, I, J]` and kernels
 * `[O, C, R, Q]` give `[N, C, H, W]`; `size` is `[H, W]`.
 * @throws ShapeError when conv2d of that size would not give g's shape.
 */
export function convInput(
  g: Tensor,
  k: Tensor,
  size: readonly number[],
  options: ConvOptions = {},
): Tensor {
  return apply(convInputOp, [g, k], { ...settings(options), size: [...size] });
}

/**
 * The terms of {@link convKernel} in parts, `[images · bands, O, C, R, Q]`: the images are divided into
 * `images` groups and their rows into `bands`. The sum over the first axis is the whole.
 * @throws ShapeError as convKernel, or when a count is not a whole number ≥ 1.
 */
export function convKernelParts(
  x: Tensor,
  g: Tensor,
  size: readonly number[],
  { images, bands, ...options }: ConvOptions & Parts,
): Tensor {
  return apply(convKernelPartsOp, [x, g], { ...settings(options), size: [...size], images, bands });
}

/**
 * Adjoint of {@link conv2d} in its kernels: images `[N, C, H, W]` and g `[N, O, I, J]` give
 * `[O, C, R, Q]`; `size` is `[R, Q]`.
 * @throws ShapeError when conv2d with that size would not give g's shape.
 */
export function convKernel(
  x: Tensor,
  g: Tensor,
  size: readonly number[],
  options: ConvOptions = {},
): Tensor {
  return apply(convKernelOp, [x, g], { ...settings(options), size: [...size] });
}
