/** @file Golden values: every case holds, and the check can fail. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { goldenResults, worstCheck, type GoldenResult } from "./golden.ts";
import { sharedGpu } from "./support/gpu.ts";
import { runScript } from "./support/run-cli.ts";

/** Ours, of the smallest cases: it is there on every machine. */
const SMALL = fileURLToPath(new URL("golden/data/", import.meta.url));
const SHARED = fileURLToPath(new URL("../../shared/golden/", import.meta.url));
const FOLDER = existsSync(SHARED) ? SHARED : SMALL;
const FILES = ["models.json", "unroll.json", "augment.json", "teacher.json", "zca.json"];

/** A case as far as its result is told apart by it. */
type Case = Record<string, unknown> & { readonly name?: string; readonly op?: string };

function casesOf(folder: string, file: string): Case[] {
  const cases = JSON.parse(readFileSync(join(folder, file), "utf8")) as Case | Case[];
  return Array.isArray(cases) ? cases : [cases];
}

/** In the order in which they are run. */
const ALL = FILES.filter((file) => existsSync(join(FOLDER, file))).flatMap((file) =>
  casesOf(FOLDER, file).map((c, i) => ({ file, name: c.name ?? c.op ?? String(i) })),
);

const gpu = sharedGpu();

describe("a golden case", () => {
  let results: AsyncGenerator<GoldenResult>;
  beforeAll(() => {
    results = goldenResults(gpu(), FOLDER);
  });

  it.each(ALL)("of $file holds: $name", async ({ file, name }) => {
    let result: GoldenResult;
    do {
      const next = await results.next();
      if (next.done === true) throw new Error("the runner must reach the case, got its end");
      result = next.value;
    } while (result.file !== file || result.name !== name);
    const { outcome } = result;
    if ("skipped" in outcome) throw new Error(`must be run, got skipped: ${outcome.skipped}`);
    expect(outcome.checks.length).toBeGreaterThan(0);
    expect(outcome.checks.filter(({ error, tolerance }) => !(error <= tolerance))).toEqual([]);
  });
});

describe("the check of golden values", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "potstill-golden-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  const write = (file: string, cases: readonly unknown[]): void => {
    writeFileSync(join(folder, file), JSON.stringify(cases));
  };
  const [network] = casesOf(SMALL, "models.json") as [Case];
  const [student] = casesOf(SMALL, "unroll.json") as [Case];
  const [, adaptive, gsam] = casesOf(SMALL, "teacher.json") as [Case, Case, Case];
  const [turned] = casesOf(SMALL, "augment.json").slice(-1) as [Case];
  const [whitening] = casesOf(SMALL, "zca.json") as [Case];
  const logits = network["logits"] as number[];
  const derivatives = network["grad"] as { y: number[] };
  const gradients = student["grad"] as { x: number[] };

  it("applies the tolerances of the form", async () => {
    const allowed: Record<string, Record<string, number>> = {
      "models.json": { logits: 1e-4, softLoss: 1e-5, hardLoss: 1e-5 },
      "unroll.json": { "exact loss": 1e-5, "exact in parts loss": 1e-5 },
      "teacher.json": {},
      "zca.json": {},
      "augment.json": {},
    };
    const others: Record<string, number> = {
      "models.json": 5e-4,
      "unroll.json": 1e-3,
      "teacher.json": 1e-5,
      "zca.json": 1e-4,
      "augment.json": 2e-5,
    };
    for await (const { file, outcome } of goldenResults(gpu(), SMALL)) {
      if ("skipped" in outcome) throw new Error(`must be run, got ${outcome.skipped}`);
      for (const { what, tolerance } of outcome.checks)
        expect([what, tolerance]).toEqual([what, allowed[file]![what] ?? others[file]]);
    }
  });

  it.each([
    ["a logit", "models.json", { ...network, logits: [logits[0]! + 1e-3, ...logits.slice(1)] }],
    ["a loss", "models.json", { ...network, softLoss: (network["softLoss"] as number) * 1.00003 }],
    [
      "a network's gradient",
      "models.json",
      { ...network, grad: { ...derivatives, y: derivatives.y.map((g) => g * 1.002) } },
    ],
    [
      "a gradient",
      "unroll.json",
      { ...student, grad: { ...gradients, x: gradients.x.map((g) => g * 1.002) } },
    ],
    ["a learning rate", "unroll.json", { ...student, lr: (student["lr"] as number) * 1.01 }],
    ["a draw", "augment.json", { ...turned, draws: [[0.878]] }],
    ["a whitening's eps", "zca.json", { ...whitening, eps: 0.1005 }],
    ["a teacher's ρ", "teacher.json", { ...adaptive, rho: 0.011 }],
    ["a teacher's α", "teacher.json", { ...gsam, alpha: 0.35 }],
    ["a teacher's kind of GSAM", "teacher.json", { ...adaptive, adaptive: false }],
  ])("fails where %s of a case is altered", async (_, file, altered) => {
    write(file, [altered]);
    const worst: unknown[] = [];
    for await (const { outcome } of goldenResults(gpu(), folder)) {
      const { error, tolerance } = worstCheck(outcome)!;
      worst.push(error > tolerance);
    }
    expect(worst).toEqual([true]);
  });

  it("prints a line a case and the count, and exits with 0, where all holds", async () => {
    const { code, stdout, stderr } = await runScript("test/golden.ts", [SMALL]);
    const line = (start: string): RegExp =>
      new RegExp(`^${start}: \\d\\.\\d\\de-\\d+ of \\de-\\d \\(.+\\) ok$`);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toEqual([
      expect.stringMatching(line("models.json ConvNetD2-8")),
      expect.stringMatching(line("unroll.json one-step")),
      expect.stringMatching(line("unroll.json three-steps")),
      expect.stringMatching(line("augment.json saturation")),
      expect.stringMatching(line("augment.json scale")),
      expect.stringMatching(line("augment.json rotate")),
      expect.stringMatching(line("teacher.json sgd")),
      expect.stringMatching(line("teacher.json gsam-adaptive")),
      expect.stringMatching(line("teacher.json gsam")),
      expect.stringMatching(line("zca.json 0")),
      "10 passed, 0 failed, 0 skipped",
    ]);
    expect([code, stderr]).toEqual([0, ""]);
  });

  it("prints FAIL and skipped cases by name, and exits with 1, where one does not hold", async () => {
    write("models.json", [
      { ...network, hardLoss: 1 },
      { ...network, name: "Hologram" },
    ]);
    write("unroll.json", [student]);
    const { code, stdout, stderr } = await runScript("test/golden.ts", [folder]);
    expect(stdout.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/^models\.json ConvNetD2-8: 1\.15e\+0 of 1e-5 \(hardLoss\) FAIL$/),
      "models.json Hologram: skipped (no network Hologram)",
      expect.stringMatching(/^unroll\.json one-step: .* ok$/),
      "1 passed, 1 failed, 1 skipped",
    ]);
    expect([code, stderr]).toEqual([1, ""]);
  });

  it("refuses a folder without golden files in one sentence", async () => {
    expect(await runScript("test/golden.ts", [folder])).toEqual({
      code: 1,
      stdout: "",
      stderr: `golden: ${folder} must hold at least one of ${FILES.join(", ")}, got none\n`,
    });
  });

  it("wants exactly one folder", async () => {
    const usage = "golden: exactly one folder must be named: npm run -s golden -- DIR\n";
    const refused = { code: 2, stdout: "", stderr: usage };
    expect(await runScript("test/golden.ts", [])).toEqual(refused);
    expect(await runScript("test/golden.ts", [folder, folder])).toEqual(refused);
  });
});
