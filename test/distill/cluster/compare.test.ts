/** @file A comparison divided among processes: its table, sets and runs are those of a single process. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";

import { contents, runCli, type Finished } from "../../support/run-cli.ts";

const RECIPE = {
  extends: "digits-ipc1",
  ...{ width: 4, syn_steps: 2, expert_epochs: 1, max_start_epoch: 1, iterations: 2 },
  teachers: { experts: 3, epochs: 1 },
  evaluation: { num_eval: 2, epoch_eval_train: 2 },
};
const COMPARE = [
  ...["compare", "tiny.yaml", "--sweep", "lr_img=0,10", "--networks", "SS,MLP"],
  ...["--baselines", "random,random-soft", "--quiet"],
];

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-compare-shards-"));
  writeFileSync(join(root, "tiny.yaml"), stringify(RECIPE));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const run = (...words: readonly string[]): Promise<Finished> => runCli(words, root);
const shard = (part: string, out: string): Promise<Finished> =>
  run(...COMPARE, "--out", out, "--shard", part);
/** What people look at; how the work was divided is told elsewhere. */
const results = (folder: string): Record<string, string> => {
  const all = Object.entries(contents(join(root, folder)));
  const of = /^(?:units\/|work\.json|run\.json|.*evaluation\.json|timing\.jsonl)/;
  return Object.fromEntries(all.filter(([path]) => !of.test(path)));
};

describe("a comparison in shards", () => {
  beforeAll(async () => {
    const whole = await run(...COMPARE, "--out", "whole");
    expect([whole.code, whole.stderr]).toEqual([0, ""]);
    expect(whole.stdout).toContain("distilled (DATM), tiny,lr_img=10");
  });

  it("leaves, gathered, what one process leaves", async () => {
    // Each shard does what it can, and leaves what needs the other's for the next time.
    const first = await shard("1/2", "two");
    expect([first.code, first.stderr]).toEqual([0, ""]);
    expect(first.stdout).toBe(
      "shard 1/2: 4 of its 11 units are in two, 7 need what other shards do; run it again when those have ended\n",
    );
    const early = await run("gather", "two");
    expect([early.code, early.stderr.slice(0, 42)]).toEqual([
      1,
      "two: all 21 units must be there, got 17 mi",
    ]);
    for (const part of ["2/2", "1/2", "2/2"]) expect((await shard(part, "two")).code).toBe(0);
    const status = await run("status", "two");
    expect(status.stdout).toMatch(/^compare: 21 of 21 units done\n/);
    const gathered = await run("gather", "two");
    expect([gathered.code, gathered.stderr]).toEqual([0, ""]);
    expect(results("two")).toEqual(results("whole"));
    // Again it is the same.
    expect((await run("gather", "two")).code).toBe(0);
    expect(results("two")).toEqual(results("whole"));
  });

  it("finds what is damaged, and makes it again", async () => {
    cpSync(join(root, "two"), join(root, "one"), { recursive: true });
    const set = join(root, "one/tiny,lr_img=10/distilled-ipc1.safetensors");
    const teacher = join(root, "one/buffer/teacher-0001.safetensors");
    const bytes = readFileSync(teacher);
    bytes[bytes.length - 3]! ^= 1;
    writeFileSync(teacher, bytes);
    cpSync(join(root, "one/tiny,lr_img=0/distilled-ipc1.safetensors"), set);
    const found = await run("gather", "one");
    expect(found.code).toBe(1);
    expect(found.stderr).toMatch(
      /^one: all 21 units must be there, got 2 damaged \(.*teacher-0001/,
    );
    expect(found.stderr).toContain("must be the set of tiny-lr_img=10.set.");
    rmSync(teacher);
    rmSync(set);
    expect((await shard("1/1", "one")).code).toBe(0);
    expect((await run("gather", "one")).code).toBe(0);
    expect(results("one")).toEqual(results("whole"));
    expect(readdirSync(join(root, "one/units")).length).toBe(21);
  });
});
