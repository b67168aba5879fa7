/** @file Maps of which the result is known: they move pixels without touching their bits. */
import { describe, expect, it } from "vitest";
import { flip, pad, permute, Random, resample, slice, variable } from "../../engine/index.ts";
import type { Tensor } from "../../engine/index.ts";
import { runOnGpu, sharedGpu } from "../support/gpu.ts";

const gpu = sharedGpu();

const x = variable("x", [2, 3, 6, 6]);
const map = variable("map", [2, 2, 3]);

const up: Tensor = pad(slice(x, [0, 0, 2, 0], [2, 3, 4, 6]), { after: [0, 0, 2, 0] });

describe("resample by whole pixels", () => {
  it.each<[string, number[], Tensor]>([
    ["changes nothing", [1, 0, 0, 0, 1, 0], x],
    ["exchanges left and right", [1, 0, 0, 0, -1, 0], flip(x, [3])],
    ["moves the image up", [1, 0, 2, 0, 1, 0], up],
    ["exchanges rows and columns", [0, 1, 0, 1, 0, 0], permute(x, [0, 1, 3, 2])],
    ["turns the image", [0, 1, 0, -1, 0, 0], flip(permute(x, [0, 1, 3, 2]), [2])],
  ])("%s", async (_, entries, expected) => {
    const outputs = { actual: resample(x, map), expected };
    const values = {
      x: new Random(3).fill(x.size, -2, 2),
      map: Float32Array.from([...entries, ...entries]),
    };
    const got = await runOnGpu(gpu(), outputs, values);
    expect(got["actual"]).toEqual(got["expected"]);
  });
});

describe("resample", () => {
  it("refuses what is no image, or has no map for each", () => {
    const shapes = "resample: needs images [N, C, H, W] and a map [N, 2, 3], got ";
    expect(() => resample(variable("y", [3, 6, 6]), map)).toThrow(`${shapes}[3, 6, 6]`);
    expect(() => resample(x, variable("m", [2, 6]))).toThrow(`${shapes}[2, 3, 6, 6] and [2, 6]`);
  });
});
