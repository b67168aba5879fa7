/** @file Published numbers beside ours: for every published recipe, with an interval, and with what was changed. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import { besidePublished } from "../../distill/cli/reproduce.ts";
import { confidenceInterval } from "../../distill/evaluation/interval.ts";
import { publishedFor, publishedRecipes } from "../../distill/published.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { cifarRecords, writeFiles } from "../support/data-files.ts";
import { contents, runCli } from "../support/run-cli.ts";

describe("published numbers", () => {
  it("are of shipped recipes, those that go by the published settings", () => {
    const shipped = [...shippedRecipes()].filter(([, file]) => readRecipe(file).dsa);
    expect(shipped.map(([name]) => name).sort()).toEqual([...publishedRecipes].sort());
    expect(publishedFor("digits-ipc1")).toBeUndefined();
    expect(publishedFor("constructor")).toBeUndefined();
  });
});

describe("a confidence interval", () => {
  it("is Student's", () => {
    // 2.776 = t(0.975, 4); std 1, n 5.
    const [low, high] = confidenceInterval({ mean: 0.5, std: 0.01 }, 5)!;
    expect([low, high]).toEqual([
      expect.closeTo(0.5 - 0.012415, 6),
      expect.closeTo(0.5 + 0.012415, 6),
    ]);
    expect(confidenceInterval({ mean: 0.5, std: 0 }, 1)).toBeUndefined();
  });
});

describe("the comparison", () => {
  const published = publishedFor("cifar-10-ipc1")!;
  it("has both numbers and the interval", () => {
    expect(besidePublished(published, { mean: 0.462, std: 0.004, seeds: 5 }, [])).toBe(
      "published: 46.9 % (Guo et al., ICLR 2024, arXiv 2310.05773, Table 1)\n" +
        "here:      46.2 ± 0.4 % (95 % interval 45.7 to 46.7, 5 networks)",
    );
  });

  it("says what was not as published", () => {
    const text = besidePublished(published, { mean: 0.2, std: 0, seeds: 1 }, ["iterations 5"]);
    expect(text.split("\n").slice(1)).toEqual([
      "here:      20.0 ± 0.0 % (one network, so without an interval)",
      "not as published, so the two do not compare: iterations 5",
    ]);
  });
});

describe("potstill reproduce", () => {
  it("ends with both numbers and what was changed; the same command has nothing left to do, another is refused", async () => {
    const root = mkdtempSync(join(tmpdir(), "potstill-reproduce-"));
    onTestFinished(() => rmSync(root, { recursive: true }));
    writeFiles(join(root, "data", "cifar-10"), {
      "data_batch_1.bin": cifarRecords(60, 1),
      "test_batch.bin": cifarRecords(20, 100),
    });
    const changes = [
      ...["--width", "4", "--zca=false", "--iterations", "3", "--syn_steps", "2"],
      ...["--max_start_epoch", "1", "--teachers.experts", "1", "--teachers.epochs", "3"],
      ...["--teachers.batch", "30", "--evaluation.num_eval", "2"],
      ...["--evaluation.epoch_eval_train", "2"],
    ];
    const command = ["reproduce", "cifar-10-ipc1", "--data", "data", "--quiet", ...changes];
    const first = await runCli(command, root);
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^published: 46\.9 % \(Guo et al\./m);
    expect(first.stdout).toMatch(/^here: {6}[\d.]+ ± [\d.]+ % \(95 % interval .*, 2 networks\)$/m);
    expect(first.stdout).toMatch(
      /^not as published, so the two do not compare: .*iterations 3.*teachers\.experts 1/m,
    );
    const run = join(root, "runs", "reproduce-cifar-10-ipc1");
    const left = contents(run);
    expect(Object.keys(left)).toContain("distilled-ipc1.safetensors");
    const [row] = JSON.parse(readFileSync(join(run, "results.json"), "utf8")) as { mean: number }[];
    expect(first.stdout).toContain(`here:      ${(100 * row!.mean).toFixed(1)} ± `);

    const again = await runCli(command, root);
    expect([again.code, again.stdout]).toEqual([0, first.stdout]);
    const other = await runCli([...command, "--seed", "5"], root);
    expect([other.code, other.stdout]).toEqual([1, ""]);
    expect(other.stderr).toMatch(
      /^runs\/reproduce-cifar-10-ipc1: must have a run of cifar-10-ipc1 with these settings \(\w+\), got another \(\w+\); use another --out\n$/,
    );
    expect(contents(run)).toEqual(left);
  });
});
