/** @file What errors say, and that they come where the wrong line is: when a graph is traced. */

import { describe, expect, test } from "vitest";

import * as e from "../../engine/index.ts";
import {
  interpret,
  Program,
  ShapeError,
  type DType,
  type Shape,
  type Tensor,
} from "../../engine/index.ts";
import { apply } from "../../engine/graph/tensor.ts";
import { sharedGpu } from "../support/gpu.ts";

const of = (shape: Shape, dtype: DType = "f32") => e.variable("t", shape, dtype);
/** One node of two convolutions with the settings of the first. */
const together = (a: Tensor, b: Tensor) => apply(a.op, [...a.inputs, ...b.inputs], a.params);
const index = (...shape: number[]) => of(shape, "u32");

/** A wrong line and what is said about it. */
type Wrong = readonly [() => unknown, string];

const shapes: readonly Wrong[] = [
  [() => of([2, 0]), "variable: every axis must have at least one element, got [2, 0]"],
  [() => e.iota(0), "iota: every axis must have at least one element, got [0]"],
  [() => e.add(of([2, 3]), of([2])), "add: shapes must broadcast, got [2, 3] and [2]"],
  [
    () => e.where(of([2]), of([3]), of([1])),
    "where: shapes must broadcast, got [2] and [3] and [1]",
  ],
  [
    () => e.addIndex(index(2), index(3)),
    "addIndex: operands must be u32 of one shape, got u32 [2] and u32 [3]",
  ],
  [
    () => e.subIndex(of([2]), 1),
    "subIndex: operands must be u32 of one shape, got f32 [2] and u32 [2]",
  ],
  [
    () => e.reshape(of([2, 3]), [4, 2]),
    "reshape: the number of elements must stay, got [2, 3] to [4, 2]",
  ],
  [
    () => e.reshape(of([2, 3]), [4, -1]),
    "reshape: every axis must have at least one element, got [4, 1.5]",
  ],
  [
    () => e.permute(of([2, 3]), [0, 0]),
    "permute: axes must be distinct and below the rank 2, got [0, 0]",
  ],
  [() => e.permute(of([2, 3]), [0]), "permute: axes must name every axis of [2, 3] once, got [0]"],
  [
    () => e.broadcastTo(of([2, 3]), [3]),
    "broadcastTo: [2, 3] must fit into [3] by repeating axes of size 1",
  ],
  [
    () => e.slice(of([2, 3]), [0, 2], [2, 2]),
    "slice: the window must lie inside [2, 3], got start [0, 2], size [2, 2], step [1, 1]",
  ],
  [
    () => e.slice(of([4, 2]), [0], [2]),
    "slice: the window must lie inside [4, 2], got start [0], size [2], step [1]",
  ],
  [
    () => e.slice(of([4]), [0], [4], [0]),
    "slice: the window must lie inside [4], got start [0], size [4], step [0]",
  ],
  [
    () => e.pad(of([2, 3]), { before: [1] }),
    "pad: before, after and between need one count ≥ 0 for each axis of [2, 3], got [1], [0, 0], [0, 0]",
  ],
  [
    () => e.pad(of([2]), { after: [-1] }),
    "pad: before, after and between need one count ≥ 0 for each axis of [2], got [0], [-1], [0]",
  ],
  [() => e.flip(of([2]), [1]), "flip: axes must be distinct and below the rank 1, got [1]"],
  [() => e.concat([]), "concat: at least one tensor must be given, got none"],
  [
    () => e.concat([of([2, 3]), of([2, 4])]),
    "concat: shapes must agree but for axis 0, got [2, 3] and [2, 4]",
  ],
  [() => e.concat([of([2])], 1), "concat: axes must be distinct and below the rank 1, got [1]"],
  [() => e.sum(of([2, 3]), [2]), "sum: axes must be distinct and below the rank 2, got [2]"],
  [
    () => e.max(of([2, 3]), [1, -1]),
    "max: axes must be distinct and below the rank 2, got [1, -1]",
  ],
  [() => e.matmul(of([2]), of([2, 3])), "matmul: operands must be matrices, got [2] and [2, 3]"],
  [() => e.matmul(of([2, 3]), of([2, 3])), "matmul: inner sizes must agree, got [2, 3] and [2, 3]"],
  [
    () => e.matmul(of([2, 3]), of([3, 4]), { transposeA: true, transposeB: true }),
    "matmul: inner sizes must agree, got [2, 3]ᵀ and [3, 4]ᵀ",
  ],
  [
    () =>
      e.matmulSum([
        [of([2, 3]), of([3, 4])],
        [of([2, 5]), of([5, 4])],
      ]),
    "matmulSum: both products must have the same sizes, got [2, 3] · [3, 4] and [2, 5] · [5, 4]",
  ],
  [
    () => e.linear(of([2, 3]), of([4, 5])),
    "matmul: inner sizes must agree, got [2, 3] and [4, 5]ᵀ",
  ],
  [
    () => e.conv2d(of([3, 4, 4]), of([1, 3, 3, 3])),
    "conv2d: arguments must have four axes, got x [3, 4, 4], k [1, 3, 3, 3]",
  ],
  [
    () => e.conv2d(of([100, 3, 32, 32]), of([128, 1, 3, 3])),
    "conv2d: channels of x and k must agree, got x [100, 3, 32, 32], k [128, 1, 3, 3]",
  ],
  [
    () => e.conv2d(of([1, 3, 2, 2]), of([8, 3, 5, 5]), { padding: 1 }),
    "conv2d: the kernel must fit into the padded image, got x [1, 3, 2, 2], k [8, 3, 5, 5], padding 1",
  ],
  [
    () => e.conv2d(of([1, 3, 4, 4]), of([8, 3, 3, 3]), { stride: 0 }),
    "conv2d: stride must be a whole number ≥ 1 and padding one ≥ 0, got 0 and 0",
  ],
  [
    () =>
      together(
        e.conv2d(of([1, 3, 4, 4]), of([8, 3, 3, 3])),
        e.conv2d(of([2, 3, 4, 4]), of([8, 3, 3, 3])),
      ),
    "conv2d: both pairs must have the same shapes, got [1, 3, 4, 4], [8, 3, 3, 3], [2, 3, 4, 4], [8, 3, 3, 3]",
  ],
  [
    () => {
      const { op, params } = e.conv2d(of([1, 3, 4, 4]), of([8, 3, 3, 3]));
      return apply(op, [of([1, 3, 4, 4])], params);
    },
    "conv2d: inputs must be two or four, got 1",
  ],
  [
    () => e.convKernelParts(of([2, 3, 4, 4]), of([2, 8, 2, 2]), [3, 3], { images: 0, bands: 1.5 }),
    "convKernelParts: images and bands must be whole numbers ≥ 1, got 0 and 1.5",
  ],
  [
    () => e.convInput(of([1, 8, 4, 4]), of([8, 3, 3, 3]), [4, 4]),
    "convInput: g must have the shape [1, 8, 2, 2], got x [1, 3, 4, 4], k [8, 3, 3, 3] and g [1, 8, 4, 4]",
  ],
  [
    () => e.convKernel(of([1, 3, 4, 4]), of([1, 8, 4, 4]), [3, 3]),
    "convKernel: g must have the shape [1, 8, 2, 2], got x [1, 3, 4, 4], k [8, 3, 3, 3] and g [1, 8, 4, 4]",
  ],
  [
    () => e.gather(of([4, 2]), of([3])),
    "gather: needs x of rank ≥ 1 and a u32 index of rank 0 or 1, got x [4, 2] and f32 [3]",
  ],
  [
    () => e.scatterAdd(of([3, 2]), index(4), 5),
    "scatterAdd: g needs one row for each index, got g [3, 2] and index [4]",
  ],
  [
    () => e.scatterAdd(of([3, 2]), of([3]), 5),
    "scatterAdd: the index must be u32 of rank 1, got f32 [3]",
  ],
  [
    () => e.addRows(of([4, 2]), index(3), of([2, 2])),
    "addRows: g needs one row of [4, 2] for each index, got g [2, 2] and index [3]",
  ],
  [
    () => e.addRows(of([4, 2]), index(), of([2])),
    "addRows: the index must be u32 of rank 1, got u32 []",
  ],
  [
    () => e.setRow(of([4, 2]), index(), of([3])),
    "setRow: the value must have the shape of a row of [4, 2], got [3]",
  ],
  [
    () => e.setRow(of([]), index(), of([])),
    "setRow: the value must have the shape of a row of [], got []",
  ],
  [
    () => e.setRow(of([4, 2]), index(1), of([2])),
    "setRow: the index must be u32 of rank 0, got u32 [1]",
  ],
  [
    () => e.crossEntropy(of([2, 3]), of([2])),
    "crossEntropy: logits and targets must both be [N, K], got [2, 3] and [2]",
  ],
  [
    () => e.hardCrossEntropy(of([2, 3]), index(4)),
    "crossEntropy: logits and targets must both be [N, K], got [2, 3] and [4, 3]",
  ],
  [() => e.oneHot(of([2]), 3), "oneHot: labels must be u32 [N], got f32 [2]"],
  [
    () => e.groupNorm(of([1, 6, 2, 2]), 4, of([6]), of([6])),
    "groupNorm: 4 groups must divide the channels of [N, C, H, W], got [1, 6, 2, 2]",
  ],
  [
    () => e.groupNorm(of([1, 6, 2]), 3, of([6]), of([6])),
    "groupNorm: 3 groups must divide the channels of [N, C, H, W], got [1, 6, 2]",
  ],
  [
    () => e.batchNorm(of([1, 6, 2]), of([6]), of([6])),
    "batchNorm: x must be [N, C, H, W], got [1, 6, 2]",
  ],
  [
    () => e.batchMoments(of([2, 6, 2])),
    "batchMoments: x must be [N, C, H, W] and weights [N], got [2, 6, 2]",
  ],
  [
    () => e.batchMoments(of([2, 6, 2, 2]), of([6])),
    "batchMoments: x must be [N, C, H, W] and weights [N], got [2, 6, 2, 2] and [6]",
  ],
  [
    () => e.layerNorm(of([2, 3]), of([2]), of([2])),
    "layerNorm: scale must have the shape of the last axes of x, got [2] and [2, 3]",
  ],
  [
    () => e.avgPool(of([1, 1, 2, 2]), { size: 3 }),
    "avgPool: a window of 3 with padding 0 must fit into [N, C, H, W], got [1, 1, 2, 2]",
  ],
  [
    () => e.maxPool(of([1, 1, 4, 4]), { size: 2, padding: 2 }),
    "maxPool: a window of 2 with padding 2 must fit into [N, C, H, W], got [1, 1, 4, 4]",
  ],
  [
    () => e.maxPool(of([4, 4]), { size: 2 }),
    "maxPool: a window of 2 with padding 0 must fit into [N, C, H, W], got [4, 4]",
  ],
];

