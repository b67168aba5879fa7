/** @file Differentiation as a function from graphs to graphs: repeated, nested, and where it must refuse. */

import { describe, expect, test } from "vitest";

import {
  concat,
  constantValue,
  cos,
  exp,
  gather,
  grad,
  GradError,
  hardCrossEntropy,
  interpret,
  linear,
  logSoftmax,
  matmul,
  mul,
  printGraph,
  Random,
  relu,
  reshape,
  ShapeError,
  sigmoid,
  sin,
  slice,
  softmax,
  square,
  stopGradient,
  sub,
  sum,
  tanh,
  toFloat,
  variable,
  vjp,
  type Tensor,
  type Values,
} from "../../engine/index.ts";
import { derivativeError, derivativePoint } from "../support/gradcheck.ts";
import { distance } from "../support/tolerance.ts";

const X = [-1.3, -0.4, 0.2, 0.7, 1.9];
const V = [0.3, -1.1, 0.8, 0.5, -0.6];
const x = variable("x", [5]);
const v = variable("v", [5]);
const values: Values = { x: X, v: V };

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((total, value, i) => total + value * b[i]!, 0);

function expectValues(tensor: Tensor, expected: readonly number[], at: Values = values): void {
  const [actual] = interpret([tensor], at);
  const largest = Math.max(...expected.map(Math.abs));
  expect(distance(actual!, expected)).toBeLessThanOrEqual(1e-13 * largest);
}

/** d(y)/dx summed over y, `order` times. */
function derivative(f: (x: Tensor) => Tensor, order: number): Tensor {
  let y = f(x);
  for (let i = 0; i < order; i++) y = grad(sum(y), [x])[0]!;
  return y;
}

describe("a gradient that is differentiated again", () => {
  const logistic = (z: number): number => 1 / (1 + Math.exp(-z));

  test("of exp is exp, to any order", () => {
    for (const order of [1, 2, 3, 4]) expectValues(derivative(exp, order), X.map(Math.exp));
  });

  test("of sigmoid is s(1 − s), then s(1 − s)(1 − 2s)", () => {
    const s = X.map(logistic);
    expectValues(
      derivative(sigmoid, 1),
      s.map((p) => p * (1 - p)),
    );
    expectValues(
      derivative(sigmoid, 2),
      s.map((p) => p * (1 - p) * (1 - 2 * p)),
    );
  });

  test("of tanh is 1 − t², then −2t(1 − t²)", () => {
    const t = X.map(Math.tanh);
    expectValues(
      derivative(tanh, 1),
      t.map((p) => 1 - p * p),
    );
    expectValues(
      derivative(tanh, 2),
      t.map((p) => -2 * p * (1 - p * p)),
    );
  });

  test("of sin is −sin, then −cos at the third order", () => {
    expectValues(
      derivative(sin, 2),
      X.map((z) => -Math.sin(z)),
    );
    expectValues(
      derivative(sin, 3),
      X.map((z) => -Math.cos(z)),
    );
    expectValues(
      derivative(cos, 3),
      X.map((z) => Math.sin(z)),
    );
  });

  test("of x⁴ is 24 x at the third order, 24 at the fourth, and nothing at the fifth", () => {
    const f = (z: Tensor): Tensor => square(square(z));
    expectValues(
      derivative(f, 3),
      X.map((z) => 24 * z),
    );
    expectValues(
      derivative(f, 4),
      X.map(() => 24),
    );
    expectValues(grad(sum(derivative(f, 4)), [x], { unused: "zero" })[0]!, [0, 0, 0, 0, 0]);
  });

  test("of softmax has the Hessian of closed form", () => {
    const c = [0.9, -0.2, 1.4, 0.1, -0.7];
    const weights = variable("c", [5]);
    const at = { ...values, c };
    const [first] = grad(sum(mul(softmax(x), weights)), [x]);
    const [second] = grad(sum(mul(first!, v)), [x]);

    const total = dot(X.map(Math.exp), [1, 1, 1, 1, 1]);
    const p = X.map((z) => Math.exp(z) / total);
    const mean = dot(c, p);
    const dp = p.map((pi, i) => pi * (V[i]! - dot(p, V)));
    expectValues(
      first!,
      p.map((pi, i) => pi * (c[i]! - mean)),
      at,
    );
    expectValues(
      second!,
      p.map((pi, i) => dp[i]! * (c[i]! - mean) - pi * dot(c, dp)),
      at,
    );
  });

  test("of logSoftmax has the Hessian of closed form", () => {
    const c = [0.9, -0.2, 1.4, 0.1, -0.7];
    const weights = variable("c", [5]);
    const at = { ...values, c };
    const [first] = grad(sum(mul(logSoftmax(x), weights)), [x]);
    const [second] = grad(sum(mul(first!, v)), [x]);

    const total = dot(X.map(Math.exp), [1, 1, 1, 1, 1]);
    const p = X.map((z) => Math.exp(z) / total);
    const all = dot(c, [1, 1, 1, 1, 1]);
    expectValues(
      first!,
      c.map((ci, i) => ci - all * p[i]!),
      at,
    );
    expectValues(
      second!,
      p.map((pi) => -all * pi).map((q, i) => q * (V[i]! - dot(p, V))),
      at,
    );
  });

  test.each([
    ["exp", exp],
    ["sigmoid", sigmoid],
    ["tanh", tanh],
    ["softmax", softmax],
    ["logSoftmax", logSoftmax],
  ] as const)("of %s agrees with differences at the third order", (_, f) => {
    const second = derivativePoint(derivativePoint({ output: f(x), inputs: [x], values }, 2), 3);
    expect(derivativeError(second)).toBeLessThan(1e-7);
  });
});

