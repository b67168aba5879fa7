/** @file Rows by number: gather, its adjoint scatterAdd, and rows replaced or added in place. */
import { Ix } from "../graph/ix.ts";
import { sameShape, ShapeError, showShape, sizeOf } from "../graph/shape.ts";
import {
  apply,
  requireFloat,
  type KernelOp,
  type LayoutOp,
  type Tensor,
  type UpdateOp,
} from "../graph/tensor.ts";
import { equal, toFloat, where } from "./elementwise.ts";
import { broadcastTo, reshape } from "./layout.ts";
import { iota } from "./source.ts";

/** Elements of one row of `x`, an entry along axis 0. */
const rowSize = (x: Tensor): number => sizeOf(x.shape.slice(1));

function checkIndex(op: string, index: Tensor, rank: number): void {
  if (index.dtype !== "u32" || index.rank !== rank)
    throw new ShapeError(
      `${op}: the index must be u32 of rank ${rank}, got ${index.dtype} ${showShape(index.shape)}`,
    );
}

const gatherOp: LayoutOp = {
  form: "layout",
  name: "gather",
  dtype: ([x]) => x!.dtype,
  shape([x, index]) {
    if (index!.dtype !== "u32" || index!.rank > 1 || x!.rank === 0)
      throw new ShapeError(
        `gather: needs x of rank ≥ 1 and a u32 index of rank 0 or 1, got x ${showShape(x!.shape)} and ${index!.dtype} ${showShape(index!.shape)}`,
      );
    return [...index!.shape, ...x!.shape.slice(1)];
  },
  vjp(g, [x, index], y) {
    const rows = index!.rank === 0 ? reshape(g, [1, ...y.shape]) : g;
    return [scatterAdd(rows, reshape(index!, [index!.size]), x!.shape[0]!), "constant"];
  },
  cpu([x, index], [tx], y) {
    const row = rowSize(tx!);
    const out = new Float64Array(y.size);
    index!.forEach((from, i) => {
      if (!(from < tx!.shape[0]!))
        throw new RangeError(`gather: indices must be below ${tx!.shape[0]}, got ${from}`);
      out.set(x!.subarray(from * row, (from + 1) * row), i * row);
    });
    return out;
  },
  read(index, [x, rows]) {
    const row = Ix.load(rows!, index.slice(0, rows!.rank), x!.shape[0]!);
    return [{ input: 0, index: [row, ...index.slice(rows!.rank)], when: [] }];
  },
};

/** Workgroups along y at most; further rows go along z. */
const TALL = 32768;

const scatterAddOp: KernelOp<{ rows: number }> = {
  form: "kernel",
  name: "scatterAdd",
  shape([g, index], { rows }) {
    requireFloat("scatterAdd", [g!]);
    checkIndex("scatterAdd", index!, 1);
    if (g!.rank === 0 || g!.shape[0] !== index!.size)
      throw new ShapeError(
        `scatterAdd: g needs one row for each index, got g ${showShape(g!.shape)} and index ${showShape(index!.shape)}`,
      );
    return [rows, ...g!.shape.slice(1)];
  },
  vjp: (h, [, index]) => [gather(h, index!), "constant"],
  cpu([g, index], [tg], y) {
    const row = rowSize(tg!);
    const out = new Float64Array(y.size);
    index!.forEach((to, i) => {
      for (let k = 0; k < row; k++) out[to * row + k]! += g![i * row + k]!;
    });
    return out;
  },
  kernels([g], y) {
    const ROWS = y.shape[0]!;
    const ROW = rowSize(y);
    const WIDTH = 64;
    const grid = [Math.ceil(ROW / WIDTH), Math.min(ROWS, TALL), Math.ceil(ROWS / TALL)] as const;
    const constants = { ROWS, ROW, COUNT: g!.shape[0]!, WIDTH };
    return [{ shader: "scatter_add", constants, grid, flops: g!.size }];
  },
};

