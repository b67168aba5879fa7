/** @file Confusion matrices: counted by hand. */

import { expect, it } from "vitest";

import {
  accuracyOf,
  addConfusions,
  classAccuracies,
  confusionMatrix,
  formatConfusion,
} from "../../../distill/evaluation/confusion.ts";

const matrix = confusionMatrix([0, 0, 0, 1, 1], [0, 2, 0, 1, 0], 3);

it("counts true classes by row and predicted ones by column", () => {
  expect(matrix).toEqual([
    [2, 0, 1],
    [1, 1, 0],
    [0, 0, 0],
  ]);
  expect(addConfusions([matrix, matrix])[0]).toEqual([4, 0, 2]);
});

it("gives the accuracy of all images and of each class, 0 where there are none", () => {
  expect(accuracyOf(matrix)).toBe(0.6);
  expect(classAccuracies(matrix)).toEqual([2 / 3, 0.5, 0]);
});

it("is shown with the names of the classes", () => {
  expect(formatConfusion(matrix, ["cat", "dog", "eel"]).split("\n")).toEqual([
    "true \\ taken for  cat  dog  eel  accuracy",
    "cat                 2    0    1    66.7 %",
    "dog                 1    1    0    50.0 %",
    "eel                 0    0    0     0.0 %",
  ]);
});
