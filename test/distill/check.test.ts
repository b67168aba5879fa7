/** @file The check of gradients: it agrees with a true one, and finds a false one. */

import { describe, expect, it } from "vitest";

import { Random } from "../../engine/index.ts";
import { buildModel, initialise } from "../../models/index.ts";
import { compareGradients, type CheckOptions } from "../../distill/check.ts";
import { studentVariables, type StudentOptions } from "../../distill/student.ts";
import { minibatchTables } from "../../distill/unroll.ts";
import { sharedGpu } from "../support/gpu.ts";

const task = { channels: 1, size: 6, classes: 3 };
const kinks = buildModel("ConvNetD1W4", task);
const smooth = buildModel("ConvNetD1W4AS", task);
const gpu = sharedGpu();

function checkOf(steps: number, more: Partial<StudentOptions> = {}): CheckOptions {
  const options = { model: smooth, images: 6, batch: 3, steps, ...more };
  const random = new Random(4);
  const { images, labels } = studentVariables(options);
  const start = initialise(options.model, random);
  const minibatches = Array.from({ length: steps }, () => random.permutation(6).subarray(0, 3));
  return {
    options,
    values: {
      images: random.fill(images.size, -2, 2),
      labels: random.fill(labels.size, -2, 2),
      lr: Float32Array.of(0.3),
      start,
      target: start.map((v) => v + 0.1 * random.normal()),
      ...minibatchTables(options, minibatches),
    },
    random,
  };
}

describe("the check of gradients", () => {
  it("finds the exact gradient right, in parts too, and TESLA's wrong", async () => {
    for (const micro of [3, 2]) {
      const done: [number, number][] = [];
      const report = (...of: [number, number]): void => void done.push(of);
      const rows = await compareGradients(gpu(), { ...checkOf(4, { micro }), report });
      expect(rows.map(({ quantity }) => quantity)).toEqual(["images", "labels", "lr"]);
      for (const { norm, differences, smooth: twin, teslaError, teslaCosine } of rows) {
        expect(norm).toBeGreaterThan(0);
        expect(differences).toBeLessThan(2e-3);
        expect(twin).toBeUndefined();
        expect(teslaError).toBeGreaterThan(3e-3);
        expect(Math.abs(teslaCosine)).toBeLessThan(1 + 1e-9);
      }
      expect(done.at(-1)).toEqual([70, 70]);
    }
  });

  it("finds TESLA's the same where there is one step", async () => {
    for (const { teslaError, teslaCosine } of await compareGradients(gpu(), checkOf(1))) {
      expect(teslaError).toBe(0);
      expect(teslaCosine).toBeCloseTo(1, 10);
    }
  });

  it("would find a gradient that is not that of the loss", async () => {
    // In place of the exact one, TESLA's.
    const [images] = await compareGradients(gpu(), checkOf(4, { gradient: "tesla" }));
    expect(images!.differences).toBeGreaterThan(3e-3);
  });

  it("looks at a smooth network beside one with kinks, and at some quantities alone", async () => {
    const check = { ...checkOf(3, { model: kinks }), smooth, quantities: ["labels"] as const };
    const rows = await compareGradients(gpu(), check);
    expect(rows.map(({ quantity }) => quantity)).toEqual(["labels"]);
    expect(rows[0]!.smooth).toBeLessThan(2e-3);
  });
});