const types: readonly Wrong[] = [
  [() => e.add(index(2), 1), "add: operands must be f32, got u32 [2] (use toFloat)"],
  [() => e.sum(index(2)), "sum: operands must be f32, got u32 [2] (use toFloat)"],
  [
    () => e.matmul(index(2, 2), of([2, 2])),
    "matmul: operands must be f32, got u32 [2, 2] (use toFloat)",
  ],
  [
    () => e.conv2d(of([1, 1, 2, 2]), index(1, 1, 1, 1)),
    "conv2d: operands must be f32, got u32 [1, 1, 1, 1] (use toFloat)",
  ],
  [
    () => e.setRow(index(2), index(), of([])),
    "setRow: operands must be f32, got u32 [2] (use toFloat)",
  ],
  [() => e.concat([of([2]), index(2)]), "concat: types must agree, got f32 and u32"],
];

const values: readonly Wrong[] = [
  [
    () => e.variable("repeat", []),
    'variable: a name must not be that of the repetition\'s number, got "repeat" []',
  ],
  [() => e.variable("1x", [2]), 'variable: a name must be letters, digits, _ and ., got "1x" [2]'],
  [() => e.full([2], NaN), "full: a constant must be a finite f32, got NaN"],
  [() => e.mul(of([2]), 1e39), "full: a constant must be a finite f32, got 1e+39"],
  [() => e.full([2], -1, "u32"), "full: a constant must be a finite u32, got -1"],
  [() => interpret([of([2])]), "interpret: variable t [2] needs 2 values, got none"],
  [() => interpret([of([2])], { t: [1] }), "interpret: variable t [2] needs 2 values, got 1"],
  [
    () => interpret([e.gather(e.full([2], 1), index(1))], { t: [2] }),
    "gather: indices must be below 2, got 2",
  ],
  [
    () => interpret([e.addRows(e.full([2], 1), index(1), e.full([1], 1))], { t: [2] }),
    "addRows: indices must be below 2, got 2",
  ],
  [
    () => interpret([e.setRow(e.full([2], 1), index(), e.full([], 1))], { t: [2] }),
    "setRow: the row must be below 2, got 2",
  ],
];

