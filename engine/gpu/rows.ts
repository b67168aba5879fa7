/** @file Which folds run along rows of memory, so that a region can hold them. */
import { sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Folds of at most this many elements belong to whoever needs them, not to a row. */
export const LONGEST_INLINE = 9;

/** Elements folded into one. */
export function foldLength(t: Tensor): number {
  return t.inputs[0]!.size / t.size;
}

/** Whether `t` folds its input's last axes, more than a few elements: one result a run of memory. */
export function isRowFold(t: Tensor): boolean {
  if (t.op.form !== "reduce" || foldLength(t) <= LONGEST_INLINE) return false;
  const shape = t.inputs[0]!.shape;
  const axes = t.params["axes"] as readonly number[];
  const firstFolded = Math.min(...axes.filter((axis) => shape[axis] !== 1));
  const between = shape.slice(firstFolded).filter((_, i) => !axes.includes(firstFolded + i));
  return sizeOf(between) === 1;
}

/** What a region computes for one of its results: the result, or of an update the new elements. */
export function computed(t: Tensor): Tensor {
  return t.op.form === "update" ? t.inputs[t.inputs.length - 1]! : t;
}

/** The tensor whose memory `t` is: reshapes are other names for the same elements. */
export function memoryOf(t: Tensor): Tensor {
  let root = t;
  while (root.op.form === "layout" && root.op.alias) root = root.inputs[0]!;
  return root;
}
