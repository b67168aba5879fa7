/** @file What a dispatch computes and what it must move, told from its part of the graph. */
import type { Shape } from "../graph/shape.ts";
import { computed } from "./rows.ts";
import { topological, type KernelOp, type Tensor } from "../graph/tensor.ts";

/** What a dispatch computes. */
export interface Description {
  /** A kernel's operation; of a region `rows` where it folds rows, else `map`. */
  readonly op: string;
  /** Operations of a region, and how many of them fold; undefined for a kernel. */
  readonly region: { readonly ops: number; readonly folds: number } | undefined;
  readonly operands: readonly Shape[];
  readonly results: readonly Shape[];
  /** Bytes that must cross memory: each element that is needed read once, each result written once. */
  readonly bytes: number;
}

const elements = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, t) => sum + t.size, 0);
const shapes = (tensors: readonly Tensor[]): Shape[] => tensors.map((t) => t.shape);

/** A kernel of its own. What overwrites a part of an input moves the other inputs, and nothing else. */
export function describeKernel(y: Tensor): Description {
  const op = y.op as KernelOp;
  const moved =
    op.updates === undefined
      ? elements(y.inputs) + y.size
      : 2 * elements(y.inputs.filter((_, i) => i !== op.updates));
  const operands = shapes(y.inputs);
  return { op: op.name, region: undefined, operands, results: [y.shape], bytes: 4 * moved };
}

/** A region: `anchors` computed together, `stored` of them kept; `inMemory` tells what it reads. */
export function describeRegion(
  anchors: readonly Tensor[],
  stored: readonly Tensor[],
  inMemory: (t: Tensor) => boolean,
): Description {
  const own = new Set(anchors);
  const isOperand = (t: Tensor): boolean => inMemory(t) && !own.has(t);
  // An update needs its new elements and where they go, and nothing of what it leaves.
  const results = anchors.flatMap((t) => (t.op.form === "update" ? t.inputs.slice(1) : [t]));
  const needed = new Map(results.map((t) => [t, t.size]));
  for (const t of topological(results).reverse()) {
    const count = needed.get(t);
    if (count === undefined || isOperand(t)) continue;
    t.inputs.forEach((x, i) => {
      const all = (needed.get(x) ?? 0) + neededOf(t, i, count);
      needed.set(x, Math.min(x.size, all));
    });
  }
  const operands = topological(needed.keys()).filter((t) => needed.has(t) && isOperand(t));
  const inside = [...needed.keys()].filter((t) => !isOperand(t) && t.op.form !== "source");
  const read = operands.reduce((sum, t) => sum + needed.get(t)!, 0);
  return {
    op: anchors.some((t) => t.op.form === "reduce") ? "rows" : "map",
    region: {
      ops: inside.length,
      folds: inside.filter((t) => t.op.form === "reduce").length,
    },
    operands: shapes(operands),
    results: shapes(stored),
    bytes: 4 * (read + elements(stored.map(computed))),
  };
}

/** Elements of input `i` that `count` elements of `t` are made from, at most. */
function neededOf(t: Tensor, i: number, count: number): number {
  const x = t.inputs[i]!;
  // A gather's index is needed for each of its rows, not for each element.
  if (t.op.form === "reduce" || (t.op.form === "layout" && i > 0 && x.dtype === "u32"))
    return x.size;
  return count;
}
