/** @file Rows of the matrix products and of the three convolutions. */

import * as e from "../../../engine/index.ts";
import type { Shape, Tensor } from "../../../engine/index.ts";
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
 * Sizes around what a group of invocations computes: 4 channels of 256 pixels, or 16 pixels of
 * twice as many channels as a subgroup has lanes.
 */
const AROUND_TILES: readonly Convolution[] = [
  { x: [1, 1, 1, 1], k: [1, 1, 1, 1], stride: 1, padding: 0 },
  { x: [1, 2, 4, 5], k: [2, 2, 3, 1], stride: 3, padding: 1 },
  { x: [1, 4, 3, 5], k: [4, 4, 1, 1], stride: 1, padding: 0 },
  { x: [1, 5, 4, 4], k: [15, 5, 1, 1], stride: 1, padding: 0 },
  { x: [1, 17, 1, 17], k: [16, 17, 1, 1], stride: 1, padding: 0 },
  { x: [1, 3, 1, 257], k: [3, 3, 1, 1], stride: 1, padding: 0 },
];

type Build = (c: Convolution, y: Shape) => Pick<Case, "inputs" | "build">;

const convolutions = (list: readonly Convolution[], of: Build): Row => ({
  cases: list.map((c) => {
    const y = e.conv2d(e.full(c.x, 0), e.full(c.k, 0), c).shape;
    const label = `x [${c.x.join(", ")}], k [${c.k.join(", ")}], stride ${c.stride}, padding ${c.padding}`;
    return { label, interpreterOnly: c.interpreterOnly === true, ...of(c, y) };
  }),
  derivative: "multilinear",
});

const two = (f: (a: Tensor, b: Tensor) => Tensor) => (a?: Tensor, b?: Tensor) => f(a!, b!);

/** The three convolutions, for the same images and kernels. */
const three = (list: readonly Convolution[]): Readonly<Record<string, Row>> => ({
  conv2d: convolutions(list, (c) => ({
    inputs: [input(c.x), input(c.k)],
    build: two((x, k) => e.conv2d(x, k, c)),
  })),
  convInput: convolutions(list, (c, y) => ({
    inputs: [input(y), input(c.k)],
    build: two((g, k) => e.convInput(g, k, c.x.slice(2), c)),
  })),
  convKernel: convolutions(list, (c, y) => ({
    inputs: [input(c.x), input(y)],
    build: two((x, g) => e.convKernel(x, g, c.k.slice(2), c)),
  })),
});

export const linear: Readonly<Record<string, Row>> = {
  ...three([...VARIED, ...AROUND_TILES]),
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
  ...three(AROUND_TILES),
  matmul: { cases: plainProducts, derivative: "multilinear" },
};
