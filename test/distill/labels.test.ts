/** @file Labels as logits and as class numbers, and back. */
import { expect, it } from "vitest";

import { grad, interpret, mul, softmax, sum, variable } from "../../engine/index.ts";
import {
  classLogits,
  EXACT,
  hardTargets,
  predictedClasses,
  softTargets,
} from "../../distill/labels.ts";
import { runOnGpu, sharedGpu } from "../support/gpu.ts";

const gpu = sharedGpu();

it("are 0 at the class and -20 elsewhere, which leaves no doubt", () => {
  expect([...classLogits([1, 0, 2], 3)]).toEqual([-20, 0, -20, 0, -20, -20, -20, -20, 0]);
  expect([...classLogits([1], 2, -5)]).toEqual([-5, 0]);
});

it("are of the class whose logit is largest, the first of equals", () => {
  expect([...predictedClasses(Float32Array.of(0, 1, 2, 3, -1, 3, -9, -8, -7), 3)]).toEqual([
    2, 0, 2,
  ]);
  expect([...predictedClasses(classLogits([3, 1], 4), 4)]).toEqual([3, 1]);
});

it("of exact logits are one 1 and zeros, on the adapter too, and have no gradient", async () => {
  const classes = [2, 0, 4];
  const labels = classLogits(classes, 5, EXACT);
  const y = variable("y", [3, 5]);
  const probabilities = softmax(y);
  const [gradient] = grad(sum(mul(probabilities, variable("g", [3, 5]))), [y]);
  const values = { y: labels, g: Float32Array.from({ length: 15 }, (_, i) => i - 7) };
  const expected = [...hardTargets(classes, 5)];
  const zeros = expected.map(() => 0);
  const got = await runOnGpu(gpu(), { probabilities, gradient: gradient! }, values);
  expect([...got["probabilities"]!]).toEqual(expected);
  expect([...got["gradient"]!].map(Math.abs)).toEqual(zeros);
  const [inFloat64, slope] = interpret([probabilities, gradient!], values);
  expect([...inFloat64!]).toEqual(expected);
  expect([...slope!].map(Math.abs)).toEqual(zeros);
  expect([...softTargets(labels, 5)]).toEqual(expected);
});
