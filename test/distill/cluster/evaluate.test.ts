/** @file An evaluation divided among processes: its gathered table is the one of a single process. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { runCli, type Finished } from "../../support/run-cli.ts";

const EVALUATE = [
  ...["evaluate", "digits", "--baselines", "random,k-center", "--ipc", "1"],
  ...["--networks", "MLP", "--num_eval", "3", "--epoch_eval_train", "3", "--quiet"],
];

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-evaluate-shards-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

/** A shard, as a Kubernetes Indexed Job says. */
const shard = (index: number, count: number, ...more: readonly string[]): Promise<Finished> =>
  runCli([...EVALUATE, "--out", "shards", ...more], root, {
    ...{ JOB_COMPLETION_INDEX: String(index), JOB_COMPLETIONS: String(count) },
  });
const unitsThere = (): string[] => readdirSync(join(root, "shards/units")).sort();

describe("an evaluation in shards", () => {
  it("is, gathered, the same table", async () => {
    const whole = await runCli([...EVALUATE, "--out", "whole"], root);
    expect([whole.code, whole.stderr]).toEqual([0, ""]);
    const second = await shard(1, 2);
    expect([second.code, second.stdout, second.stderr]).toEqual([
      0,
      "shard 2/2: its 3 of 6 units are in shards\n",
      "",
    ]);
    expect(unitsThere().length).toBe(3);
    const early = await runCli(["gather", "shards", "--json"], root);
    expect(early.code).toBe(1);
    const { missing, damaged } = JSON.parse(early.stdout) as Record<string, string[]>;
    expect([missing!.length, damaged]).toEqual([3, []]);
    expect(early.stderr).toMatch(
      /^shards: all 6 units must be there, got 3 missing \(random\.ipc1/,
    );

    // Another number of shards: what is there already is left alone.
    const one = unitsThere()[0]!;
    writeFileSync(join(root, "shards/units", one), "half");
    expect((await shard(0, 1)).code).toBe(0);
    expect(unitsThere().length).toBe(6);
    const gathered = await runCli(["gather", "shards"], root);
    expect([gathered.code, gathered.stderr]).toEqual([0, ""]);
    const table = (folder: string): string =>
      readFileSync(join(root, folder, "results.json"), "utf8");
    expect(table("shards")).toBe(table("whole"));
    expect(whole.stdout).toContain(gathered.stdout);
  });
});