describe("a tensor that is no argument", () => {
  const w = variable("w", [5]);
  const W = [0.5, 2, -1, 1.5, 0.25];
  const at = { ...values, w: W };

  /** ∂/∂x of Σ w x⁴ / 4, where w is only closed over. */
  const inner = (): Tensor => grad(mul(sum(mul(w, square(square(x)))), 0.25), [x])[0]!;

  test("has its derivative through an inner gradient that did not name it", () => {
    const penalty = sum(square(inner()));
    const [dw, dx] = grad(penalty, [w, x]);
    expectValues(
      dw!,
      X.map((z, i) => 2 * W[i]! * z ** 6),
      at,
    );
    expectValues(
      dx!,
      X.map((z, i) => 6 * W[i]! ** 2 * z ** 5),
      at,
    );
  });

  test("has its derivative through the cotangent of a vjp", () => {
    // vjp of x² for the cotangent w·x is 2 w x².
    const [pulled] = vjp(square(x), [x], mul(w, x));
    expectValues(
      grad(sum(pulled!), [w])[0]!,
      X.map((z) => 2 * z * z),
      at,
    );
  });

  test("has its derivative through an intermediate that was differentiated for itself", () => {
    const h = mul(w, x);
    const [dh] = grad(sum(mul(square(h), h)), [h]);
    expectValues(
      grad(sum(dh!), [w])[0]!,
      X.map((z, i) => 6 * W[i]! * z * z),
      at,
    );
  });
});

