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

/** A tile of workgroup memory: invocations along both sides, vectors of four that each computes, terms of a slice. */
interface Tile {
  readonly GA: number;
  readonly GP: number;
  readonly VA: number;
  readonly VP: number;
  readonly DEPTH: number;
}

const rowsOf = ({ GA, VA }: Tile): number => 4 * GA * VA;
const columnsOf = ({ GP, VP }: Tile): number => 4 * GP * VP;

/** From 128×128 to 32×32, the most products for a load first. None needs 16 KiB of workgroup memory. */
const TILES: readonly Tile[] = [
  { GA: 16, GP: 16, VA: 2, VP: 2, DEPTH: 8 },
  { GA: 16, GP: 16, VA: 1, VP: 2, DEPTH: 16 },
  { GA: 16, GP: 16, VA: 1, VP: 1, DEPTH: 16 },
  { GA: 8, GP: 16, VA: 1, VP: 2, DEPTH: 16 },
  { GA: 8, GP: 16, VA: 1, VP: 1, DEPTH: 16 },
  { GA: 8, GP: 8, VA: 1, VP: 1, DEPTH: 16 },
];

/** Workgroups that keep the largest GPUs busy. */
const ENOUGH = 132;

const groupsOf = (tile: Tile, rows: number, columns: number): number =>
  Math.ceil(rows / rowsOf(tile)) * Math.ceil(columns / columnsOf(tile));

/** Tiles of which a product of matrices fills more than half, the largest first; at least the smallest. */
function fitting(rows: number, columns: number, { maxWorkgroupSize }: Target): readonly Tile[] {
  return TILES.filter(
    (tile, i) =>
      i === TILES.length - 1 ||
      (tile.GA * tile.GP <= maxWorkgroupSize &&
        rowsOf(tile) < 2 * Math.max(rows, 17) &&
        columnsOf(tile) < 2 * Math.max(columns, 17)),
  );
}

/** The largest tile of which there are enough, then the others, the smaller ones first. */
function tilesFor(rows: number, columns: number, target: Target): readonly Tile[] {
  const tiles = fitting(rows, columns, target);
  const found = tiles.findIndex((tile) => groupsOf(tile, rows, columns) >= ENOUGH);
  const first = found < 0 ? tiles.length - 1 : found;
  return [...tiles.slice(first), ...tiles.slice(0, first).reverse()];
}

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

/** Whether conv_matrix.wgsl can divide its tiles into such matrices. */
const suits = (
  { m, n, k }: NonNullable<Target["matrix"]>,
  { f16, subgroupSize, maxWorkgroupSize }: Target,
): boolean =>
  f16 &&
  [m, n, k].every((size) => 32 % size === 0) &&
  [16, 32].includes(subgroupSize) &&
  4 * subgroupSize <= maxWorkgroupSize;

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
  const { matrix } = target;
  if (matrix && target.precision === "f16" && suits(matrix, target)) {
    const constants = { ...shared, ...taps, LANES, M: matrix.m, WIDTH: matrix.n, K: matrix.k };
    const grid = [Math.ceil(pixels / 64), Math.ceil(A / 64), 1] as const;
    return [{ shader: "conv_matrix", operands, constants, grid, flops }];
  }
  if (!target.software) {
    const tiled = tilesFor(A, pixels, target).map((tile): Kernel => {
      const grid = [Math.ceil(pixels / columnsOf(tile)), Math.ceil(A / rowsOf(tile)), 1] as const;
      const constants = { ...shared, ...taps, ...tile };
      return { shader: "conv_tiled", operands, constants, grid, flops };
    });
    // Most of a tile would be past the end of a few channels.
    return A > 4 ? [tiled[0]!, ...tiled.slice(1), plain] : [plain, ...tiled];
  }
  if (!hasLanes(target)) return [plain];
  const images = starts.filter((_, i) => i % 2 === 0);
  if (hasVectorRows(e, window) && 32 % U === 0 && areVectors(images)) {
    if (A <= 4) {
      const grid = [Math.ceil(pixels / (8 * LANES)), 1, 1] as const;
      const constants = { ...shared, LANES };
      return [{ shader: "conv_rows_quads", operands, constants, grid, flops }];
    }
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

/** Into how many parts the sum over pixels of a convolution to kernels is divided: by images, by rows. */
export type Parts = { readonly images: number; readonly bands: number };

/** Fewer pixels than these are not worth a part of their own. */
const PART_PIXELS = 64;

/** Parts that keep an adapter busy, by shapes alone; one where its kernels know no parts. */
export function partsFor(e: Extents, target: Target): Parts {
  if (target.software) return { images: 1, bands: 1 };
  const columns = e.C * e.R * e.Q;
  const tile = fitting(e.O, columns, target)[0]!;
  const wanted = Math.ceil(ENOUGH / groupsOf(tile, e.O, columns));
  const most = Math.max(1, Math.floor((e.N * e.I * e.J) / PART_PIXELS));
  const parts = Math.min(wanted, most);
  const images = Math.min(parts, e.N);
  return { images, bands: Math.min(e.I, Math.ceil(parts / images)) };
}

/** Convolution to kernels in parts, `[images · bands, O, C, R, Q]`. */
export function partKernels(
  e: Extents,
  window: Window,
  { images: IMAGES, bands: BANDS }: Parts,
  target: Target,
  starts: readonly number[],
): readonly [Kernel, ...Kernel[]] {
  const pairs = pairsOf(starts);
  const columns = e.C * e.R * e.Q;
  const constants = { ...e, S: window.stride, P: window.padding, PAIRS: pairs.count };
  const kernelOf = (tile: Tile): Kernel => ({
    shader: "conv_kernel_tiled",
    operands: pairs.operands,
    constants: { ...constants, IMAGES, BANDS, ...tile },
    grid: [Math.ceil(columns / columnsOf(tile)), Math.ceil(e.O / rowsOf(tile)), IMAGES * BANDS],
    flops: flopsOf(e, pairs),
  });
  const [first, ...others] = fitting(e.O, columns, target);
  return [kernelOf(first!), ...others.map(kernelOf)];
}

/** Convolution to kernels `[O, C, R, Q]`. */
export function weightKernels(
  e: Extents,
  window: Window,
  target: Target,
  starts: readonly number[],
): readonly [Kernel, ...Kernel[]] {
  if (!target.software) return partKernels(e, window, { images: 1, bands: 1 }, target, starts);
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
