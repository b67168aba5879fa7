/** @file Rewrites a graph so that nothing is computed twice or for nothing. */
import { Tensor, topological, type LayoutOp, type Op, type Params } from "./tensor.ts";

const numbers = new WeakMap<Op, number>();

/** Equal keys mean equal values: same operation, same settings, same (already shared) inputs. */
function keyOf(op: Op, inputs: readonly Tensor[], params: Params): string {
  let number = numbers.get(op);
  if (number === undefined) numbers.set(op, (number = nextNumber++));
  return `${number}(${inputs.map((x) => x.id).join(",")})${JSON.stringify(params)}`;
}
let nextNumber = 0;

/**
 * The same outputs from a graph with common subexpressions shared and every operation's own
 * rewrite applied (x·1, x+0, reshape of reshape, folds of constants …). What no output needs is
 * not in the result.
 */
export function simplify(outputs: readonly Tensor[]): Tensor[] {
  return rewrite(outputs, (rules, y) => rules.simplify?.(y.inputs, y.params, y));
}

/**
 * {@link simplify}, and sums taken apart where that leaves kernels less to do. It multiplies the uses
 * of what is added up, so whatever looks for sums must come before it.
 */
export function distribute(outputs: readonly Tensor[]): Tensor[] {
  return rewrite(
    outputs,
    (rules, y) =>
      rules.simplify?.(y.inputs, y.params, y) ?? rules.distribute?.(y.inputs, y.params, y),
  );
}

/** An Op without its parameter type, as the two were checked together when it was applied. */
type Rules = { [K in "simplify" | "distribute"]?: NonNullable<LayoutOp[K]> };

function rewrite(
  outputs: readonly Tensor[],
  rewritten: (rules: Rules, y: Tensor) => Tensor | undefined,
): Tensor[] {
  const shared = new Map<string, Tensor>();
  const done = new Map<Tensor, Tensor>();

  const visit = (x: Tensor): Tensor => {
    const inputs = x.inputs.map((input) => done.get(input)!);
    const key = keyOf(x.op, inputs, x.params);
    const known = shared.get(key);
    if (known) return known;
    const same = inputs.every((input, i) => input === x.inputs[i]);
    let y = same ? x : new Tensor(x.op, inputs, x.params);
    const simpler = rewritten(y.op, y);
    if (simpler && simpler !== y) {
      // A rewrite may build several tensors on top of shared ones: walk them too.
      for (const part of topological([simpler])) if (!done.has(part)) done.set(part, visit(part));
      y = done.get(simpler)!;
    }
    shared.set(key, y);
    done.set(y, y);
    return y;
  };

  for (const x of topological(outputs)) if (!done.has(x)) done.set(x, visit(x));
  return outputs.map((x) => done.get(x)!);
}
