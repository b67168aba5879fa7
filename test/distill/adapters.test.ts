/** @file One iteration of the demo on two drivers that share no code: lavapipe and SwiftShader. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { match, type IterationRecord } from "../../distill/matching/match.ts";
import { createProgress } from "../../distill/progress.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { resolveRecipe } from "../../distill/recipe.ts";
import { openRun, startOf, teachersOf, workOf } from "../../distill/run.ts";
import { Gpu, Random } from "../../engine/index.ts";
import { relativeError } from "../golden/fill.ts";

const open = (adapter: string): Promise<Gpu | undefined> =>
  Gpu.open({ adapter, threads: "one" }).catch(() => undefined);

it("has the same loss and gradients to 1e-4", async ({ skip }) => {
  using lavapipe = await open("lavapipe");
  using swiftshader = await open("swiftshader");
  if (!lavapipe || !swiftshader) return skip("both drivers must be installed");
  const folder = mkdtempSync(join(tmpdir(), "potstill-adapters-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  // The demo's recipe as it is, but for its teachers, of which the iteration draws one.
  const recipe = resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc1")!), {
    iterations: 1,
    max_start_epoch: 1,
    teachers: { experts: 1, epochs: 3 },
  });
  const work = await workOf(recipe);
  const context = await openRun(lavapipe, work, folder, createProgress({ quiet: true }));
  const teachers = await teachersOf(context, recipe);
  const start = await startOf(context, recipe, teachers, new Random(1));

  const iterate = async (gpu: Gpu) => {
    const records: IterationRecord[] = [];
    const onIteration = (record: IterationRecord) => records.push(record);
    const random = new Random(2);
    const { model } = work;
    const { last } = await match({ gpu, model, recipe, teachers, start, random, onIteration });
    const moved = (after: Float32Array, before: Float32Array) =>
      after.map((v, i) => v - before[i]!);
    return {
      loss: [records[0]!.loss],
      images: moved(last.images, start.images),
      labels: moved(last.labels, start.labels),
      lr: [last.lr - recipe.lr_teacher],
    };
  };
  const one = await iterate(lavapipe);
  const other = await iterate(swiftshader);
  for (const key of ["loss", "images", "labels", "lr"] as const) {
    expect(Math.hypot(...one[key]), key).toBeGreaterThan(0);
    expect(relativeError(other[key], one[key]), key).toBeLessThan(1e-4);
  }
});
