/** @file Rows of the ops that move elements, gather and scatter among them. */

import * as e from "../../../engine/index.ts";
import type { Shape, Tensor } from "../../../engine/index.ts";
import { constant, indices, input, type Case, type Draw, type Row } from "./row.ts";

const row = (...cases: Case[]): Row => ({ cases, derivative: "multilinear" });

const one = (label: string, shape: Shape, f: (x: Tensor) => Tensor): Case => ({
  label,
  inputs: [input(shape)],
  build: (x) => f(x),
});

const gather = (label: string, shape: Shape, index: Shape): Case => ({
  label,
  inputs: [input(shape), constant(index, indices(shape[0]!))],
  build: (x, i) => e.gather(x, i),
});

const scatterAdd = (label: string, shape: Shape, rows: number): Case => ({
  label,
  inputs: [input(shape), constant([shape[0]!], indices(rows))],
  build: (g, i) => e.scatterAdd(g, i, rows),
});

const setRow = (label: string, shape: Shape): Case => ({
  label,
  inputs: [input(shape), constant([], indices(shape[0]!)), input(shape.slice(1))],
  build: (x, i, value) => e.setRow(x, i, value),
});

const addRows = (label: string, shape: Shape, count: number): Case => ({
  label,
  inputs: [input(shape), constant([count], indices(shape[0]!)), input([count, ...shape.slice(1)])],
  build: (x, index, g) => e.addRows(x, index, g),
});

const concat = (label: string, shapes: readonly Shape[], axis: number): Case => ({
  label,
  inputs: shapes.map((shape) => input(shape)),
  build: (...parts) => e.concat(parts, axis),
});

/** Whole multiples of 1/64: a kernel finds positions as exactly as the interpreter. */
const near =
  (linear: readonly number[], spread: number, shift: number): Draw =>
  (random, [n]) =>
    Float32Array.from({ length: n! * 6 }, (_, k) => {
      const within = (most: number): number => (random.below(2 * most * 64 + 1) - most * 64) / 64;
      const [row, column] = [k % 6 < 3 ? 0 : 1, k % 3];
      return column === 2 ? within(shift) : linear[2 * row + column]! + within(spread);
    });

const MAPS: readonly [label: string, map: Draw][] = [
  ["nothing", near([1, 0, 0, 1], 0, 0)],
  ["a shift", near([1, 0, 0, 1], 0, 3)],
  ["a flip", near([1, 0, 0, -1], 0, 0)],
  ["a quarter turn", near([0, -1, 1, 0], 0, 0)],
  ["any maps", near([1, 0, 0, 1], 1, 2)],
  ["enlargement", near([0.25, 0, 0, 0.25], 0, 1)],
  ["maps onto a line", near([0.5, 1, 0.25, 0.5], 0, 1)],
  ["maps onto a point", near([0, 0, 0, 0], 0, 1)],
  ["maps out of the image", near([1, 0, 0, 1], 0, 20)],
];

const mapped = (f: (x: Tensor, map: Tensor) => Tensor): Row =>
  row(
    ...MAPS.flatMap(([label, map]) =>
      [
        [3, 2, 5, 8],
        [2, 1, 4, 4],
      ].map((shape) => ({
        label: `${label} of [${shape.join(", ")}]`,
        inputs: [input(shape), constant([shape[0]!, 2, 3], map)],
        build: f,
      })),
    ),
    {
      label: "images of several workgroups",
      inputs: [input([2, 3, 9, 11]), constant([2, 2, 3], near([1, 0, 0, 1], 0.5, 2))],
      build: f,
    },
    {
      label: "a single pixel",
      inputs: [input([1, 2, 1, 1]), constant([1, 2, 3], near([1, 0, 0, 1], 1, 0))],
      build: f,
    },
  );

