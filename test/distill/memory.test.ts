/** @file Sizes of memory as people write them. */

import { expect, it } from "vitest";

import { formatBytes, parseBytes } from "../../distill/memory.ts";

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
