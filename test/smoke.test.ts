/** @file The least that must work on every adapter: CI runs it on the bundled SwiftShader too. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { Gpu } from "../engine/gpu/device.ts";
import { createProgress } from "../distill/progress.ts";
import { readRecipe, shippedRecipes } from "../distill/recipe-file.ts";
import { resolveRecipe } from "../distill/recipe.ts";
import { beginRun, distil, openRun, teachersOf, workOf } from "../distill/run.ts";
import { unrollCase } from "./golden/cases.ts";
import { DOUBLES, doubles } from "./support/doubling.ts";

test("a compute shader's values come back from the adapter that was asked for", async () => {
  using gpu = await Gpu.open();
  const wanted = process.env["POTSTILL_ADAPTER"];
  if (wanted !== undefined && wanted !== "") expect(gpu.facts.kind).toBe(wanted);
  expect(await doubles(gpu)).toEqual(DOUBLES);
});

test("a student's step and the gradient through it have their golden values", async () => {
  const file = new URL("golden/data/unroll.json", import.meta.url);
  const [oneStep] = JSON.parse(readFileSync(file, "utf8")) as Parameters<typeof unrollCase>[1][];
  using gpu = await Gpu.open();
  const outcome = await unrollCase(gpu, oneStep!);
  if ("skipped" in outcome) throw new Error(`must be run, got skipped: ${outcome.skipped}`);
  expect(outcome.checks.length).toBe(18);
  expect(outcome.checks.filter(({ error, tolerance }) => !(error <= tolerance))).toEqual([]);
});

test("the digits are taught to a small network, and two iterations distil them", async () => {
  const recipe = resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc1")!), {
    ...{ width: 4, syn_steps: 2, expert_epochs: 1, max_start_epoch: 1, iterations: 2 },
    teachers: { experts: 1, epochs: 1 },
  });
  const folder = mkdtempSync(join(tmpdir(), "potstill-smoke-"));
  try {
    using gpu = await Gpu.open({ threads: "one" });
    beginRun(folder);
    const progress = createProgress({ quiet: true });
    const context = await openRun(gpu, await workOf(recipe), folder, progress);
    const teachers = await teachersOf(context, recipe);
    const { images, labels, lr } = await distil(context, recipe, teachers);
    expect([...images, ...labels, lr].every(Number.isFinite)).toBe(true);
    const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    const losses = lines.map((line) => JSON.parse(line) as { loss: number; accepted: boolean });
    expect(losses.map(({ accepted }) => accepted)).toEqual([true, true]);
    // Two steps towards where the teacher went in one epoch.
    for (const { loss } of losses) expect(loss).toBeLessThan(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
