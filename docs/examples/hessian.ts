/** @file The engine alone: a loss of one's own, its gradient, and its Hessian times a direction. */
import * as potstill from "potstill/engine";

const { add, exp, grad, matmul, mean, mul, neg, square, sub, sum, tanh, variable } = potstill;

// A small network under Welsch's robust loss, the mean of 1 - exp(-(f(x) - y)²).
const [x, y] = [variable("x", [64, 8]), variable("y", [64, 1])];
const weights = [variable("w1", [8, 16]), variable("w2", [16, 1])];
const output = matmul(tanh(matmul(x, weights[0]!)), weights[1]!);
export const loss = mean(sub(1, exp(neg(square(sub(output, y))))));

// H v is the gradient of ⟨∇loss, v⟩: a derivative is a graph like any other, so it has derivatives too.
const direction = [variable("v1", [8, 16]), variable("v2", [16, 1])];
export const gradient = grad(loss, weights);
const dot = (as: readonly potstill.Tensor[], bs: readonly potstill.Tensor[]): potstill.Tensor =>
  as.map((a, i) => sum(mul(a, bs[i]!))).reduce((a, b) => add(a, b));
export const products = grad(dot(gradient, direction), weights);
const curvature = dot(direction, products);

// Values of every variable, drawn from a seed; then the program is compiled once, and runs on the adapter.
const random = new potstill.Random(1);
export const values = Object.fromEntries(
  [x, y, ...weights, ...direction].map((of) => [
    of.params["name"] as string,
    random.fill(of.size, -0.5, 0.5),
  ]),
);
using gpu = await potstill.Gpu.open();
const outputs = { loss, h1: products[0]!, h2: products[1]!, curvature };
using program = await potstill.Program.compile(gpu, { all: outputs });
for (const [name, value] of Object.entries(values)) program.write(name, value);
program.run("all");
export const results = await program.read("loss", "h1", "h2", "curvature");
const [value, , , along] = results.map((result) => result[0]!.toPrecision(4));
console.log(`the loss is ${value}, its second derivative along v ${along}`);
