/** @file Divided work gathered: what is missing, what is damaged, how it stands, and 100,000 units. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { gather } from "../../../distill/cluster/gather.ts";
import { knownResult, readResult, writeResult } from "../../../distill/cluster/results.ts";
import { statusOf } from "../../../distill/cluster/status.ts";
import { asTask, readTasks } from "../../../distill/cluster/tasks.ts";
import { readWork, recordWork } from "../../../distill/cluster/work.ts";
import { FileError } from "../../../distill/files.ts";
import { contents, runScript } from "../../support/run-cli.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-gather-"));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const units = ["a.seed-0", "a.seed-1", "b.seed-0"];

describe("results of units", () => {
  it("are read back, and the same when written twice", () => {
    writeResult(root, "a.seed-0", { values: [0.1, 1 / 3], name: "ä" });
    const before = contents(root);
    writeResult(root, "a.seed-0", { values: [0.1, 1 / 3], name: "ä" });
    expect(contents(root)).toEqual(before);
    expect(readResult(root, "a.seed-0")).toEqual({ values: [0.1, 1 / 3], name: "ä" });
    expect(knownResult(root, "a.seed-1")).toBeUndefined();
  });

  it("that are damaged are told of, and done again", () => {
    writeResult(root, "a.seed-0", { value: 7 });
    const file = join(root, "units/a.seed-0.json");
    const text = readFileSync(file, "utf8");
    for (const damaged of [text.replace("7", "8"), text.slice(0, 20), "{}", ""]) {
      writeFileSync(file, damaged);
      expect(() => readResult(root, "a.seed-0")).toThrow(FileError);
      expect(knownResult(root, "a.seed-0")).toBeUndefined();
    }
  });
});

describe("gather", () => {
  it("names what is missing and what is damaged, and gives the rest in order", () => {
    recordWork(root, { command: "evaluate", units });
    writeResult(root, "b.seed-0", 3);
    writeResult(root, "a.seed-0", 1);
    const found: [string, unknown][] = [];
    expect(gather(root, (unit, result) => found.push([unit, result]))).toEqual({
      ...{ command: "evaluate", units: 3, missing: ["a.seed-1"], damaged: [] },
    });
    expect(found).toEqual([
      ["a.seed-0", 1],
      ["b.seed-0", 3],
    ]);
    writeFileSync(join(root, "units/b.seed-0.json"), '{"unit":');
    expect(gather(root).damaged).toEqual([
      {
        unit: "b.seed-0",
        problem: `${root}/units/b.seed-0.json: must be a unit's result, got no JSON (the file is damaged)`,
      },
    ]);
  });

  it("needs a folder whose work is known", () => {
    expect(() => readWork(root)).toThrow(
      `${root}/work.json: must exist, got no such file (ENOENT)`,
    );
    writeFileSync(join(root, "work.json"), "{}");
    expect(() => readWork(root)).toThrow(
      `${root}/work.json: must list the units of teach, evaluate, compare, as these commands write it, got another file`,
    );
  });

  it("plans 1,000 shards of 100,000 units and gathers them in 5 s and 300 MB", async () => {
    // A tenth of them where their files would take too long to write.
    const scale = process.env["POTSTILL_SCALE"] === "whole" ? 1 : 0.1;
    const many = Array.from({ length: scale * 100_000 }, (_, i) => `set.seed-${i}`);
    recordWork(root, { command: "evaluate", units: many });
    mkdirSync(join(root, "units"));
    // As writeResult does, but without a sync of the disk each.
    many.forEach((unit, i) => {
      if (i % 1000 === 7) return;
      const result = { value: i % 3 };
      const checksum = crc32(JSON.stringify([unit, result]));
      const text = JSON.stringify({ unit, crc32: i === 500 ? 1 : checksum, result });
      writeFileSync(join(root, `units/${unit}.json`), `${text}\n`);
    });
    const { stdout, code } = await runScript("test/support/many-units.ts", [root]);
    expect(code).toBe(0);
    const figures = JSON.parse(stdout) as Record<string, number>;
    expect(figures).toMatchObject({
      ...{ missing: 100 * scale, damaged: 1, left: 100 * scale + 1, done: 99_900 * scale },
    });
    for (const what of ["planning", "gathering", "status"]) expect(figures[what]).toBeLessThan(5);
    expect(figures["megabytes"]).toBeLessThan(300);
    if (scale === 1) process.stderr.write(`${stdout}\n`);
  });
});

describe("tasks", () => {
  it("say how they stand, and when all will be done", async () => {
    recordWork(root, { command: "evaluate", units });
    const shard = { index: 0, count: 2 };
    const begun = Date.now();
    await asTask(root, shard, { units: 2, before: 0 }, async (told) => {
      told(0.5);
      const [task] = readTasks(root);
      expect(task).toMatchObject({ shard: 1, of: 2, state: "running", units: 2, done: 0 });
      // As the heartbeat will say a minute later.
      const later = { ...task, done: 0.5, at: task!.begun + 60_000 };
      writeFileSync(join(root, "tasks/shard-1-of-2.json"), JSON.stringify(later));
      const status = statusOf(root, task!.begun + 60_000);
      expect(status).toMatchObject({ units: 3, done: 0, failed: [] });
      // Half a unit a minute, two and a half are left.
      expect(status.end! - task!.begun).toBeCloseTo(60_000 + 300_000, -1);
      const silent = statusOf(root, task!.begun + 180_000);
      expect(silent.running).toEqual([]);
      expect(silent.failed.length).toBe(1);
      await Promise.resolve();
    });
    const [task] = readTasks(root);
    expect(task).toMatchObject({ state: "done", done: 2 });
    expect(task!.begun).toBeGreaterThanOrEqual(begun);
  });

  it("that fail say why", async () => {
    recordWork(root, { command: "evaluate", units });
    const shard = { index: 1, count: 2 };
    const failing = asTask(root, shard, { units: 1, before: 0 }, () =>
      Promise.reject(new Error("no power")),
    );
    await expect(failing).rejects.toThrow("no power");
    expect(statusOf(root).failed).toMatchObject([{ shard: 2, of: 2, problem: "no power" }]);
    for (const unit of units) writeResult(root, unit, 1);
    expect(statusOf(root)).toMatchObject({ done: 3, failed: [] });
  });
});
