/** @file Which results of a graph must lie in memory, and where kernels find what they read. */
import { stridesOf } from "../graph/shape.ts";
import { topological, type KernelOp, type Tensor } from "../graph/tensor.ts";
import type { Storage } from "./pull.ts";
import { computed, foldLength, isRowFold, LONGEST_INLINE, memoryOf } from "./rows.ts";

/** Flat start of a slice whose elements lie next to each other, else undefined. */
function contiguousStart(t: Tensor): number | undefined {
  if (t.op.name !== "slice") return undefined;
  const whole = t.inputs[0]!.shape;
  const step = t.params["step"] as readonly number[];
  const start = t.params["start"] as readonly number[];
  const partial = t.shape.findIndex((n) => n !== 1);
  const gaps = t.shape.some((n, i) => (i > partial && n !== whole[i]) || (n > 1 && step[i] !== 1));
  if (gaps) return undefined;
  return start.reduce((sum, from, i) => sum + from * stridesOf(whole)[i]!, 0);
}

/**
 * Where a kernel finds its input `t`: reshapes and contiguous slices of tensors that lie in memory
 * anyway cost nothing.
 */
export function viewOf(t: Tensor): Storage {
  let root = memoryOf(t);
  let offset = 0;
  for (let start = contiguousStart(root); start !== undefined; start = contiguousStart(root)) {
    offset += start;
    root = memoryOf(root.inputs[0]!);
  }
  const inMemory = isVariable(root) || root.op.form === "kernel" || root.op.name === "stored";
  return inMemory ? { root, offset } : { root: memoryOf(t), offset: 0 };
}

/** Where a kernel finds its input number `i`. What it overwrites is an allocation of its own, not a part. */
export function inputOf(kernel: Tensor, i: number): Storage {
  const x = kernel.inputs[i]!;
  return (kernel.op as KernelOp).updates === i ? { root: memoryOf(x), offset: 0 } : viewOf(x);
}

export const isVariable = (t: Tensor): boolean => t.op.name === "variable";

/** Values worth computing twice rather than storing: at most this many loads and operations. */
const CHEAP = 64;

/** Which tensors must be results of a unit. */
export function findAnchors(outputs: readonly Tensor[], fuse: boolean): Set<Tensor> {
  const order = topological(outputs);
  const anchors = new Set<Tensor>();
  const keep = (t: Tensor): void => {
    if (!isVariable(memoryOf(t))) anchors.add(memoryOf(t));
  };
  outputs.forEach(keep);
  for (const t of order) {
    if (t.op.form === "kernel") [t, ...t.inputs.map((_, i) => inputOf(t, i).root)].forEach(keep);
    else if (t.op.form === "update") [t, t.inputs[0]!].forEach(keep);
    else if (isRowFold(t) || t.op.name === "stored" || (!fuse && t.op.form !== "source")) keep(t);
  }
  // From users to inputs: how often would each element be computed if it were not stored, and at how
  // many indices would it be written out in the shader?
  const evaluations = new Map<Tensor, number>();
  const indices = new Map<Tensor, Set<string>>();
  const own = new Set([""]);
  for (const t of order.reverse()) {
    const times = anchors.has(t) ? computed(t).size : (evaluations.get(t) ?? t.size);
    const costly = times > t.size && isCostly(t, anchors);
    const written = t.inputs.length > 0 && (indices.get(t)?.size ?? 1) > COPIES;
    if (!anchors.has(t) && (costly || written)) keep(t);
    const count = anchors.has(t) ? computed(t).size : times;
    const at = anchors.has(t) ? own : (indices.get(t) ?? own);
    t.inputs.forEach((x, i) => {
      const here =
        t.op.form === "reduce"
          ? count * foldLength(t)
          : isPart(t)
            ? Math.min(count, x.size)
            : count;
      evaluations.set(x, Math.max(evaluations.get(x) ?? 0, here));
      // At the same index a value is written once; at another, or in a branch, again.
      const known = indices.get(x) ?? new Set<string>();
      for (const index of at) for (const moved of movesOf(t, i)) known.add(index + moved);
      indices.set(x, known);
    });
  }
  return anchors;
}

/** A value may stand this often in a shader; chains of slices and pads would double it at every link. */
const COPIES = 16;

/**
 * How the index at which `t` asks for its input `i` differs from its own, a word for each time that it
 * asks: short folds are written out, long ones are loops.
 */
function movesOf(t: Tensor, i: number): string[] {
  const unrolled = t.op.form === "reduce" && foldLength(t) <= LONGEST_INLINE ? foldLength(t) : 1;
  if (unrolled > 1) return Array.from({ length: unrolled }, (_, k) => ` ${t.id}.${k}`);
  if (isPart(t) || t.op.name === "slice" || t.op.name === "flip") return [` ${t.id}.${i}`];
  return [""];
}

/** Pads and concatenations ask each input for no more elements than it has. */
const isPart = (t: Tensor): boolean => t.op.name === "pad" || t.op.name === "concat";

/** Whether one element of `t`, not stored, takes more than {@link CHEAP} loads and operations. */
function isCostly(t: Tensor, anchors: ReadonlySet<Tensor>): boolean {
  const seen = new Set<Tensor>();
  // Shared parts count once, because a kernel computes them once; a fold repeats what is below it.
  const count = (x: Tensor): number => {
    if (seen.has(x)) return 0;
    seen.add(x);
    if (anchors.has(x) && x !== t) return 1;
    let sum = x.op.form === "layout" ? 0 : 1;
    for (const input of x.inputs) {
      sum += count(input) * (x.op.form === "reduce" ? foldLength(x) : 1);
      if (sum > CHEAP) break;
    }
    return sum;
  };
  return count(t) > CHEAP;
}

/** What lies between an anchor and memory: tensors that are computed for it, and the leaves they read. */
function coneOf(anchor: Tensor, anchors: ReadonlySet<Tensor>) {
  const inside = new Set<Tensor>();
  const leaves = new Set<Tensor>();
  const stack = [...anchor.inputs];
  while (stack.length > 0) {
    const t = stack.pop()!;
    if (anchors.has(t) || isVariable(t)) leaves.add(t);
    else if (!inside.has(t)) {
      inside.add(t);
      stack.push(...t.inputs);
    }
  }
  return { inside, leaves };
}

/** What lies directly below an anchor: other anchors, and leaves in memory. */
export const below = (anchor: Tensor, anchors: ReadonlySet<Tensor>): Set<Tensor> =>
  coneOf(anchor, anchors).leaves;

/** A tensor inside an anchor's expression that reads as much as a kernel may: stored, it relieves the rest. */
export function halfOf(anchor: Tensor, anchors: ReadonlySet<Tensor>, maxBuffers: number): Tensor {
  let best: Tensor | undefined;
  let most = 2;
  // Of tensors that read the same, the last is the one that the others are computed from.
  for (const t of coneOf(anchor, anchors).inside) {
    const count = t.inputs.length > 0 ? below(t, anchors).size : 0;
    if (count >= most && count < maxBuffers) [best, most] = [t, count];
  }
  if (!best)
    throw new RangeError(
      `schedule: ${anchor.op.name} reads more than the ${maxBuffers - 1} tensors that a kernel may on this adapter; combine them in steps`,
    );
  return memoryOf(best);
}