describe("a wrong shape", () => {
  test.each(shapes.map(([line, text]) => ({ line, text })))("is a ShapeError: $text", (wrong) => {
    expect(wrong.line).toThrow(new ShapeError(wrong.text));
    expect(wrong.line).toThrow(ShapeError);
  });
});

describe("a wrong type", () => {
  test.each(types.map(([line, text]) => ({ line, text })))("is a TypeError: $text", (wrong) => {
    expect(wrong.line).toThrow(new TypeError(wrong.text));
    expect(wrong.line).toThrow(TypeError);
  });
});

describe("a wrong value", () => {
  test.each(values.map(([line, text]) => ({ line, text })))("is a RangeError: $text", (wrong) => {
    expect(wrong.line).toThrow(new RangeError(wrong.text));
    expect(wrong.line).toThrow(RangeError);
  });
});

describe("a program", () => {
  const gpu = sharedGpu();
  const x = e.variable("x", [2, 3]);
  const rows = e.variable("rows", [4], "u32");
  const main = { y: e.gather(x, rows) };

  test("refuses values of another number or type, and names it does not have", async () => {
    using program = await Program.compile(gpu(), { main });
    const write = (name: string, data: e.HostData) => () => program.write(name, data);
    expect(write("x", new Float32Array(5))).toThrow(
      new RangeError("write: x is f32 [2, 3], got 5 f32 values"),
    );
    expect(write("x", new Uint32Array(6))).toThrow(
      new RangeError("write: x is f32 [2, 3], got 6 u32 values"),
    );
    expect(write("rows", new Float32Array(4))).toThrow(
      new RangeError("write: rows is u32 [4], got 4 f32 values"),
    );
    expect(write("z", new Float32Array(6))).toThrow(
      new RangeError("program: the name must be one of x, rows, y, got z"),
    );
    await expect(program.read("y", "z")).rejects.toThrow(
      new RangeError("program: the name must be one of x, rows, y, got z"),
    );
  });

  test("refuses to run a procedure it does not have", async () => {
    using program = await Program.compile(gpu(), { main, other: { y: e.neg(main.y) } });
    expect(() => program.run("step")).toThrow(
      new RangeError("program: the procedure must be one of main, other, got step"),
    );
  });

  test.each([
    [
      "a variable of two shapes in one procedure",
      { main: { y: e.sum(x), z: e.sum(e.variable("x", [3, 2])) } },
      "compile: x must keep its shape, got f32 [2, 3] and f32 [3, 2]",
    ],
    [
      "a variable of two shapes in two procedures",
      { one: { y: e.sum(x) }, two: { z: e.sum(e.variable("x", [6])) } },
      "compile: x must keep its shape, got f32 [2, 3] and f32 [6]",
    ],
    [
      "a variable of two types",
      { one: { y: x }, two: { z: e.variable("x", [2, 3], "u32") } },
      "compile: x must keep its shape, got f32 [2, 3] and u32 [2, 3]",
    ],
    [
      "a value that does not fit its variable",
      { main: { x: e.sum(x, [0]) } },
      "compile: x must keep its shape, got f32 [2, 3] and f32 [3]",
    ],
    [
      "a variable of two shapes even where simplifying drops one",
      { main: { y: x, z: e.mul(e.variable("x", [6]), 0) } },
      "compile: x must keep its shape, got f32 [2, 3] and f32 [6]",
    ],
  ] as const)("refuses %s", async (_, procedures, text) => {
    await expect(Program.compile(gpu(), procedures)).rejects.toThrow(new ShapeError(text));
  });
});