const setRowOp: UpdateOp = {
  form: "update",
  name: "setRow",
  shape([x, row, value]) {
    requireFloat("setRow", [x!, value!]);
    checkIndex("setRow", row!, 0);
    if (x!.rank === 0 || !sameShape(x!.shape.slice(1), value!.shape))
      throw new ShapeError(
        `setRow: the value must have the shape of a row of ${showShape(x!.shape)}, got ${showShape(value!.shape)}`,
      );
    return x!.shape;
  },
  vjp(g, [x, row]) {
    const ones = x!.shape.slice(1).map(() => 1);
    const number = reshape(toFloat(iota(x!.shape[0]!)), [x!.shape[0]!, ...ones]);
    const hit = broadcastTo(equal(number, toFloat(row!)), x!.shape);
    return [where(hit, 0, g), "constant", gather(g, row!)];
  },
  cpu([x, row, value], [tx]) {
    const [at] = row!;
    if (!(at! < tx!.shape[0]!))
      throw new RangeError(`setRow: the row must be below ${tx!.shape[0]}, got ${at}`);
    const out = x!.slice();
    out.set(value!, at! * value!.length);
    return out;
  },
  write: (index, [x, row]) => [Ix.load(row!, [], x!.shape[0]!), ...index],
};

const addRowsOp: KernelOp = {
  form: "kernel",
  name: "addRows",
  updates: 0,
  shape([x, index, g]) {
    requireFloat("addRows", [x!, g!]);
    checkIndex("addRows", index!, 1);
    if (x!.rank === 0 || !sameShape([index!.size, ...x!.shape.slice(1)], g!.shape))
      throw new ShapeError(
        `addRows: g needs one row of ${showShape(x!.shape)} for each index, got g ${showShape(g!.shape)} and index ${showShape(index!.shape)}`,
      );
    return x!.shape;
  },
  vjp: (h, [, index]) => [h, "constant", gather(h, index!)],
  cpu([x, index, g], [tx]) {
    const row = rowSize(tx!);
    const out = x!.slice();
    index!.forEach((to, i) => {
      if (!(to < tx!.shape[0]!))
        throw new RangeError(`addRows: indices must be below ${tx!.shape[0]}, got ${to}`);
      for (let k = 0; k < row; k++) out[to * row + k]! += g![i * row + k]!;
    });
    return out;
  },
  kernels([x, index, g]) {
    const ROW = rowSize(x!);
    const COUNT = index!.size;
    const WIDTH = 64;
    const grid = [Math.ceil(ROW / WIDTH), Math.min(COUNT, TALL), Math.ceil(COUNT / TALL)] as const;
    return [{ shader: "add_rows", constants: { ROW, COUNT, WIDTH }, grid, flops: g!.size }];
  },
};

/**
 * Rows of x `[R, …]` by number: index `[B]` (u32) gives `[B, …]`, a scalar index one row `[…]`.
 * Indices must be below R: the interpreter throws, the adapter reads some row.
 * @throws ShapeError when the index is not u32 or has more than one axis.
 */
export function gather(x: Tensor, index: Tensor): Tensor {
  return apply(gatherOp, [x, index], {});
}

/**
 * `[rows, …]` with row g[i] added at index[i]: the adjoint of {@link gather}. Equal indices add
 * up in the order of i, so results repeat bit for bit.
 * @throws ShapeError when g `[B, …]` and index `[B]` do not fit.
 */
export function scatterAdd(g: Tensor, index: Tensor, rows: number): Tensor {
  return apply(scatterAddOp, [g, index], { rows });
}

/**
 * x `[R, …]` with the row of number `row` (u32 scalar) replaced by `value`. Assigned back to the
 * variable x, it writes that row alone.
 * @throws ShapeError when the value has not the shape of a row.
 */
export function setRow(x: Tensor, row: Tensor, value: Tensor): Tensor {
  return apply(setRowOp, [x, row, value], {});
}

/**
 * x `[R, …]` with row g[i] of g `[B, …]` added to row index[i] (u32 `[B]`), equal indices in the order
 * of i. Assigned back to the variable x, it touches those rows alone.
 * @throws ShapeError when g has not one row of x for each index.
 */
export function addRows(x: Tensor, index: Tensor, g: Tensor): Tensor {
  return apply(addRowsOp, [x, index, g], {});
}
