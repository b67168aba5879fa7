/** @file Masks of parameters: by depth, and by how near they are to their targets. */

import { describe, expect, it } from "vitest";

import { depthMask, withoutNearest } from "../../../distill/matching/masks.ts";

describe("the mask by depth", () => {
  it("leaves out the first share of the parameters", () => {
    expect([...depthMask(5, 0.5)]).toEqual([0, 0, 1, 1, 1]);
    expect([...depthMask(3, 0)]).toEqual([1, 1, 1]);
    expect([...depthMask(4, 0.99)]).toEqual([0, 0, 0, 1]);
  });
});

describe("the mask by distance", () => {
  const theta = Float32Array.of(0, 5, -3, 1, 2, -1);
  const target = new Float32Array(6);
  const all = depthMask(6, 0);

  it("leaves out the parameters that are nearest to their targets", () => {
    expect([...withoutNearest(all, theta, target, 0.5)]).toEqual([0, 1, 1, 0, 1, 0]);
    expect([...withoutNearest(all, theta, target, 0.1)]).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it("leaves out no more than its share where several are equally near: the first", () => {
    expect([...withoutNearest(all, theta, target, 0.34)]).toEqual([0, 1, 1, 0, 1, 1]);
  });

  it("takes its share of what another mask has left", () => {
    const deep = depthMask(6, 0.34);
    expect([...deep]).toEqual([0, 0, 1, 1, 1, 1]);
    expect([...withoutNearest(deep, theta, target, 0.5)]).toEqual([0, 0, 1, 0, 1, 0]);
  });
});
