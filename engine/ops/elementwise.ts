/** @file One value from the values at the same index. Formula, shader text and derivative side by side. */
import { broadcastShapes, sameShape, ShapeError, showShape } from "../graph/shape.ts";
import {
  apply,
  requireFloat,
  type Cotangent,
  type ElementwiseOp,
  type Tensor,
} from "../graph/tensor.ts";
import { broadcastTo } from "./layout.ts";
import { constantValue, full, isFloat } from "./source.ts";

/** A tensor, or a number that stands for a scalar. */
export type Operand = Tensor | number;

type Rule = (g: Tensor, x: readonly Tensor[], y: Tensor) => readonly Cotangent[];

interface Spec {
  readonly cpu: (...values: number[]) => number;
  readonly wgsl: (...values: string[]) => string;
  readonly vjp: Rule;
  readonly simplify?: (x: readonly Tensor[], y: Tensor) => Tensor | undefined;
}

function declare(name: string, spec: Spec): ElementwiseOp {
  return {
    form: "elementwise",
    name,
    cpu: spec.cpu,
    wgsl: spec.wgsl,
    vjp: spec.vjp,
    shape(inputs) {
      const [first, ...rest] = inputs;
      if (!rest.every((x) => sameShape(x.shape, first!.shape)))
        throw new ShapeError(
          `${name}: shapes must agree, got ${inputs.map((x) => showShape(x.shape)).join(" and ")}`,
        );
      return first!.shape;
    },
    simplify(inputs, _, y) {
      const values = inputs.map(constantValue);
      if (values.every((v) => v !== undefined)) {
        const value = spec.cpu(...values);
        if (isFloat(value)) return full(y.shape, value, y.dtype);
      }
      return spec.simplify?.(inputs, y);
    },
  };
}

function operands(op: ElementwiseOp, xs: readonly Operand[]): Tensor {
  const tensors = xs.map((x) => (typeof x === "number" ? full([], x) : x));
  const shape = broadcastShapes(op.name, ...tensors.map((x) => x.shape));
  requireFloat(op.name, tensors);
  return apply(
    op,
    tensors.map((x) => broadcastTo(x, shape)),
    {},
  );
}

function unary(name: string, spec: Spec): (x: Operand) => Tensor {
  const op = declare(name, spec);
  return (x) => operands(op, [x]);
}

function binary(name: string, spec: Spec): (a: Operand, b: Operand) => Tensor {
  const op = declare(name, spec);
  return (a, b) => operands(op, [a, b]);
}

const is = (x: Tensor, value: number): boolean => constantValue(x) === value;

/** −x */
export const neg = unary("neg", {
  cpu: (x) => -x,
  wgsl: (x) => `(-${x})`,
  vjp: (g) => [neg(g)],
  simplify: ([x]) => (x!.op.name === "neg" ? x!.inputs[0] : undefined),
});

/** eˣ */
export const exp = unary("exp", {
  cpu: (x) => Math.exp(x),
  wgsl: (x) => `exp(${x})`,
  vjp: (g, _, y) => [mul(g, y)],
});

/** ln x */
export const log = unary("log", {
  cpu: (x) => Math.log(x),
  wgsl: (x) => `log(${x})`,
  vjp: (g, [x]) => [div(g, x!)],
});

/** √x */
export const sqrt = unary("sqrt", {
  cpu: (x) => Math.sqrt(x),
  wgsl: (x) => `sqrt(${x})`,
  vjp: (g, _, y) => [div(mul(g, 0.5), y)],
});

/** |x|; derivative 0 at 0, as PyTorch has it. */
export const abs = unary("abs", {
  cpu: (x) => Math.abs(x),
  wgsl: (x) => `abs(${x})`,
  vjp: (g, [x]) => [mul(g, sign(x!))],
});

/** −1, 0 or 1; constant wherever it is smooth. */
export const sign = unary("sign", {
  cpu: (x) => Math.sign(x),
  wgsl: (x) => `sign(${x})`,
  vjp: () => ["constant"],
});

