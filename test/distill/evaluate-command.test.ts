/** @file `potstill evaluate`: a set in a file, pools, scores, details, the cache, and data that do not fit. */

import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { readDistilled, writeDistilled } from "../../distill/distilled.ts";
import type { ResultRow } from "../../distill/evaluation/table.ts";
import { contents, runCli } from "../support/run-cli.ts";

let root: string;
let run: string;
let set: string;
const cli = (...args: string[]) =>
  runCli([...args, "--quiet"], root, { POTSTILL_CACHE: join(root, "cache") });
const rowsOf = (folder: string): ResultRow[] =>
  JSON.parse(readFileSync(join(folder, "results.json"), "utf8")) as ResultRow[];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "potstill-evaluate-"));
  run = join(root, "run");
  set = join(run, "distilled-ipc1.safetensors");
  const { stderr } = await cli(
    ...["distill", "digits", "--ipc", "1", "--out", run, "--iterations", "2", "--syn_steps", "2"],
    ...["--max_start_epoch", "1", "--teachers.experts", "1", "--teachers.epochs", "2"],
    ...["--evaluation.epoch_eval_train", "4", "--evaluation.num_eval", "2"],
  );
  expect(stderr).toBe("");
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

it("gives a set in a file the row that its run has, by the same protocol", async () => {
  const out = join(root, "alone");
  const before = contents(run);
  const { code, stdout, stderr } = await cli(
    ...["evaluate", set, "--epoch_eval_train", "4", "--num_eval", "2", "--out", out],
  );
  expect([code, stderr]).toEqual([0, ""]);
  expect(rowsOf(out)).toEqual(rowsOf(run));
  expect(stdout.split("\n")[1]).toMatch(/^distilled \(DATM\) +1 +ConvNetD2 .* 2$/);
  expect(contents(run)).toEqual(before);
});

it("scores other networks, with hard labels, too; the whole set is trained once", async () => {
  const copy = join(root, "copy");
  cpSync(run, copy, { recursive: true });
  const args = ["evaluate", copy, "--networks", "S,MLP", "--hard", "--details"];
  const first = await cli(...args);
  const rows = rowsOf(copy);
  const keys = rows.map(({ method, network, variant }) =>
    [method, network, variant ?? ""].join(" "),
  );
  const pair = (title: string, variant = "") => [
    `${title} ConvNetD2 ${variant}`,
    `${title} MLP ${variant}`,
  ];
  expect(keys).toEqual([
    ...pair("full"),
    ...pair("random"),
    ...pair("random-soft"),
    ...pair("datm"),
    ...pair("datm", "hard"),
  ]);
  expect(first.stdout).toMatch(/^label-robust score +images a class +network +LRS/m);
  expect(first.stdout).toMatch(/^distilled \(DATM\), hard labels, 1 a class, MLP: /m);
  expect(first.stdout.match(/^true \\ taken for/gm)!.length).toBe(10);
  expect(first.stdout).not.toContain("from the cache");
  const again = await cli(...args);
  expect(again.stdout).toContain("whole training set: from the cache for ConvNetD2, MLP\n");
  expect(rowsOf(copy)).toEqual(rows);
});

it("compares real images alone", async () => {
  const out = join(root, "real");
  const { code, stderr } = await cli(
    ...["evaluate", "digits", "--baselines", "random,herding", "--ipc", "1,2", "--networks", "MLP"],
    ...["--teachers", join(run, "buffer"), "--out", out, "--num_eval", "1"],
    ...["--epoch_eval_train", "2"],
  );
  expect([code, stderr]).toEqual([0, ""]);
  expect(rowsOf(out).map(({ method, ipc, network }) => [method, ipc, network])).toEqual([
    ["random", 1, "MLP"],
    ["herding", 1, "MLP"],
    ["random", 2, "MLP"],
    ["herding", 2, "MLP"],
  ]);
});

it("refuses data that are not like the set's in one sentence", async () => {
  const { meta, ...file } = readDistilled(set);
  const letters = join(root, "letters.safetensors");
  writeDistilled(letters, { ...file, meta: { ...meta, classes: "abcdefghij".split("") } });
  const { code, stdout, stderr } = await cli("evaluate", letters);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr.trimEnd()).toBe(
    `${letters}: the data set must have images [1, 8, 8] of 10 classes (a, b, c, d, e, f, g, h, i, j) as the set has, ` +
      "got digits with images [1, 8, 8] of 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)",
  );
});
