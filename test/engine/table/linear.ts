/** @file Rows of the matrix products and of the three convolutions. */

import * as e from "../../../engine/index.ts";
import type { Shape, Tensor } from "../../../engine/index.ts";
import { apply } from "../../../engine/graph/tensor.ts";
import { input, type Case, type Row } from "./row.ts";

/** M, K and N of products. Tiles are of 8, 16 or 32 rows and columns; more in candidates.test.ts. */
const PRODUCTS: readonly (readonly [number, number, number])[] = [
  [2, 1, 3],
  [15, 40, 17],
  [33, 42, 31],
];

const PLAIN: typeof PRODUCTS = [
  [1, 1, 1],
  [1, 65, 2],
  [16, 41, 16],
  [17, 43, 15],
  [31, 44, 33],
  [32, 45, 32],
];

const product = (
  [m, k, n]: readonly [number, number, number],
  transposeA: boolean,
  transposeB: boolean,
): Case => ({
  label: `[${m}, ${k}]${transposeA ? "ᵀ" : ""} · [${k}, ${n}]${transposeB ? "ᵀ" : ""}`,
  inputs: [input(transposeA ? [k, m] : [m, k]), input(transposeB ? [n, k] : [k, n])],
  build: (a, b) => e.matmul(a, b, { transposeA, transposeB }),
});

const plainProducts = PLAIN.map((sizes) => product(sizes, false, false));
const products: readonly Case[] = [
  ...PRODUCTS.flatMap((sizes) =>
    [0, 1, 2, 3].map((which) => product(sizes, which >= 2, which % 2 === 1)),
  ),
  ...plainProducts,
];

const sums: readonly Case[] = [0, 1, 2, 3].map((which) => {
  const [transposeA, transposeB] = [which >= 2, which % 2 === 1];
  const { label, inputs } = product([5, 6, 7], transposeA, transposeB);
  return {
    label: `two of ${label}`,
    inputs: [...inputs, ...inputs],
    build: (a, b, c, d) =>
      e.matmulSum(
        [
          [a, b],
          [c, d],
        ],
        { transposeA, transposeB },
      ),
  };
});

interface Convolution {
  readonly x: Shape;
  readonly k: Shape;
  readonly stride: number;
  readonly padding: number;
  readonly interpreterOnly?: boolean;
}

/**
 * Every stride, padding and kernel on an image that is not square. The adapter gets every pair of stride
 * and kernel, under one padding or another.
 */
const VARIED: readonly Convolution[] = [1, 3, 5].flatMap((size, s) =>
  [0, 1, 3].flatMap((padding, p) =>
    [1, 2].map((stride) => ({
      x: [2, 3, 5, 37],
      k: [5, 3, size, size],
      stride,
      padding,
      interpreterOnly: p !== (s + stride - 1) % 3,
    })),
  ),
);

/**
 * Sizes around what a group of invocations computes: 4 channels of 256 pixels, 16 pixels of four times
 * as many channels as a subgroup has lanes, or tiles of workgroup memory of at most 64 by 128.
 */
const AROUND_TILES: readonly Convolution[] = [
  { x: [1, 1, 1, 1], k: [1, 1, 1, 1], stride: 1, padding: 0 },
  { x: [1, 2, 4, 5], k: [2, 2, 3, 1], stride: 3, padding: 1 },
  { x: [1, 4, 3, 5], k: [4, 4, 1, 1], stride: 1, padding: 0 },
  { x: [1, 5, 4, 4], k: [15, 5, 1, 1], stride: 1, padding: 0 },
  { x: [1, 17, 1, 17], k: [33, 17, 1, 1], stride: 1, padding: 0 },
  { x: [1, 3, 1, 257], k: [3, 3, 1, 1], stride: 1, padding: 0 },
];

/** 3×3 convolutions whose rows are whole vectors: one to eight to a tile, with channels around a subgroup's. */
const VECTOR_ROWS: readonly Convolution[] = [
  { x: [3, 1, 4, 4], k: [17, 1, 3, 3], stride: 1, padding: 1 },
  { x: [2, 17, 3, 8], k: [3, 17, 3, 3], stride: 1, padding: 1 },
  { x: [1, 3, 5, 16], k: [9, 3, 3, 3], stride: 1, padding: 1 },
  { x: [2, 2, 2, 32], k: [8, 2, 3, 3], stride: 1, padding: 1 },
  { x: [5, 4, 4, 8], k: [4, 4, 3, 3], stride: 1, padding: 1 },
  { x: [1, 2, 2, 12], k: [2, 2, 3, 3], stride: 1, padding: 1 },
];

