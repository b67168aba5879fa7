/** @file Sizes of memory as people write them. */

import { expect, it } from "vitest";

import { formatBytes, parseBytes } from "../../../distill/matching/memory.ts";
import { resolveRecipe, type RecipeOverrides } from "../../../distill/recipe.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";

it.each([
  ["2GiB", 2 ** 31],
  ["2 gib", 2 ** 31],
  ["1.5MiB", 1.5 * 2 ** 20],
  ["8KiB", 8192],
  ["123", 123],
  [123, 123],
  ["0.0001KiB", undefined],
  ["0", undefined],
  ["-1", undefined],
  ["2GB", undefined],
  ["GiB", undefined],
  ["", undefined],
  [NaN, undefined],
  [1.5, 1],
])("%j is as many bytes", (size, bytes) => {
  expect(parseBytes(size)).toBe(bytes);
});

it("sizes are shown in the largest unit that suits", () => {
  expect([1, 1023, 1024, 20 * 2 ** 20, 2 ** 31, 1.234 * 2 ** 30].map(formatBytes)).toEqual([
    "1 B",
    "1023 B",
    "1.00 KiB",
    "20.0 MiB",
    "2.00 GiB",
    "1.23 GiB",
  ]);
});

it("a recipe's size is one of these, or refused", () => {
  const digits = readRecipe(shippedRecipes().get("digits-ipc1")!);
  const memoryOf = (memory: unknown) => resolveRecipe(digits, { memory } as RecipeOverrides).memory;
  expect([memoryOf("512MiB"), memoryOf(7e8)]).toEqual(["512MiB", 7e8]);
  expect(() => memoryOf("2 pies")).toThrow(
    'command line: memory must be bytes, or a size like 2GiB or 512MiB, got "2 pies"',
  );
  expect(() => memoryOf(true)).toThrow("command line: memory must be a size, got true");
});
