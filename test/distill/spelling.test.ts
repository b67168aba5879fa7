/** @file The word that was meant. */
import { describe, expect, it } from "vitest";

import { closest, editDistance } from "../../distill/spelling.ts";

describe("editDistance", () => {
  it.each([
    ["", "", 0],
    ["abc", "", 3],
    ["", "ab", 2],
    ["kitten", "sitting", 3],
    ["ab", "ba", 1],
    ["abcd", "acbd", 1],
    ["ca", "abc", 3],
  ])("from %j to %j is %d", (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

describe("closest", () => {
  const words = ["teachers", "teachers.lr", "lr_img", "lr_y"];

  it("finds the word that was meant, whatever its case and dashes", () => {
    expect(closest("LR-IMG", words)).toBe("lr_img");
    expect(closest("lr_imgs", words)).toBe("lr_img");
    expect(closest("techers", words)).toBe("teachers");
    expect(closest("lr", words)).toBe("teachers.lr");
  });

  it("finds none when all are far, and bears nonsense", () => {
    expect(closest("banana", words)).toBeUndefined();
    expect(closest("", words)).toBeUndefined();
    expect(closest("x".repeat(1_000_000), words)).toBeUndefined();
  });

  it("weighs in a handicap", () => {
    expect(closest("lr", ["lr", "a.lr"], (word) => (word === "lr" ? 0.5 : 0))).toBe("a.lr");
  });
});
