/** @file Rewrites a graph into the operations that suit an adapter. */
import { pairKernels } from "../graph/pair.ts";
import { distribute, simplify } from "../graph/simplify.ts";
import { Tensor, topological, type Target } from "../graph/tensor.ts";

/** The same outputs in the form in which they are divided into kernels. */
export function prepare(outputs: readonly Tensor[], target: Target): Tensor[] {
  // Sums of kernels are looked for before sums are taken apart.
  return distribute(lower(pairKernels(simplify(outputs)), target));
}

/** The same outputs, with every operation that has a better form for `target` in that form. */
export function lower(outputs: readonly Tensor[], target: Target): Tensor[] {
  const done = new Map<Tensor, Tensor>();
  for (const x of topological(outputs)) {
    const inputs = x.inputs.map((input) => done.get(input)!);
    const same = inputs.every((input, i) => input === x.inputs[i]);
    const y = same ? x : new Tensor(x.op, inputs, x.params);
    const better = y.op.form === "kernel" ? y.op.lower?.(inputs, y.params, y, target) : undefined;
    done.set(x, better ?? y);
  }
  return outputs.map((x) => done.get(x)!);
}