/** A convolution of two tensors of which the shapes are given. */
type Build = (
  c: Convolution,
  y: Shape,
) => { readonly shapes: readonly Shape[]; readonly build: (a: Tensor, b: Tensor) => Tensor };

/** One node of the sum of two convolutions with the same settings. */
function together(a: Tensor, b: Tensor): Tensor {
  return apply(a.op, [...a.inputs, ...b.inputs], a.params);
}

/** Each convolution of one pair and, where its tiles are not plain ones, the sum of two. */
const convolutions = (list: readonly Convolution[], of: Build): Row => ({
  cases: list.flatMap((c): Case[] => {
    const y = e.conv2d(e.full(c.x, 0), e.full(c.k, 0), c).shape;
    const label = `x [${c.x.join(", ")}], k [${c.k.join(", ")}], stride ${c.stride}, padding ${c.padding}`;
    const { shapes, build } = of(c, y);
    const inputs = shapes.map((shape) => input(shape));
    const interpreterOnly = c.interpreterOnly === true;
    const one: Case = { label, interpreterOnly, inputs, build: (a, b) => build(a, b) };
    if (list === VARIED) return [one];
    const two: Case = {
      label: `${label}, of two pairs`,
      inputs: [...inputs, ...inputs],
      build: (a1, b1, a2, b2) => together(build(a1, b1), build(a2, b2)),
    };
    return [one, two];
  }),
  derivative: "multilinear",
});

/** The three convolutions, for the same images and kernels. */
const three = (list: readonly Convolution[]): Readonly<Record<string, Row>> => ({
  conv2d: convolutions(list, (c) => ({
    shapes: [c.x, c.k],
    build: (x, k) => e.conv2d(x, k, c),
  })),
  convInput: convolutions(list, (c, y) => ({
    shapes: [y, c.k],
    build: (g, k) => e.convInput(g, k, c.x.slice(2), c),
  })),
  convKernel: convolutions(list, (c, y) => ({
    shapes: [c.x, y],
    build: (x, g) => e.convKernel(x, g, c.k.slice(2), c),
  })),
});

/** Rows of the same ops, one after the other. */
function joined(...parts: readonly Readonly<Record<string, Row>>[]): Readonly<Record<string, Row>> {
  const names = Object.keys(parts[0]!);
  return Object.fromEntries(
    names.map((name): [string, Row] => {
      const cases = parts.flatMap((part) => part[name]!.cases);
      return [name, { ...parts[0]![name]!, cases }];
    }),
  );
}

const aroundTiles = joined(three(AROUND_TILES), three(VECTOR_ROWS));

/** Parts that divide evenly, leave a smaller last one, and leave one empty. */
const parts: readonly Case[] = [
  { images: 2, bands: 3, x: [4, 2, 3, 5] },
  { images: 3, bands: 2, x: [5, 3, 3, 4] },
  { images: 4, bands: 1, x: [5, 1, 4, 4] },
].map(({ images, bands, x }): Case => {
  const [n, c, h, w] = x as [number, number, number, number];
  return {
    label: `x [${x.join(", ")}], ${images} groups of images, ${bands} bands of rows`,
    inputs: [input(x), input([n, 2, h, w]), input(x), input([n, 2, h, w])],
    build: (...t) => {
      const [a, b] = [0, 2].map((i) =>
        e.convKernelParts(t[i]!, t[i + 1]!, [3, 3], { padding: 1, images, bands }),
      );
      return c === 1 ? e.add(a!, b!) : together(a!, b!);
    },
  };
});

export const linear: Readonly<Record<string, Row>> = {
  ...joined(three(VARIED), aroundTiles),
  convKernelParts: { cases: parts, derivative: "multilinear" },
  matmul: { cases: products, derivative: "multilinear" },
  matmulSum: { cases: sums, derivative: "multilinear" },
  linear: {
    cases: [
      {
        label: "with a bias",
        inputs: [input([4, 3]), input([5, 3]), input([5])],
        build: (x, w, b) => e.linear(x, w, b),
      },
      {
        label: "without",
        inputs: [input([1, 2]), input([3, 2])],
        build: (x, w) => e.linear(x, w),
      },
    ],
    derivative: "multilinear",
  },
};

/** What is enough for kernels of the same ops that the adapter at hand does not prefer. */
export const tiles: Readonly<Record<string, Row>> = {
  ...aroundTiles,
  matmul: { cases: plainProducts, derivative: "multilinear" },
};
