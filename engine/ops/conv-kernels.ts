/**
 * @file How the three convolutions run: which shader suits which shapes and adapter. On one kind of
 * adapter all shaders of an operation add up in the same order, each result in one accumulator:
 * pairs, input channels, taps for images; pairs, images, pixels for kernels.
 */
import type { Kernel, Target } from "../graph/tensor.ts";

/** Distance between windows and zeros around the image. */
export type Window = { readonly stride: number; readonly padding: number };

/** Sizes of a convolution, by the letters of conv.ts. */
export interface Extents {
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

/** Inputs of an operation: one pair, or two of which the results are added. */
interface Pairs {
  readonly count: 1 | 2;
  readonly operands: readonly number[];
}

const pairsOf = (starts: readonly number[]): Pairs =>
  starts.length === 4 ? { count: 2, operands: [0, 1, 2, 3] } : { count: 1, operands: [0, 1, 0, 1] };

/** Whether an adapter has subgroups wide enough to hand a tile's values around. */
const hasLanes = (target: Target): boolean => target.subgroupSize >= 4;

const areVectors = (starts: readonly number[]): boolean => starts.every((start) => start % 4 === 0);

/** Whether taps of a row are its pixel and its two neighbours, and a row is whole vectors. */
const hasVectorRows = ({ R, Q, W }: Extents, { stride, padding }: Window): boolean =>
  R === 3 && Q === 3 && stride === 1 && padding === 1 && W % 4 === 0;

const flopsOf = (e: Extents, { count }: Pairs): number =>
  2 * count * e.N * e.O * e.I * e.J * e.C * e.R * e.Q;

/** The result as a product of matrices: A channels by pixels [N, T, U], summed over B channels and taps. */
interface Sides {
  readonly A: number;
  readonly B: number;
  readonly T: number;
  readonly U: number;
  readonly KA: number;
  readonly KB: number;
}

function sidesOf(e: Extents, transposed: boolean): Sides {
  const taps = e.R * e.Q;
  return transposed
    ? { A: e.C, B: e.O, T: e.H, U: e.W, KA: taps, KB: e.C * taps }
    : { A: e.O, B: e.C, T: e.I, U: e.J, KA: e.C * taps, KB: taps };
}

/** Convolution to images: forwards from `[N, C, H, W]`, or `transposed` from `[N, O, I, J]`. */
export function imageKernels(
  e: Extents,
  window: Window,
  transposed: boolean,
  target: Target,
  starts: readonly number[],
): readonly [Kernel, ...Kernel[]] {
  const pairs = pairsOf(starts);
  const { operands } = pairs;
  const flops = flopsOf(e, pairs);
  const sides = sidesOf(e, transposed);
  const { A, T, U } = sides;
  const shared = { N: e.N, ...sides, TRANSPOSED: transposed ? 1 : 0, PAIRS: pairs.count };
  const [H, W] = transposed ? [e.I, e.J] : [e.H, e.W];
  const taps = { H, W, R: e.R, Q: e.Q, S: window.stride, P: window.padding };
  const pixels = e.N * T * U;
  const LANES = target.subgroupSize;
  const CHANNELS = Math.min(4, A);
  const plain: Kernel = {
    shader: "conv_pixels",
    operands,
    constants: { ...shared, ...taps, CHANNELS },
    grid: [Math.ceil(pixels / 256), Math.ceil(A / CHANNELS), 1],
    flops,
  };
  if (!hasLanes(target)) return [plain];
  const images = starts.filter((_, i) => i % 2 === 0);
  if (hasVectorRows(e, window) && 32 % U === 0 && areVectors(images)) {
    const grid = [Math.ceil(pixels / 32), Math.ceil(A / (2 * LANES)), 1] as const;
    return [{ shader: "conv_rows", operands, constants: { ...shared, LANES }, grid, flops }];
  }
  const channels: Kernel = {
    shader: "conv_channels",
    operands,
    constants: { ...shared, ...taps, LANES },
    grid: [Math.ceil(pixels / 16), Math.ceil(A / (4 * LANES)), 1],
    flops,
  };
  // With few output channels most lanes along them idle.
  return A > LANES ? [channels] : [channels, plain];
}

/** Convolution to kernels `[O, C, R, Q]`. */
export function weightKernels(
  e: Extents,
  window: Window,
  target: Target,
  starts: readonly number[],
): readonly [Kernel, ...Kernel[]] {
  const pairs = pairsOf(starts);
  const { operands } = pairs;
  const flops = flopsOf(e, pairs);
  const PAIRS = pairs.count;
  const constants = { ...e, S: window.stride, P: window.padding, PAIRS };
  const LANES = target.subgroupSize;
  if (!hasLanes(target)) {
    const grid = [e.O, Math.ceil(e.C / 4), 1] as const;
    return [{ shader: "conv_kernel", operands, constants, grid, flops }];
  }
  if (hasVectorRows(e, window) && areVectors(starts)) {
    const { N, C, O, I: T, J: U } = e;
    const grid = [Math.ceil(C / 2), Math.ceil(O / (2 * LANES)), 1] as const;
    const rows = { N, C, O, T, U, PAIRS, LANES };
    return [{ shader: "conv_kernel_rows", operands, constants: rows, grid, flops }];
  }
  const columns = e.C * e.R * e.Q;
  const grid = [Math.ceil(columns / 16), Math.ceil(e.O / (4 * LANES)), 1] as const;
  const lanes = { ...constants, LANES };
  return [{ shader: "conv_kernel_lanes", operands, constants: lanes, grid, flops }];
}
