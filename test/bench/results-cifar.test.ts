/** @file The results of CIFAR-10: its plan for a time, and the whole command on made-up images. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { differences } from "../../bench/cifar-page.ts";
import { StageMeter } from "../../bench/stages.ts";
import { parseTime, planFor } from "../../bench/time-plan.ts";
import { createProgress } from "../../distill/progress.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { resolveRecipe } from "../../distill/recipe.ts";
import { cifarRecords, writeFiles } from "../support/data-files.ts";
import { runScript } from "../support/run-cli.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-results-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

describe("a plan for a time", () => {
  const wanted = { experts: 20, iterations: 10_000 };
  const costs = { spent: 700, teacher: 600, iterations: [0.2, 0.8], evaluation: 300, whole: 3000 };

  it.each([
    // All: 1000 fixed, 19 teachers, 10,000 iterations of both sets, the whole set.
    [25_400, { experts: 20, iterations: 10_000, whole: true, expected: 25_400 }],
    [25_399, { experts: 20, iterations: 10_000, whole: false, expected: 22_400 }],
    // Half of 18,000 is enough for 15 more teachers, and what is over is matching's.
    [19_000, { experts: 16, iterations: 9000, whole: false, expected: 19_000 }],
    [1700, { experts: 1, iterations: 700, whole: false, expected: 1700 }],
    [1100, { experts: 1, iterations: 100, whole: false, expected: 1100 }],
  ])("of %d s", (seconds, plan) => {
    expect(planFor(seconds, wanted, costs)).toEqual(plan);
  });

  it("gives teachers what matching does not need", () => {
    const quick = { ...costs, iterations: [0.01, 0.02] };
    // 10,000 left: 300 for matching, 16 teachers of 600.
    expect(planFor(11_000, wanted, quick)).toMatchObject({ experts: 17, iterations: 10_000 });
  });

  it("is refused where nothing would be shown, and where the time is none", () => {
    expect(() => planFor(1099, wanted, costs)).toThrow(
      "--time: must be at least 18m 20s for one teacher and a hundredth of the iterations, got 18m 19s",
    );
    expect(["8h", "90m", "1h30m", "45s", "0.5h"].map(parseTime)).toEqual([
      ...[28_800, 5400, 5400, 45, 1800],
    ]);
    for (const text of ["", "8", "h", "0h", "8h 30m", "-1h"])
      expect(() => parseTime(text)).toThrow(`--time: must be a time like 8h or 90m, got "${text}"`);
  });
});

it("tells which settings are not as published", () => {
  const published = readRecipe(shippedRecipes().get("cifar-10-ipc1")!);
  expect(differences(published, published)).toEqual([]);
  const ours = resolveRecipe(published, { iterations: 5, teachers: { experts: 20, epochs: 50 } });
  expect(differences(published, ours)).toEqual([
    "`teachers.experts` 20 (published 100)",
    "`teachers.epochs` 50 (published 100)",
    "`iterations` 5 (published 10000)",
  ]);
});

it("adds up the stages of several processes, and refuses a damaged file of them", () => {
  const path = join(root, "stages.json");
  for (let i = 0; i < 2; i++) {
    const meter = new StageMeter(path, createProgress({ quiet: true }));
    meter.start("teachers", 10, 5 * i);
    meter.update(5 * (i + 1));
    meter.stop();
    expect(meter.seconds).toBe(meter.all["teachers"]!.seconds);
  }
  const { all } = new StageMeter(path, createProgress({ quiet: true }));
  expect(Object.keys(all)).toEqual(["teachers"]);
  expect(all["teachers"]!.pieces).toBe(10);
  expect(all["teachers"]!.process).toBeGreaterThan(1e6);
  writeFileSync(path, "{");
  expect(() => new StageMeter(path, createProgress({ quiet: true }))).toThrow(
    `${path}: must be times of stages, got something else; remove it`,
  );
});

it("goes from the official files to the page, and does not begin anew", async () => {
  const data = join(root, "data");
  writeFiles(join(data, "cifar-10"), {
    "data_batch_1.bin": cifarRecords(70, 1),
    "data_batch_4.bin": cifarRecords(50, 100),
    "test_batch.bin": cifarRecords(10, 200),
  });
  const page = join(root, "page.md");
  const out = join(root, "run");
  const command = ["--quick", "--data", data, "--page", page, "--out", out, "--python", "none"];
  const first = await runScript("bench/results-cifar.ts", command);
  expect(first.code, first.stderr).toBe(0);
  expect(first.stdout).toMatch(/page\.md: 7 rows in [\d.]+s\n$/);
  const text = readFileSync(page, "utf8");
  expect(text).toMatch(/\| 1 +\| 46\.9 +\| [\d.]+ ± [\d.]+ +\| /);
  expect(text).toMatch(/\| 10 +\| 66\.8 +\| [\d.]+ ± [\d.]+ +\| /);
  expect(text).toContain("- cifar-10-ipc1: training images 120 (published 50000), ");
  expect(text).toContain("`teachers.experts` 2 (published 100)");
  for (const stage of [
    "teachers",
    "measure",
    "distil ipc 1",
    "distil ipc 10",
    "evaluate full ConvNet",
  ])
    expect(text).toMatch(new RegExp(`^\\| ${stage} +\\| [\\d.]+s +\\| .* MiB +\\|$`, "m"));
  expect(text).toMatch(
    /^\| iteration ConvNetD3 w4 n10 s2 +\| not measured +\| not measured: no none /m,
  );
  const document = JSON.parse(readFileSync(join(root, "page.json"), "utf8")) as Record<
    string,
    unknown
  >;
  expect(document).toMatchObject({
    plan: { experts: 2, iterations: 3, whole: true },
    versions: { node: process.versions.node },
    published: { "cifar-10-ipc10": { accuracy: expect.closeTo(0.668, 9) as number } },
  });
  expect(Object.keys(document)).toEqual([
    ...["adapter", "driver", "backend", "versions", "commit", "command", "plan", "seconds"],
    ...["stages", "beside", "recipes", "published", "rows"],
  ]);
  // All is known: the page is written again, and nothing else is done.
  const again = await runScript("bench/results-cifar.ts", command);
  expect([again.code, again.stdout]).toEqual([0, first.stdout]);
  expect(readFileSync(page, "utf8")).toBe(text);
  const other = await runScript("bench/results-cifar.ts", [...command, "--time", "9h"]);
  expect([other.code, other.stdout]).toEqual([1, ""]);
  expect(other.stderr).toContain(
    `${join(out, "plan.json")}: must be a plan for this time, of these settings, this commit and adapter, got another; use another --out\n`,
  );
});
