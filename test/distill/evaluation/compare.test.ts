/** @file Recipes compared: rows in order, teachers in common trained once, one table on one device or two. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { Gpu } from "../../../engine/index.ts";
import { compare, type Entry } from "../../../distill/evaluation/compare.ts";
import { createProgress, type Progress } from "../../../distill/progress.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import { resolveRecipe, type RecipeOverrides } from "../../../distill/recipe.ts";
import { runState } from "../../../distill/resume/folder.ts";
import { workOf } from "../../../distill/run.ts";
import { contents } from "../../support/run-cli.ts";
import { formatTable } from "../../../distill/evaluation/table.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-compare-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

async function entry(name: string, overrides: RecipeOverrides): Promise<Entry> {
  const recipe = resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc1")!), {
    ...{ width: 4, syn_steps: 2, expert_epochs: 1, max_start_epoch: 1, iterations: 2 },
    teachers: { experts: 1, epochs: 1 },
    evaluation: { num_eval: 1, epoch_eval_train: 2 },
    ...overrides,
  });
  return { name, work: await workOf(recipe) };
}

it("compares recipes that share teachers, with the same files on one device and on two", async () => {
  using gpu = await Gpu.open({ threads: "one" });
  using beside = await Gpu.open({ threads: "one" });
  const entries = [
    await entry("early", {}),
    await entry("slow", { lr_img: 0 }),
    await entry("two", { ipc: 2, batch_syn: 20 }),
  ] as const;
  const run = async (name: string, ...gpus: [Gpu, ...Gpu[]]) => {
    const folder = join(root, name);
    const progress = createProgress({ quiet: true });
    const rows = await compare({ gpus, entries: [...entries], folder, progress });
    expect(JSON.parse(readFileSync(join(folder, "results.json"), "utf8"))).toEqual(rows);
    return { folder, rows };
  };
  const { folder, rows } = await run("alone", gpu);
  const named = rows.map(({ method, ipc, recipe }) => [method, ipc, recipe ?? ""].join(" "));
  expect(named).toEqual([
    "full 130 ",
    "random 1 ",
    "random-soft 1 ",
    "datm 1 early",
    "datm 1 slow",
    "random 2 ",
    "random-soft 2 ",
    "datm 2 two",
  ]);
  expect(formatTable(rows)).toContain("distilled (DATM), slow");
  expect(existsSync(join(folder, "early", "distilled-ipc1.safetensors"))).toBe(true);
  expect(existsSync(join(folder, "teachers-2"))).toBe(false);
  const together = await run("together", gpu, beside);
  expect(together.rows).toEqual(rows);
  for (const file of ["metrics.jsonl", "two/metrics.jsonl", "two/distilled-ipc2.safetensors"])
    expect(readFileSync(join(together.folder, file))).toEqual(readFileSync(join(folder, file)));
});

it("goes on after it was stopped, to the same files, without the seeds that are known", async () => {
  using gpu = await Gpu.open({ threads: "one" });
  const seeds = { evaluation: { num_eval: 3, epoch_eval_train: 2 } };
  const entries = [await entry("a", seeds), await entry("b", { ...seeds, lr_img: 0 })] as const;
  const quiet = createProgress({ quiet: true });
  const options = { gpus: [gpu] as const, entries: [...entries] as const };
  const undisturbed = join(root, "undisturbed");
  const rows = await compare({ ...options, folder: undisturbed, progress: quiet });
  const folder = join(root, "stopped");
  /** Epochs that evaluations began with. */
  let begun: Record<string, number> = {};
  let resume = false;
  // Stops in the evaluations, after a seed: of the first recipe's set, the whole set, and random images.
  for (const piece of ["evaluate datm", "evaluate full", "evaluate random-soft"]) {
    const stop = new AbortController();
    let label = "";
    const progress: Progress = {
      ...quiet,
      start: (next, _, done = 0) => {
        label = next;
        begun[label] ??= done;
      },
      update: (_, { accuracy } = {}) => {
        if (label.startsWith(piece) && accuracy !== undefined) stop.abort(new Error("stopped"));
      },
    };
    const { signal } = stop;
    await expect(compare({ ...options, folder, progress, signal, resume })).rejects.toThrow(
      "stopped",
    );
    expect(runState(folder)).toBe("unfinished");
    resume = true;
  }
  begun = {};
  const start = (label: string, _: number, done = 0): void => void (begun[label] ??= done);
  const progress = { ...quiet, start };
  expect(await compare({ ...options, folder, progress, resume })).toEqual(rows);
  expect(begun).toEqual({
    ...{ "distil ipc 1": 2, "evaluate datm ipc 1 ConvNetD2": 9, "evaluate full ConvNetD2": 9 },
    ...{ "evaluate random ipc 1 ConvNetD2": 9, "evaluate random-soft ipc 1 ConvNetD2": 6 },
  });
  expect(contents(folder)).toEqual(contents(undisturbed));
});

it("refuses recipes of unlike networks, and one name twice", async () => {
  using gpu = await Gpu.open({ threads: "one" });
  const first = await entry("a", {});
  const options = {
    gpus: [gpu] as const,
    folder: join(root, "none"),
    progress: createProgress({ quiet: true }),
  };
  const wide = await entry("b", { width: 5 });
  await expect(compare({ ...options, entries: [first, wide] })).rejects.toThrow(
    "compare: every recipe's width must be 4 as the first one's, got 5",
  );
  await expect(compare({ ...options, entries: [first, first] })).rejects.toThrow("got a twice");
  expect(existsSync(options.folder)).toBe(false);
});