export const layout: Readonly<Record<string, Row>> = {
  reshape: row(
    one("[2, 3, 4] to [4, 6]", [2, 3, 4], (x) => e.reshape(x, [4, 6])),
    one("[5] to [1, 5, 1] by −1", [5], (x) => e.reshape(x, [1, -1, 1])),
    one("[1, 1] to a scalar", [1, 1], (x) => e.reshape(x, [])),
    // A chain that only index arithmetic over split axes can undo.
    one("[4, 6] by way of another order", [4, 6], (x) =>
      e.reshape(e.permute(e.reshape(x, [2, 2, 3, 2]), [3, 0, 2, 1]), [8, 3]),
    ),
  ),
  permute: row(
    one("[2, 3, 4] by (2, 0, 1)", [2, 3, 4], (x) => e.permute(x, [2, 0, 1])),
    one("[1, 3, 1] by (2, 1, 0)", [1, 3, 1], (x) => e.permute(x, [-1, 1, 0])),
    one("[2, 3, 2, 2] by (1, 0, 3, 2)", [2, 3, 2, 2], (x) => e.permute(x, [1, 0, 3, 2])),
  ),
  transpose: row(
    one("[1, 1]", [1, 1], e.transpose),
    one("[2, 5]", [2, 5], e.transpose),
    one("[65, 3]", [65, 3], e.transpose),
  ),
  broadcastTo: row(
    one("[] to [2, 3]", [], (x) => e.broadcastTo(x, [2, 3])),
    one("[3, 1] to [2, 3, 4]", [3, 1], (x) => e.broadcastTo(x, [2, 3, 4])),
    one("[1, 3, 1, 2] to [2, 3, 12, 2]", [1, 3, 1, 2], (x) => e.broadcastTo(x, [2, 3, 12, 2])),
    one("[1] to [1, 1, 1]", [1], (x) => e.broadcastTo(x, [1, 1, 1])),
  ),
  slice: row(
    one("the middle of [7]", [7], (x) => e.slice(x, [2], [3])),
    one("every second of [5, 6]", [5, 6], (x) => e.slice(x, [0, 1], [3, 2], [2, 3])),
    one("a row of [4, 3]", [4, 3], (x) => e.slice(x, [2, 0], [1, 3])),
    one("a point of [2, 2, 2]", [2, 2, 2], (x) => e.slice(x, [1, 0, 1], [1, 1, 1], [2, 3, 4])),
  ),
  pad: row(
    one("both ends of [3]", [3], (x) => e.pad(x, { before: [2], after: [1] })),
    one("between the elements of [3, 2]", [3, 2], (x) => e.pad(x, { between: [2, 1] })),
    one("all three on [2, 1, 3]", [2, 1, 3], (x) =>
      e.pad(x, { before: [1, 0, 2], after: [0, 2, 1], between: [1, 3, 2] }),
    ),
    one("a pad of a pad of [2, 3]", [2, 3], (x) =>
      e.pad(e.pad(x, { before: [1, 0], between: [0, 1] }), { after: [2, 1], between: [2, 0] }),
    ),
  ),
  flip: row(
    one("[5]", [5], (x) => e.flip(x, [0])),
    one("the outer axes of [2, 3, 4]", [2, 3, 4], (x) => e.flip(x, [0, -1])),
    one("no axis of [3]", [3], (x) => e.flip(x, [])),
  ),
  concat: row(
    concat("[2], [1] and [3]", [[2], [1], [3]], 0),
    concat(
      "[2, 3] and [2, 1] along the last axis",
      [
        [2, 3],
        [2, 1],
      ],
      -1,
    ),
    concat(
      "[2, 1, 2] and [2, 4, 2] along the middle",
      [
        [2, 1, 2],
        [2, 4, 2],
      ],
      1,
    ),
    concat("a single tensor", [[2, 2]], 0),
    // More than four are joined in a tree.
    concat(
      "18 tensors",
      Array.from({ length: 18 }, (_, i) => [1 + (i % 3), 2]),
      0,
    ),
  ),
  stored: row(
    one("[3, 4]", [3, 4], (x) => e.stored(e.mul(x, 2))),
    // Kernels read contiguous parts of what is stored where it lies.
    one("halves of [4, 6] multiplied", [4, 6], (x) => {
      const kept = e.stored(e.mul(x, 2));
      return e.matmul(e.slice(kept, [1, 0], [1, 6]), e.slice(kept, [2, 0], [2, 6]), {
        transposeB: true,
      });
    }),
  ),
  gather: row(
    gather("six rows of [4, 3]", [4, 3], [6]),
    gather("one row of [4, 3, 2] by a scalar", [4, 3, 2], []),
    gather("65 elements of [5]", [5], [65]),
    gather("the only row of [1, 2]", [1, 2], [1]),
  ),
  // In the table a procedure runs once: its number is 0.
  repeat: row(
    one("a row of [4, 3]", [4, 3], (x) => e.gather(x, e.addIndex(e.repeat(), 2))),
    one("a row set by a kernel of its own", [3, 2], (x) =>
      e.setRow(x, e.repeat(), e.reshape(e.slice(x, [1, 0], [1, 2]), [2])),
    ),
  ),
  resample: mapped(e.resample),
  splat: mapped(e.splat),
  scatterAdd: row(
    scatterAdd("six rows into 3", [6, 3], 3),
    scatterAdd("65 numbers into 4", [65], 4),
    scatterAdd("rows of 63", [5, 63], 2),
    scatterAdd("rows of 64", [5, 64], 2),
    scatterAdd("rows of 65", [5, 5, 13], 2),
    scatterAdd("one row into 1", [1, 2], 1),
  ),
  addRows: row(
    addRows("six rows to [3]", [3], 6),
    addRows("one row to [4, 3]", [4, 3], 1),
    addRows("more rows than there are", [2, 65], 9),
    addRows("rows of 63", [5, 63], 3),
    addRows("rows of 64", [5, 8, 8], 3),
  ),
  setRow: row(
    setRow("of [4, 3]", [4, 3]),
    setRow("an element of [5]", [5]),
    setRow("the only row of [1, 2]", [1, 2]),
    setRow("of [3, 63]", [3, 63]),
    setRow("of [3, 8, 8]", [3, 8, 8]),
    setRow("of [3, 65]", [3, 65]),
    {
      label: "of a part of [4, 3]",
      inputs: [input([4, 3]), constant([], indices(2)), input([3])],
      build: (x, i, value) => e.setRow(e.slice(x, [1, 0], [2, 3]), i, value),
    },
  ),
};
