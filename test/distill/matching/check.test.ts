/** @file The check of gradients: it agrees with a true one, and finds a false one. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { buildModel, initialise } from "../../../models/index.ts";
import {
  compareGradients,
  smoothNetwork,
  type CheckOptions,
} from "../../../distill/matching/check.ts";
import { formatComparisons, verdict } from "../../../distill/cli/check-gradient.ts";
import { DistillError } from "../../../distill/matching/match.ts";
import { studentVariables, type StudentOptions } from "../../../distill/matching/student.ts";
import { minibatchTables } from "../../../distill/matching/unroll.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runCli } from "../../support/run-cli.ts";

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

describe("the smooth network of one with kinks", () => {
  it.each([
    ["ConvNet", "ConvNetASwish"],
    ["ConvNetD2W16ALMP", "ConvNetD2W16ASwishAP"],
    ["ConvNetD3ASMP", "ConvNetD3ASAP"],
    ["ConvNetD3ASwish", "ConvNetD3ASwish"],
    ["ResNet18", undefined],
  ])("of %s is %s", (name, smooth) => {
    expect(smoothNetwork(name)).toBe(smooth);
    if (smooth === undefined) return;
    const [one, other] = [name, smooth].map((n) => buildModel(n, { ...task, size: 16 }));
    expect(other!.parameters).toEqual(one!.parameters);
  });
});

describe("potstill check-gradient", () => {
  const row = { quantity: "lr", norm: 2, differences: 0.0123, smooth: undefined } as const;
  const rows = [{ ...row, teslaError: 1.5, teslaCosine: 0.25 }];

  it("prints a table of a recipe's gradients, and what it says", async () => {
    const folder = mkdtempSync(join(tmpdir(), "potstill-check-"));
    try {
      const small = "--width 4 --syn_steps 3 --expert_epochs 1 --max_start_epoch 1 --seed 2";
      const teachers = "--teachers.experts 1 --teachers.epochs 1 --teachers.batch 256";
      const args = `check-gradient digits --ipc 1 ${small} ${teachers} --quiet --out ${folder}`;
      const { code, stdout, stderr } = await runCli(args.split(" "));
      expect([code, stderr]).toEqual([0, expect.not.stringContaining("Error")]);
      const lines = stdout.trimEnd().split("\n");
      expect(lines[0]).toBe(
        "gradient of  norm     differences, ConvNetD2  differences, ConvNetD2ASwish  TESLA's error  TESLA's cosine",
      );
      const names = lines.slice(1, 4).map((line) => line.split(" ")[0]);
      expect(names).toEqual(["images", "labels", "lr"]);
      expect(lines.at(-1)).toMatch(
        /^The exact gradient agrees with differences to 0\.\d+ %\. ConvNetD2 has kinks, /,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("leaves out the smooth network's column where there is none", () => {
    expect(formatComparisons(rows, "ResNet18", undefined).split("\n")).toEqual([
      "gradient of  norm     differences, ResNet18  TESLA's error  TESLA's cosine",
      "lr           2.00e+0  1.2 %                  150 %          0.2500",
    ]);
    expect(verdict(rows, "ResNet18", undefined)).toContain("ResNet18 has kinks");
  });

  it("fails where the exact gradient and differences disagree", () => {
    expect(() => verdict(rows, "ConvNetAS", "ConvNetAS")).toThrow(
      new DistillError(
        "check-gradient: the exact gradient must agree with differences to 1 %, got 1.2 % for ConvNetAS",
      ),
    );
    const smooth = [{ ...rows[0]!, smooth: 0.002 }];
    expect(verdict(smooth, "ConvNet", "ConvNetASwish")).toMatch(/to 0\.2 %\. ConvNet has kinks/);
  });
});
