/** @file Rows of the folds, and of what is built from a fold of the last axis. */

import * as e from "../../../engine/index.ts";
import type { Shape, Tensor } from "../../../engine/index.ts";
import { distinct, input, normal, uniform, type Case, type Draw, type Row } from "./row.ts";

/**
 * Folds of up to 9 elements are written out; longer ones along memory get lanes of their own, one
 * invocation a row from 32 rows on.
 */
const FOLDS: readonly [Shape, readonly number[] | undefined][] = [
  [[], undefined],
  [[1], undefined],
  [[9], undefined],
  [[10], undefined],
  [[65], undefined],
  [[3, 4], []],
  [[3, 4], [0]],
  [[3, 4], [-1]],
  [
    [2, 3, 4],
    [0, 2],
  ],
  [[2, 3, 4], [1]],
  [
    [1, 3, 1],
    [0, 2],
  ],
  [[31, 10], [1]],
  [[32, 10], [1]],
  [[33, 11], [1]],
  [[10, 33], [0]],
  [
    [2, 12, 5],
    [1, 2],
  ],
  [
    [3, 11, 2, 12],
    [1, 3],
  ],
  [
    [11, 2, 1, 12],
    [0, 2, 3],
  ],
];

type Fold = (x: Tensor, axes?: readonly number[], keep?: boolean) => Tensor;

const folds = (f: Fold, draw: Draw, derivative: "smooth" | "multilinear"): Row => ({
  cases: FOLDS.flatMap(([shape, axes]): Case[] =>
    [false, true].map((keep) => ({
      label: `[${shape.join(", ")}] over ${axes?.join(", ") ?? "all"}${keep ? ", kept" : ""}`,
      inputs: [input(shape, draw)],
      build: (x) => f(x, axes, keep),
    })),
  ),
  derivative,
});

const rows = (f: (x: Tensor) => Tensor): Row => ({
  cases: ([[1], [2], [9], [10], [3, 10], [33, 11], [2, 3, 65]] as const).map((shape) => ({
    label: `[${shape.join(", ")}]`,
    inputs: [input(shape)],
    build: (x) => f(x),
  })),
});

export const reduce: Readonly<Record<string, Row>> = {
  sum: folds(e.sum, normal, "multilinear"),
  mean: folds(e.mean, uniform(0.5, 1.5), "multilinear"),
  max: folds(e.max, distinct(), "smooth"),
  softmax: rows(e.softmax),
  logSoftmax: rows(e.logSoftmax),
};
