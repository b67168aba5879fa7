/** @file Labels as logits and as class numbers, and back. */
import { expect, it } from "vitest";

import { classLogits, likeliest } from "../../distill/labels.ts";

it("are 0 at the class and -20 elsewhere, which leaves no doubt", () => {
  expect([...classLogits([1, 0, 2], 3)]).toEqual([-20, 0, -20, 0, -20, -20, -20, -20, 0]);
  expect([...classLogits([1], 2, -5)]).toEqual([-5, 0]);
});

it("are of the class whose logit is largest, the first of equals", () => {
  expect(likeliest(Float32Array.of(0, 1, 2, 3, -1, 3, -9, -8, -7), 3)).toEqual([2, 0, 2]);
  expect(likeliest(classLogits([3, 1], 4), 4)).toEqual([3, 1]);
});
