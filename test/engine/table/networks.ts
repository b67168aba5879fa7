/** @file Rows of losses, norms and pools. */

import * as e from "../../../engine/index.ts";
import type { PoolOptions, Shape, Tensor } from "../../../engine/index.ts";
import {
  constant,
  distinct,
  indices,
  input,
  normal,
  uniform,
  type Case,
  type Draw,
  type Row,
} from "./row.ts";

const LOGITS: readonly Shape[] = [
  [1, 2],
  [3, 10],
  [5, 65],
];

const losses = (of: (shape: Shape) => Pick<Case, "inputs" | "build">): readonly Case[] =>
  LOGITS.map((shape) => ({ label: `[${shape.join(", ")}]`, ...of(shape) }));

const IMAGES: readonly Shape[] = [
  [2, 4, 3, 5],
  [1, 8, 2, 2],
  [40, 2, 5, 7],
];

/** Positive, and 1 together. */
const shares: Draw = (random, shape) => {
  const parts = uniform(0, 1)(random, shape) as Float32Array;
  const whole = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / whole);
};

const joined = ({ mean, variance }: e.Moments): Tensor => e.concat([mean, variance]);

type Norm = (x: Tensor, scale: Tensor, shift: Tensor) => Tensor;

/** A norm with a scale and a shift of the shape that `affine` gives for the images. */
const norms = (
  f: Norm,
  affine: (x: Shape) => Shape = (x) => [x[1]!],
  images: readonly Shape[] = IMAGES,
): Row => ({
  cases: images.map((shape) => ({
    label: `[${shape.join(", ")}], scale [${affine(shape).join(", ")}]`,
    inputs: [input(shape), input(affine(shape)), input(affine(shape))],
    build: (x, scale, shift) => f(x, scale, shift),
  })),
});

const POOLS: readonly [Shape, PoolOptions][] = [
  [[1, 1, 1, 1], { size: 1 }],
  [[2, 3, 4, 6], { size: 2 }],
  [[2, 2, 5, 7], { size: 2 }],
  [[1, 2, 6, 3], { size: 3 }],
  [[2, 2, 5, 6], { size: 3, stride: 1 }],
  [[1, 2, 7, 5], { size: 3, stride: 2, padding: 1 }],
  [[2, 1, 4, 4], { size: 2, stride: 2, padding: 1 }],
  [[1, 3, 6, 5], { size: 2, stride: 1, padding: 1 }],
];

const pools = (
  f: (x: Tensor, options: PoolOptions) => Tensor,
  draw: Draw,
  row: Partial<Row>,
): Row => ({
  cases: POOLS.map(([shape, options]) => ({
    label: `[${shape.join(", ")}] by ${JSON.stringify(options)}`,
    inputs: [input(shape, draw)],
    build: (x) => f(x, options),
  })),
  ...row,
});

export const networks: Readonly<Record<string, Row>> = {
  crossEntropy: {
    cases: losses((shape) => ({
      inputs: [input(shape), input(shape, uniform(0, 1))],
      build: (z, t) => e.crossEntropy(z, t),
    })),
  },
  softCrossEntropy: {
    cases: losses((shape) => ({
      inputs: [input(shape), input(shape)],
      build: (z, labels) => e.softCrossEntropy(z, labels),
    })),
  },
  hardCrossEntropy: {
    cases: losses((shape) => ({
      inputs: [input(shape), constant([shape[0]!], indices(shape[1]!))],
      build: (z, labels) => e.hardCrossEntropy(z, labels),
    })),
  },
  oneHot: {
    cases: losses(([n, k]) => ({
      inputs: [constant([n!], indices(k!))],
      build: (labels) => e.oneHot(labels, k!),
    })),
    derivative: "none",
  },
  standardise: {
    cases: (
      [
        [[5], [0]],
        [[33, 12], [1]],
        [
          [4, 3, 12],
          [0, 2],
        ],
        [
          [2, 3, 4, 4],
          [1, 2, 3],
        ],
      ] as const
    ).map(([shape, axes]) => ({
      label: `[${shape.join(", ")}] over ${axes.join(", ")}`,
      inputs: [input(shape)],
      build: (x) => e.standardise(x, axes),
    })),
  },
  groupNorm: norms((x, scale, shift) => e.groupNorm(x, 2, scale, shift)),
  instanceNorm: norms(e.instanceNorm),
  batchNorm: {
    cases: [
      ...norms((x, scale, shift) => e.batchNorm(x, scale, shift)).cases,
      {
        label: "[3, 2, 4, 5] with weighted statistics",
        inputs: [input([3, 2, 4, 5]), input([2]), input([2]), input([3], shares)],
        build: (x, scale, shift, w) => e.batchNorm(x, scale, shift, e.batchMoments(x, w)),
      },
      {
        label: "[2, 3, 4, 4] with given statistics",
        inputs: [
          ...[[2, 3, 4, 4], [3], [3], [3]].map((shape) => input(shape)),
          input([3], uniform(0.5, 2)),
        ],
        build: (x, scale, shift, mean, variance) =>
          e.batchNorm(x, scale, shift, { mean: mean, variance: variance }),
      },
    ],
  },
  batchMoments: {
    cases: IMAGES.flatMap((shape) => [
      {
        label: `[${shape.join(", ")}]`,
        inputs: [input(shape)],
        build: (x) => joined(e.batchMoments(x)),
      },
      {
        label: `[${shape.join(", ")}], weighted`,
        inputs: [input(shape), input([shape[0]!], shares)],
        build: (x, w) => joined(e.batchMoments(x, w)),
      },
    ]),
  },
  layerNorm: norms(e.layerNorm, (x) => x.slice(-3), [...IMAGES, [5, 1, 1, 13]]),
  avgPool: pools(e.avgPool, normal, { derivative: "multilinear" }),
  maxPool: pools(e.maxPool, distinct(2), {}),
};
