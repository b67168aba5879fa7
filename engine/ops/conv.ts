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
import { ShapeError, showShape } from "../graph/shape.ts";
import {
  apply,
  requireFloat,
  type Cotangent,
  type Kernel,
  type KernelOp,
  type Target,
  type Tensor,
} from "../graph/tensor.ts";

type Window = { readonly stride: number; readonly padding: number };
/** What the shapes of the two arguments cannot tell: `[H, W]` or `[R, Q]` of the result. */
type Sized = Window & { readonly size: readonly number[] };

interface Extents {
  readonly N: number;
  readonly C: number;
  readonly H: number;
  readonly W: number;
  readonly O: number;
  readonly R: number;
  readonly Q: number;
  readonly I: number;
  readonly J: number;
}

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

/** Four loads then feed 32 products, as the shaders `*_lanes` and `conv_channels` have it. */
const TILE = 16;

/** Whether an adapter has subgroups wide enough to hand a tile's values around. */
const hasLanes = (target: Target): boolean => target.subgroupSize >= 4;

const flops = (e: Extents): number => 2 * e.N * e.O * e.I * e.J * e.C * e.R * e.Q;

/** Convolution of `x` to `y` channels, forwards or transposed in the images: two shaders, one formula. */
function imageKernel(
  e: Extents,
  { stride: S, padding: P }: Window,
  target: Target,
  TRANSPOSED: 0 | 1,
): Kernel {
  const { N, R, Q } = e;
  const taps = R * Q;
  const sides = TRANSPOSED
    ? { A: e.C, B: e.O, T: e.H, U: e.W, H: e.I, W: e.J, KA: taps, KB: e.C * taps }
    : { A: e.O, B: e.C, T: e.I, U: e.J, H: e.H, W: e.W, KA: e.C * taps, KB: taps };
  const constants = { N, R, Q, S, P, ...sides, TRANSPOSED };
  const pixels = N * sides.T * sides.U;
  // With few output channels most lanes along them would idle.
  if (hasLanes(target) && sides.A > 4) {
    const LANES = target.subgroupSize;
    return {
      shader: "conv_channels",
      constants: { ...constants, LANES },
      grid: [Math.ceil(pixels / TILE), Math.ceil(sides.A / (2 * LANES)), 1],
      flops: flops(e),
    };
  }
  const CHANNELS = Math.min(4, sides.A);
  return {
    shader: "conv_pixels",
    constants: { ...constants, CHANNELS },
    grid: [Math.ceil(pixels / 256), Math.ceil(sides.A / CHANNELS), 1],
    flops: flops(e),
  };
}

const window = (y: Tensor): Window => y.params as Window;

const conv2dOp: KernelOp<Window> = {
  form: "kernel",
  name: "conv2d",
  shape([x, k], params) {
    requireFloat("conv2d", [x!, k!]);
    const { N, O, I, J } = extents("conv2d", x!.shape, k!.shape, params);
    return [N, O, I, J];
  },
  vjp: (g, [x, k], _, params): Cotangent[] => [
    convInput(g, k!, x!.shape.slice(2), params),
    convKernel(x!, g, k!.shape.slice(2), params),
  ],
  cpu([x, k], [tx, tk], y) {
    const out = new Float64Array(y.size);
    each(extents("conv2d", tx!.shape, tk!.shape, window(y)), window(y), (xi, ki, gi) => {
      out[gi]! += x![xi]! * k![ki]!;
    });
    return out;
  },
  kernels: ([x, k], y, target) => [
    imageKernel(extents("conv2d", x!.shape, k!.shape, window(y)), window(y), target, 0),
  ],
};

const convInputOp: KernelOp<Sized> = {
  form: "kernel",
  name: "convInput",
  shape([g, k], params) {
    requireFloat("convInput", [g!, k!]);
    const x = [g!.shape[0]!, k!.shape[1]!, ...params.size];
    extents("convInput", x, k!.shape, params, g!.shape);
    return x;
  },
  vjp: (h, [g, k], _, params): Cotangent[] => [
    conv2d(h, k!, params),
    convKernel(h, g!, k!.shape.slice(2), params),
  ],
  cpu([g, k], [, tk], y) {
    const out = new Float64Array(y.size);
    each(extents("convInput", y.shape, tk!.shape, window(y)), window(y), (xi, ki, gi) => {
      out[xi]! += g![gi]! * k![ki]!;
    });
    return out;
  },
  kernels: ([, k], y, target) => [
    imageKernel(extents("convInput", y.shape, k!.shape, window(y)), window(y), target, 1),
  ],
};

const convKernelOp: KernelOp<Sized> = {
  form: "kernel",
  name: "convKernel",
  shape([x, g], params) {
    requireFloat("convKernel", [x!, g!]);
    const k = [g!.shape[1]!, x!.shape[1]!, ...params.size];
    extents("convKernel", x!.shape, k, params, g!.shape);
    return k;
  },
  vjp: (h, [x, g], _, params): Cotangent[] => [
    convInput(g!, h, x!.shape.slice(2), params),
    conv2d(x!, h, params),
  ],
  cpu([x, g], [tx], y) {
    const out = new Float64Array(y.size);
    each(extents("convKernel", tx!.shape, y.shape, window(y)), window(y), (xi, ki, gi) => {
      out[ki]! += x![xi]! * g![gi]!;
    });
    return out;
  },
  kernels([x], y, target) {
    const { stride: S, padding: P } = window(y);
    const e = extents("convKernel", x!.shape, y.shape, window(y));
    const constants = { ...e, S, P };
    if (!hasLanes(target)) {
      const grid = [e.O, Math.ceil(e.C / 4), 1] as const;
      return [{ shader: "conv_kernel", constants, grid, flops: flops(e) }];
    }
    const LANES = target.subgroupSize;
    const columns = e.C * e.R * e.Q;
    const grid = [Math.ceil(columns / TILE), Math.ceil(e.O / (2 * LANES)), 1] as const;
    const lanes = { shader: "conv_kernel_lanes", constants: { ...constants, LANES } };
    return [{ ...lanes, grid, flops: flops(e) }];
  },
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