/** ⌊x⌋; constant wherever it is smooth. */
export const floor = unary("floor", {
  cpu: (x) => Math.floor(x),
  wgsl: (x) => `floor(${x})`,
  vjp: () => ["constant"],
});

/** sin x, in radians */
export const sin = unary("sin", {
  cpu: (x) => Math.sin(x),
  wgsl: (x) => `sin(${x})`,
  vjp: (g, [x]) => [mul(g, cos(x!))],
});

/** cos x, in radians */
export const cos = unary("cos", {
  cpu: (x) => Math.cos(x),
  wgsl: (x) => `cos(${x})`,
  vjp: (g, [x]) => [neg(mul(g, sin(x!)))],
});

/** tanh x */
export const tanh = unary("tanh", {
  cpu: (x) => Math.tanh(x),
  // Past ±9 the f32 result is ±1; some drivers overflow in their own formula.
  wgsl: (x) => `tanh(clamp(${x}, F(-9.0), F(9.0)))`,
  vjp: (g, _, y) => [mul(g, sub(1, mul(y, y)))],
});

/** 1 / (1 + e⁻ˣ) */
export const sigmoid = unary("sigmoid", {
  cpu: (x) => 1 / (1 + Math.exp(-x)),
  wgsl: (x) => `(1.0 / (1.0 + exp(-${x})))`,
  vjp: (g, _, y) => [mul(g, mul(y, sub(1, y)))],
});

/** a + b */
export const add = binary("add", {
  cpu: (a, b) => a + b,
  wgsl: (a, b) => `(${a} + ${b})`,
  vjp: (g) => [g, g],
  simplify: ([a, b]) => (is(a!, 0) ? b : is(b!, 0) ? a : undefined),
});

/** a − b */
export const sub = binary("sub", {
  cpu: (a, b) => a - b,
  wgsl: (a, b) => `(${a} - ${b})`,
  vjp: (g) => [g, neg(g)],
  simplify: ([a, b]) => (is(b!, 0) ? a : is(a!, 0) ? neg(b!) : undefined),
});

/** a · b */
export const mul = binary("mul", {
  cpu: (a, b) => a * b,
  wgsl: (a, b) => `(${a} * ${b})`,
  vjp: (g, [a, b]) => [mul(g, b!), mul(g, a!)],
  simplify: ([a, b], y) =>
    is(a!, 1)
      ? b
      : is(b!, 1)
        ? a
        : is(a!, 0) || is(b!, 0)
          ? full(y.shape, 0)
          : is(a!, -1)
            ? neg(b!)
            : is(b!, -1)
              ? neg(a!)
              : undefined,
});

/** a / b */
export const div = binary("div", {
  cpu: (a, b) => a / b,
  wgsl: (a, b) => `(${a} / ${b})`,
  vjp: (g, [, b], y) => [div(g, b!), neg(div(mul(g, y), b!))],
  simplify: ([a, b], y) =>
    is(b!, 1)
      ? a
      : b!.op.name === "broadcast"
        ? // One division for all elements that share the divisor.
          mul(a!, broadcastTo(div(1, b!.inputs[0]!), y.shape))
        : undefined,
});

/** The larger of a and b; where they are equal the derivative goes to a. */
export const maximum = binary("maximum", {
  cpu: (a, b) => Math.max(a, b),
  wgsl: (a, b) => `max(${a}, ${b})`,
  vjp: (g, [a, b]) => [mul(g, greaterEqual(a!, b!)), mul(g, greater(b!, a!))],
});

/** The smaller of a and b; where they are equal the derivative goes to a. */
export const minimum = binary("minimum", {
  cpu: (a, b) => Math.min(a, b),
  wgsl: (a, b) => `min(${a}, ${b})`,
  vjp: (g, [a, b]) => [mul(g, greaterEqual(b!, a!)), mul(g, greater(a!, b!))],
});

