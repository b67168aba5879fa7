/** @file Reverse-mode differentiation as a function from graphs to graphs, so that it can be repeated. */
import { sameShape, ShapeError, showShape } from "../graph/shape.ts";
import { topological, type Cotangent, type Params, type Tensor } from "../graph/tensor.ts";
import { add } from "../ops/elementwise.ts";
import { full } from "../ops/source.ts";

/** A derivative that does not exist, or that nothing connects. */
export class GradError extends Error {
  override readonly name = "GradError";
}

/** What to answer for a tensor on which the output does not depend. */
export interface GradOptions {
  readonly unused?: "error" | "zero";
}

/**
 * Vector-Jacobian product: the cotangents of `xs` for the cotangent `g` of `y`,
 * Σ gᵢ ∂yᵢ/∂x, as tensors of the same graph. What lies between may be anything, results of `grad`
 * included, and a tensor counts wherever it was used, named as an argument or not.
 * @throws ShapeError when g has not y's shape.
 * @throws GradError when y does not depend on some x (unless `unused: "zero"`), or depends on it
 * only through operations that are constant by definition.
 */
export function vjp(
  y: Tensor,
  xs: readonly Tensor[],
  g: Tensor,
  { unused = "error" }: GradOptions = {},
): Tensor[] {
  if (!sameShape(g.shape, y.shape))
    throw new ShapeError(
      `vjp: the cotangent must have the shape of y, got ${showShape(g.shape)} for ${showShape(y.shape)}`,
    );
  const order = topological([y]);
  const wanted = new Set(xs);
  const onPath = new Set<Tensor>();
  for (const t of order)
    if (wanted.has(t) || t.inputs.some((input) => onPath.has(input))) onPath.add(t);

  const cotangents = new Map<Tensor, Tensor>([[y, g]]);
  for (const t of order.reverse()) {
    const gt = cotangents.get(t);
    if (!gt || !onPath.has(t) || t.inputs.length === 0) continue;
    if (!t.inputs.some((input) => onPath.has(input))) continue;
    const parts = (t.op.vjp as Rule).call(t.op, gt, t.inputs, t, t.params);
    t.inputs.forEach((input, i) => {
      const part = parts[i];
      if (!part) throw new GradError(`internal: ${t.op.name} gives no cotangent for input ${i}`);
      if (part === "constant" || !onPath.has(input)) return;
      const sum = cotangents.get(input);
      cotangents.set(input, sum ? add(sum, part) : part);
    });
  }
  return xs.map((x, i) => {
    const found = cotangents.get(x);
    if (found) return found;
    if (unused === "zero") return full(x.shape, 0);
    throw new GradError(
      `grad: the output must depend on input ${i} (${describe(x)}) through differentiable operations; pass { unused: "zero" } if it need not`,
    );
  });
}

type Rule = (
  g: Tensor,
  inputs: readonly Tensor[],
  y: Tensor,
  params: Params,
) => readonly Cotangent[];

/**
 * Gradients of the scalar `y` for each of `xs`.
 * @throws ShapeError when y is not a scalar; GradError as {@link vjp}.
 */
export function grad(y: Tensor, xs: readonly Tensor[], options: GradOptions = {}): Tensor[] {
  if (y.rank !== 0)
    throw new ShapeError(`grad: the output must be a scalar [], got ${showShape(y.shape)}`);
  return vjp(y, xs, full([], 1), options);
}

function describe(x: Tensor): string {
  const name = x.params["name"];
  return `${typeof name === "string" ? name : x.op.name} ${showShape(x.shape)}`;
}
