/** @file The command line as a user meets it: a small run from end to end, and what the adapter is. */

import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { DIGITS_MEAN, DIGITS_STD } from "../../distill/data/digits.ts";
import { readDistilled, writeDistilled, type DistilledMeta } from "../../distill/distilled.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import type { ResultRow } from "../../distill/evaluation/table.ts";
import { readTrajectory } from "../../distill/teachers/trajectory.ts";
import { contents, runCli, type Finished } from "../support/run-cli.ts";

/** Arguments of a run that takes seconds. */
const tiny = (seed: number): string[] => [
  ...["distill", "digits", "--ipc", "1", "--seed", String(seed), "--quiet"],
  ...["--iterations", "3", "--max_start_epoch", "2"],
  ...["--teachers.experts", "1", "--teachers.epochs", "4"],
  ...["--evaluation.epoch_eval_train", "5", "--evaluation.num_eval", "1"],
];

let root: string;
let copies = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-cli-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const rowsOf = (folder: string): ResultRow[] =>
  JSON.parse(readFileSync(join(folder, "results.json"), "utf8")) as ResultRow[];
const eventsOf = (folder: string): Record<string, unknown>[] =>
  readFileSync(join(folder, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** A row's fields, in the order in which they are written. */
function expectRow(row: ResultRow, method: string, ipc: number): void {
  const { mean, perClass, confusion, ...others } = row;
  const keys = ["method", "ipc", "network", "mean", "std", "seeds", "values"];
  expect(Object.keys(row)).toEqual([...keys, "perClass", "confusion"]);
  expect(others).toEqual({ method, ipc, network: "ConvNetD2", std: 0, seeds: 1, values: [mean] });
  const right = confusion.map((counts, k) => counts[k]!);
  const all = confusion.map((counts) => counts.reduce((a, b) => a + b));
  expect(perClass).toEqual(right.map((count, k) => count / all[k]!));
  expect(right.reduce((a, b) => a + b) / all.reduce((a, b) => a + b)).toBe(mean);
  expect(mean).toBeGreaterThan(0);
  expect(mean).toBeLessThan(1);
}

describe("a run", () => {
  let run: string;
  let again: string;
  let finished: Finished[];
  beforeAll(async () => {
    [run, again] = [join(root, "run"), join(root, "again")];
    // One after the other: what the driver compiled for the first, the second finds in its cache.
    finished = [];
    for (const out of [run, again]) finished.push(await runCli([...tiny(7), "--out", out], root));
  });

  it("ends well, prints its table and nothing else when quiet", () => {
    const [row] = rowsOf(run);
    const percent = (100 * row!.mean).toFixed(1);
    for (const { code, stdout, stderr } of finished) {
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toBe(
        "method            images a class  network    test accuracy  seeds\n" +
          `distilled (DATM)  1               ConvNetD2  ${percent} ± 0.0 %   1\n`,
      );
    }
  });

  it("leaves exactly its files in the folder", () => {
    expect(Object.keys(contents(run))).toEqual([
      "buffer/teacher-0000.safetensors",
      "comparison-ipc1.png",
      "data.json",
      "distilled-ipc1.safetensors",
      "evaluation.json",
      "evolution-ipc1.png",
      "images-ipc1.png",
      "metrics.jsonl",
      "recipe.yaml",
      "results.json",
      "run.json",
      "snapshots/ipc1-000000.safetensors",
      "snapshots/ipc1-000001.safetensors",
      "snapshots/ipc1-000002.safetensors",
      "snapshots/ipc1-000003.safetensors",
      "timing.jsonl",
    ]);
  });

  it("done twice gives the same bytes", () => {
    expect(contents(again)).toEqual(contents(run));
  });

  it("gives the same bytes when its times are taken, a trace of it, and TensorBoard's events", async () => {
    const [out, trace] = [join(root, "profiled"), join(root, "trace.json")];
    const { code, stdout, stderr } = await runCli(
      [...tiny(7), "--out", out, "--profile", trace, "--tensorboard"],
      root,
    );
    expect([code, stdout]).toEqual([0, finished[0]!.stdout]);
    expect(stderr).toMatch(/^kernel .*\n(?:.*\n)+trace: .*trace\.json, \d+ events\n$/);
    const [[events] = [], ...others] = Object.entries(contents(out)).sort(
      ([a], [b]) => Number(b.startsWith("tensorboard/")) - Number(a.startsWith("tensorboard/")),
    );
    expect(events).toMatch(/^tensorboard\/events\.out\.tfevents\./);
    const logged = readFileSync(join(out, events!), "latin1");
    for (const name of ["Grand_Loss", "Synthetic_LR", "Start_Epoch", "Progress"])
      expect(logged.split(name).length - 1).toBe(3);
    for (const name of ["Accuracy/ConvNetD2", "Max_Accuracy/ConvNetD2", "Std/ConvNetD2"])
      expect(logged).toContain(name);
    expect(Object.fromEntries(others)).toEqual(contents(run));
    const { traceEvents } = JSON.parse(readFileSync(trace, "utf8")) as { traceEvents: object[] };
    expect(traceEvents.length).toBeGreaterThan(1000);
  });

  it("writes the row of the distilled set", () => {
    const rows = rowsOf(run);
    expect(rows.length).toBe(1);
    expectRow(rows[0]!, "datm", 1);
  });

  it("writes the recipe that it followed", () => {
    const shipped = readRecipe(shippedRecipes().get("digits-ipc1")!);
    expect(readRecipe(join(run, "recipe.yaml"))).toEqual({
      ...shipped,
      ...{ iterations: 3, max_start_epoch: 2, seed: 7 },
      teachers: { ...shipped.teachers, experts: 1, epochs: 4 },
      evaluation: { ...shipped.evaluation, epoch_eval_train: 5, num_eval: 1 },
    });
  });

  it("writes a line for each iteration and for the evaluation", () => {
    const [first, second, third, evaluation, ...others] = eventsOf(run);
    expect(others).toEqual([]);
    [first, second, third].forEach((event, i) => {
      const { loss, lr, start, ...rest } = event!;
      const same = { event: "iteration", ipc: 1, teacher: 0, accepted: true };
      expect(rest).toEqual({ ...same, iteration: i + 1 });
      expect([0, 1]).toContain(start);
      for (const value of [loss, lr]) expect(value).toBeGreaterThan(0);
      expect(loss).toBeLessThan(1);
    });
    expect(evaluation).toEqual({
      ...{ event: "evaluation", method: "datm", ipc: 1, lr: third!["lr"] },
      accuracies: [rowsOf(run)[0]!.mean],
    });
  });

  it("writes the set with all that a stranger needs", () => {
    const { images, labels, lr, shape, meta } = readDistilled(
      join(run, "distilled-ipc1.safetensors"),
    );
    expect(shape).toEqual([10, 1, 8, 8]);
    expect([images.length, labels.length]).toEqual([640, 100]);
    expect(lr).toBe(eventsOf(run)[2]!["lr"]);
    expect(meta).toEqual({
      ...{ dataset: "digits", ipc: 1, network: "ConvNetD2", width: 16, seed: 7 },
      classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
      augmentation: "none",
      preprocessing: { kind: "normalise", mean: [DIGITS_MEAN], std: [DIGITS_STD] },
      accuracy: { mean: rowsOf(run)[0]!.mean, std: 0, seeds: 1 },
    });
  });

  it("draws a sheet of one row a class", () => {
    const { width, height, channels } = decode(readFileSync(join(run, "images-ipc1.png")));
    // Ten cells of 48 pixels, 2 between them and around.
    expect([width, height, channels]).toEqual([52, 502, 1]);
  });

  it("keeps its teachers, which learnt something", () => {
    const { meta, parameters } = readTrajectory(join(run, "buffer/teacher-0000.safetensors"));
    expect([meta.epochs, meta.seed, parameters]).toEqual([4, 7, 3194]);
    expect(meta.testAccuracy[3]).toBeGreaterThan(0.5);
  });

  it("is evaluated beside the whole set and random real images, the same each time", async () => {
    const copy = join(root, "evaluated");
    cpSync(run, copy, { recursive: true });
    const { code, stdout, stderr } = await runCli(["evaluate", copy, "--quiet"], root);
    expect([code, stderr]).toEqual([0, ""]);
    const rows = rowsOf(copy);
    expect(rows.map(({ method }) => method)).toEqual(["full", "random", "random-soft", "datm"]);
    rows.forEach((row) => expectRow(row, row.method, row.method === "full" ? 130 : 1));
    expect(rows[3]).toEqual(rowsOf(run)[0]);
    expect(rows[0]!.mean).toBeGreaterThan(0.8);
    expect(stdout.split("\n").slice(1, 5)).toEqual([
      expect.stringMatching(/^whole training set +all +ConvNetD2 +\d\d\.\d ± 0\.0 % +1$/),
      expect.stringMatching(/^random real images +1 +ConvNetD2 +\d\d\.\d ± 0\.0 % +1$/),
      expect.stringMatching(
        /^random real, teacher's soft labels +1 +ConvNetD2 +\d+\.\d ± 0\.0 % +1$/,
      ),
      expect.stringMatching(/^distilled \(DATM\) +1 +ConvNetD2 +\d\d\.\d ± 0\.0 % +1$/),
    ]);
    // All but the table and the log of the evaluation is as it was.
    const [before, after] = [contents(run), contents(copy)];
    for (const [path, content] of Object.entries(after)) {
      if (path === "metrics.jsonl") expect(content.startsWith(before[path]!)).toBe(true);
      else if (path !== "results.json" && path !== "evaluation.json")
        expect(content === before[path], path).toBe(true);
    }
    expect(Object.keys(after)).toEqual(Object.keys(before));
  });

  /** Writes the distilled set of a run anew with other metadata, and images of `size` pixels. */
  function remake(folder: string, changes: Partial<DistilledMeta>, size = 8): void {
    const path = join(folder, "distilled-ipc1.safetensors");
    const { meta, ...set } = readDistilled(path);
    const images = set.images.slice(0, 10 * size * size);
    const shape = [10, 1, size, size];
    writeDistilled(path, { ...set, images, shape, meta: { ...meta, ...changes } });
  }

  /** A changed copy of the run is refused in these words, and stays as it is. */
  it.each<[string, string[], (copy: string) => void, (copy: string) => string]>([
    [
      "distill finds teachers of another seed",
      [...tiny(8), "--overwrite", "--out"],
      () => undefined,
      (copy) =>
        `${copy}/buffer/teacher-0000.safetensors: the teacher's seed must be 8, got 7; use another folder or remove it`,
    ],
    [
      "distill finds a teacher that is cut",
      [...tiny(7), "--overwrite", "--out"],
      (copy) => truncateSync(join(copy, "buffer/teacher-0000.safetensors"), 1000),
      (copy) => `${copy}/buffer/teacher-0000.safetensors: `,
    ],
    [
      "evaluate finds a distilled set that is cut",
      ["evaluate"],
      (copy) => truncateSync(join(copy, "distilled-ipc1.safetensors"), 1000),
      (copy) => `${copy}/distilled-ipc1.safetensors: `,
    ],
    [
      "evaluate finds a set made from other data",
      ["evaluate"],
      (copy) => remake(copy, { dataset: "letters" }),
      (copy) => `${copy}/distilled-ipc1.safetensors: `,
    ],
    [
      "evaluate finds a set made for another network",
      ["evaluate"],
      (copy) => remake(copy, { width: 32 }),
      (copy) => `${copy}/distilled-ipc1.safetensors: `,
    ],
    [
      "evaluate finds a set of other classes",
      ["evaluate"],
      (copy) => remake(copy, { classes: "abcdefghij".split("") }),
      (copy) =>
        `${copy}/distilled-ipc1.safetensors: classes must be 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 as in the recipe, got a, b, `,
    ],
    [
      "evaluate finds a set of smaller images",
      ["evaluate"],
      (copy) => remake(copy, {}, 4),
      (copy) => `${copy}/distilled-ipc1.safetensors: `,
    ],
    [
      "evaluate finds no distilled set",
      ["evaluate"],
      (copy) => rmSync(join(copy, "distilled-ipc1.safetensors")),
      (copy) => `${copy}/distilled-ipc1.safetensors: the run must be finished, got no such file`,
    ],
  ])("is left as it is where %s", async (_, args, change, sentence) => {
    const copy = join(root, `copy-${copies++}`);
    cpSync(run, copy, { recursive: true });
    change(copy);
    const before = contents(copy);
    const { code, stdout, stderr } = await runCli([...args, copy], root);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.startsWith(sentence(copy))).toBe(true);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(contents(copy)).toEqual(before);
  });
});

describe("info", () => {
  it("tells of the adapter, its features and its limits", async () => {
    const { code, stdout, stderr } = await runCli(["info"], root);
    expect([code, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    for (const word of ["adapter", "kind", "driver", "backend", "checks", "features", "versions"])
      expect(lines.filter((line) => line.startsWith(`${word} `)).length).toBe(1);
    expect(lines.find((line) => line.includes("maxBufferSize"))).toMatch(/ \d+$/);
  });

  it("gives the same as JSON", async () => {
    const { code, stdout } = await runCli(["info", "--json"], root);
    const facts = JSON.parse(stdout) as Record<string, unknown>;
    expect(code).toBe(0);
    expect(facts["versions"]).toMatchObject({ potstill: "0.1.0", node: process.versions.node });
    expect(facts["name"]).not.toBe("");
  });
});