/** aᵇ for a > 0 */
export const pow = binary("pow", {
  cpu: (a, b) => Math.pow(a, b),
  wgsl: (a, b) => `pow(${a}, ${b})`,
  vjp: (g, [a, b], y) => [mul(g, mul(b!, pow(a!, sub(b!, 1)))), mul(g, mul(y, log(a!)))],
});

/** 1 where a > b, else 0 */
export const greater = binary("greater", {
  cpu: (a, b) => (a > b ? 1 : 0),
  wgsl: (a, b) => `select(F(0.0), F(1.0), ${a} > ${b})`,
  vjp: () => ["constant", "constant"],
});

/** 1 where a ≥ b, else 0 */
export const greaterEqual = binary("greaterEqual", {
  cpu: (a, b) => (a >= b ? 1 : 0),
  wgsl: (a, b) => `select(F(0.0), F(1.0), ${a} >= ${b})`,
  vjp: () => ["constant", "constant"],
});

/** 1 where a = b, else 0 */
export const equal = binary("equal", {
  cpu: (a, b) => (a === b ? 1 : 0),
  wgsl: (a, b) => `select(F(0.0), F(1.0), ${a} == ${b})`,
  vjp: () => ["constant", "constant"],
});

const whereOp = declare("where", {
  cpu: (c, a, b) => (c !== 0 ? a : b),
  wgsl: (c, a, b) => `select(${b}, ${a}, ${c} != F(0.0))`,
  vjp: (g, [c]) => ["constant", where(c!, g, 0), where(c!, 0, g)],
  simplify: ([c, a, b]) => {
    const value = constantValue(c!);
    return value === undefined ? undefined : value !== 0 ? a : b;
  },
});

/** a where c ≠ 0, else b. Unlike a product with a mask it keeps NaN and ∞ of the other side out. */
export function where(c: Operand, a: Operand, b: Operand): Tensor {
  return operands(whereOp, [c, a, b]);
}

const stopGradientOp: ElementwiseOp = {
  ...declare("stopGradient", {
    cpu: (x) => x,
    wgsl: (x) => x,
    vjp: () => ["constant"],
  }),
  dtype: ([x]) => x!.dtype,
};

/** x, as a constant to every derivative. */
export function stopGradient(x: Tensor): Tensor {
  return apply(stopGradientOp, [x], {});
}

const toFloatOp: ElementwiseOp = {
  form: "elementwise",
  name: "toFloat",
  shape: ([x]) => x!.shape,
  vjp: () => ["constant"],
  cpu: (x) => x,
  wgsl: (x) => `F(${x})`,
};

/** Indices as f32 numbers, exact below 2²⁴. */
export function toFloat(x: Tensor): Tensor {
  return x.dtype === "f32" ? x : apply(toFloatOp, [x], {});
}

function indexOp(name: string, sign: "+" | "-", cpu: (a: number, b: number) => number) {
  const op: ElementwiseOp = {
    form: "elementwise",
    name,
    shape: ([a]) => a!.shape,
    dtype: () => "u32",
    vjp: () => ["constant", "constant"],
    cpu: (a, b) => cpu(a, b),
    wgsl: (a, b) => `(${a} ${sign} ${b})`,
  };
  return (a: Tensor, b: Tensor | number): Tensor => {
    const other = typeof b === "number" ? full(a.shape, b, "u32") : b;
    if (a.dtype !== "u32" || other.dtype !== "u32" || !sameShape(a.shape, other.shape))
      throw new ShapeError(
        `${name}: operands must be u32 of one shape, got ${a.dtype} ${showShape(a.shape)} and ${other.dtype} ${showShape(other.shape)}`,
      );
    return apply(op, [a, other], {});
  };
}

/** Sum of two index tensors of one shape, or of an index tensor and a whole number ≥ 0. */
export const addIndex = indexOp("addIndex", "+", (a, b) => a + b);

/** Difference of indices, as {@link addIndex}; a must not be smaller than b. */
export const subIndex = indexOp("subIndex", "-", (a, b) => a - b);
