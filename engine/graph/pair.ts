/** @file Rewrites sums of two kernels of one kind into one kernel of two pairs of inputs. */
import { Tensor, topological } from "./tensor.ts";

/** The operation that adds: the one whose sums this is about. */
const isSum = (t: Tensor): boolean => t.op.name === "add";

/** Whether two tensors are the same kernel of other inputs, which it could take together. */
const matches = (a: Tensor, b: Tensor): boolean =>
  a.op === b.op && JSON.stringify(a.params) === JSON.stringify(b.params);

/**
 * The same outputs with A(x, k) + A(y, l) computed as A(x, k, y, l) wherever nothing else needs the
 * two parts: the tangent of anything bilinear is such a sum, and one launch then stores nothing
 * between its halves.
 */
export function pairKernels(outputs: readonly Tensor[]): Tensor[] {
  const order = topological(outputs);
  const uses = new Map<Tensor, number>();
  for (const t of [...outputs, ...order.flatMap(({ inputs }) => inputs)])
    uses.set(t, (uses.get(t) ?? 0) + 1);
  const once = (t: Tensor): boolean => uses.get(t) === 1;

  /** What a tree of sums adds up, in order. */
  const terms = (t: Tensor, isRoot = true): Tensor[] =>
    isSum(t) && (isRoot || once(t)) ? t.inputs.flatMap((x) => terms(x, false)) : [t];

  const isHalf = (t: Tensor): boolean =>
    t.op.form === "kernel" && t.op.addsPairs === true && t.inputs.length === 2 && once(t);

  const done = new Map<Tensor, Tensor>();
  const rebuilt = (t: Tensor): Tensor => {
    const inputs = t.inputs.map((x) => done.get(x)!);
    return inputs.every((x, i) => x === t.inputs[i]) ? t : new Tensor(t.op, inputs, t.params);
  };
  for (const t of order) {
    const all = isSum(t) ? terms(t) : [];
    const halves = all.filter(isHalf);
    const partner = new Map<Tensor, Tensor>();
    for (const [i, a] of halves.entries()) {
      const taken = [...partner].flat();
      const b = halves.slice(i + 1).find((half) => matches(a, half) && !taken.includes(half));
      if (b && !taken.includes(a)) partner.set(a, b);
    }
    if (partner.size === 0) {
      done.set(t, rebuilt(t));
      continue;
    }
    const second = new Set(partner.values());
    const parts = all
      .filter((x) => !second.has(x))
      .map((x) => {
        const other = partner.get(x);
        if (!other) return done.get(x)!;
        const inputs = [...x.inputs, ...other.inputs].map((input) => done.get(input)!);
        return new Tensor(x.op, inputs, x.params);
      });
    done.set(
      t,
      parts.reduce((a, b) => new Tensor(t.op, [a, b])),
    );
  }
  return outputs.map((t) => done.get(t)!);
}