describe("gradients of gradients", () => {
  const random = new Random(3);
  const draw = (count: number): Float32Array => random.fill(count, -1, 1);

  test("of a gradient's norm is 2 A² x for a symmetric quadratic form", () => {
    const A = [2, 0.5, -1, 0.5, 1, 0.25, -1, 0.25, 3];
    const z = variable("z", [3, 1]);
    const form = mul(sum(mul(z, matmul(variable("A", [3, 3]), z))), 0.5);
    const norm = sum(square(grad(form, [z])[0]!));
    const at = [0.7, -1.2, 0.4];
    const times = (m: number[], u: number[]) =>
      [0, 1, 2].map((i) => dot(m.slice(3 * i, 3 * i + 3), u));
    expectValues(
      grad(norm, [z])[0]!,
      times(A, times(A, at)).map((y) => 2 * y),
      { z: at, A },
    );
  });

  test("forward over reverse is reverse over reverse", () => {
    const [inputs, w1, w2] = [
      variable("i", [4, 3]),
      variable("w1", [5, 3]),
      variable("w2", [2, 5]),
    ];
    const labels = variable("labels", [4], "u32");
    const loss = hardCrossEntropy(linear(tanh(linear(inputs, w1)), w2), labels);
    const direction = variable("direction", [5, 3]);
    const [g] = grad(loss, [w1]);
    const [reverse] = grad(sum(mul(g!, direction)), [w1]);
    // J·d is the transpose of the transpose: the vjp, linear in its cotangent u, pulled back for d.
    const u = variable("u", [5, 3]);
    const [forward] = vjp(vjp(g!, [w1], u)[0]!, [u], direction);
    expect(printGraph([forward!])).not.toBe(printGraph([reverse!]));
    const at = {
      i: draw(12),
      w1: draw(15),
      w2: draw(10),
      u: draw(15),
      direction: draw(15),
      labels: [0, 1, 1, 0],
    };
    const [a, b] = interpret([forward!, reverse!], at);
    expect(distance(a!, b!)).toBeLessThan(1e-15);
    expect(Math.max(...a!.map(Math.abs))).toBeGreaterThan(1e-2);
  });

  test("five steps of SGD on a small net have the derivatives that differences have", () => {
    const [images, theta, lr] = [
      variable("images", [6, 4]),
      variable("theta", [23]),
      variable("lr", []),
    ];
    const labels = variable("labels", [6], "u32");
    const loss = (p: Tensor): Tensor => {
      const part = (start: number, shape: readonly number[]) =>
        reshape(slice(p, [start], [shape.reduce((a, b) => a * b)]), shape);
      const hidden = sigmoid(linear(images, part(0, [3, 4]), part(12, [3])));
      return hardCrossEntropy(linear(hidden, part(15, [2, 3]), part(21, [2])), labels);
    };
    let p = theta;
    for (let step = 0; step < 5; step++) p = sub(p, mul(lr, grad(loss(p), [p])[0]!));
    const target = variable("target", [23]);
    const output = sum(square(sub(p, target)));
    const point = {
      output,
      inputs: [images, theta, lr],
      values: {
        images: draw(24),
        theta: draw(23),
        lr: [0.5],
        target: draw(23),
        labels: [0, 1, 1, 0, 1, 0],
      },
    };
    expect(derivativeError(point)).toBeLessThan(1e-7);
    expect(derivativeError(derivativePoint(point))).toBeLessThan(1e-7);
  });
});

describe("a tensor used twice", () => {
  test("gets the sum of both derivatives, also as both operands", () => {
    expectValues(
      grad(sum(mul(x, x)), [x])[0]!,
      X.map((z) => 2 * z),
    );
    expectValues(
      grad(sum(concat([exp(x), mul(x, 3)])), [x])[0]!,
      X.map((z) => Math.exp(z) + 3),
    );
  });

  test("may be asked for twice, and the output itself has the cotangent as its derivative", () => {
    const y = sum(square(x));
    const [a, b, own] = grad(y, [x, x, y]);
    expect(a).toBe(b);
    expect(constantValue(own!)).toBe(1);
  });
});

describe("a derivative that does not exist", () => {
  const other = variable("other", [2, 3]);

  test("for an unused input is an error that names it", () => {
    expect(() => grad(sum(x), [x, other])).toThrow(
      new GradError(
        'grad: the output must depend on input 1 (other [2, 3]) through differentiable operations; pass { unused: "zero" } if it need not',
      ),
    );
  });

  test("for an unused input is zero where that is asked for", () => {
    const [dx, zero] = grad(sum(x), [x, other], { unused: "zero" });
    expectValues(dx!, [1, 1, 1, 1, 1]);
    expect(zero!.shape).toEqual([2, 3]);
    expect(constantValue(zero!)).toBe(0);
  });

  test("through stopGradient alone is an error, beside it is not", () => {
    expect(() => grad(sum(stopGradient(exp(x))), [x])).toThrow(GradError);
    expect(() => grad(sum(stopGradient(exp(x))), [x])).toThrow("input 0 (x [5])");
    expectValues(grad(sum(mul(stopGradient(exp(x)), x)), [x])[0]!, X.map(Math.exp));
  });

  test("for an index is an error", () => {
    const index = variable("index", [2], "u32");
    expect(() => grad(sum(gather(x, index)), [index])).toThrow(GradError);
    expect(() => grad(sum(toFloat(index)), [index])).toThrow(GradError);
  });

  test("of what is no scalar is an error with the shape", () => {
    expect(() => grad(relu(other), [other])).toThrow(
      new ShapeError("grad: the output must be a scalar [], got [2, 3]"),
    );
  });

  test("for a cotangent of another shape is an error with both", () => {
    expect(() => vjp(other, [other], x)).toThrow(
      new ShapeError("vjp: the cotangent must have the shape of y, got [5] for [2, 3]"),
    );
  });
});
