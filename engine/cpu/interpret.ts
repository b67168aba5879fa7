/** @file The oracle: evaluates a graph in float64 with the plainest loops there are. */
import { showShape, sizeOf } from "../graph/shape.ts";
import { topological, type Op, type Params, type Tensor } from "../graph/tensor.ts";

/** Values of variables by name, row-major; `repeat` is the repetition's number, 0 when absent. */
export type Values = Readonly<Record<string, ArrayLike<number>>>;

/**
 * Values of `outputs` for given values of the variables, in float64.
 * @throws RangeError when a variable has no value or one of another size.
 */
export function interpret(outputs: readonly Tensor[], variables: Values = {}): Float64Array[] {
  const data = new Map<Tensor, Float64Array>();
  for (const t of topological(outputs)) data.set(t, evaluate(t, data, variables));
  return outputs.map((t) => data.get(t)!);
}

function evaluate(t: Tensor, data: Map<Tensor, Float64Array>, variables: Values): Float64Array {
  const inputs = t.inputs.map((input) => data.get(input)!);
  const op: Op = t.op;
  switch (op.form) {
    case "source":
      if (op.immediate) return Float64Array.of(variables["repeat"]?.[0] ?? 0);
      return op.cpu
        ? Float64Array.from({ length: t.size }, (_, i) => (op.cpu as Counter)(i, t.params))
        : variableValue(t, variables);
    case "elementwise":
      return Float64Array.from({ length: t.size }, (_, i) => op.cpu(...inputs.map((x) => x[i]!)));
    case "layout":
    case "kernel":
    case "update":
      return op.cpu(inputs, t.inputs, t);
    case "reduce":
      return fold(t, inputs[0]!, op);
  }
}

type Counter = (index: number, params: Params) => number;

function variableValue(t: Tensor, variables: Values): Float64Array {
  const name = t.params["name"] as string;
  const value = variables[name];
  if (value?.length !== t.size)
    throw new RangeError(
      `interpret: variable ${name} ${showShape(t.shape)} needs ${t.size} values, got ${value?.length ?? "none"}`,
    );
  return Float64Array.from(value);
}

function fold(y: Tensor, x: Float64Array, op: Extract<Op, { form: "reduce" }>): Float64Array {
  const shape = y.inputs[0]!.shape;
  const axes = y.params["axes"] as readonly number[];
  const out = new Float64Array(y.size).fill(op.initial);
  // Walking x in order, each axis either moves in the result or is folded away.
  const strides = new Array<number>(shape.length).fill(0);
  const kept = shape.flatMap((_, axis) => (axes.includes(axis) ? [] : [axis]));
  kept.forEach((axis, i) => (strides[axis] = sizeOf(y.shape.slice(i + 1))));
  const index = new Array<number>(shape.length).fill(0);
  for (const value of x) {
    const at = index.reduce((sum, i, axis) => sum + i * strides[axis]!, 0);
    out[at] = op.cpu(out[at]!, value);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
  return out;
}
