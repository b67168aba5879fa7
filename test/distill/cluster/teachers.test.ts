/** @file Teachers divided among processes: each is itself, whoever trains the others, stops or does it twice. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { buildModel } from "../../../models/index.ts";
import { unitsOf } from "../../../distill/cluster/shard.ts";
import type { Dataset, Split } from "../../../distill/data/dataset.ts";
import { loadDigits } from "../../../distill/data/digits.ts";
import { normalise } from "../../../distill/data/preprocess.ts";
import { createProgress, type Progress } from "../../../distill/progress.ts";
import { resolveTeaching, type Teaching } from "../../../distill/recipe.ts";
import { trainExperts } from "../../../distill/teachers/teacher.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { contents } from "../../support/run-cli.ts";

const few = (split: Split, count: number): Split => ({
  count,
  labels: split.labels.slice(0, count),
  images: (indices, out) => split.images(indices, out),
});
const digits = normalise(loadDigits());
const dataset: Dataset = { ...digits, train: few(digits.train, 80), test: few(digits.test, 50) };
const model = buildModel("ConvNetD1W4", { channels: 1, size: 8, classes: 10 });

function teaching(teachers: Partial<Teaching["teachers"]> = {}): Teaching {
  const base = { dataset: "digits", network: "ConvNetD1W4", width: 4, seed: 5 };
  const settings = { experts: 4, epochs: 3, batch: 32, lr: 0.1, momentum: 0.9, ...teachers };
  return resolveTeaching(undefined, { ...base, teachers: settings });
}

const gpu = sharedGpu();
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-shards-"));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

interface Given {
  readonly numbers?: readonly number[];
  readonly signal?: AbortSignal;
  readonly progress?: Progress;
  readonly data?: Dataset;
}

const SILENT = createProgress({ quiet: true });
const run = (recipe: Teaching, folder: string, { data = dataset, ...given }: Given = {}) =>
  trainExperts({
    ...{ gpu: gpu(), recipe, model, progress: SILENT, dataset: data, ...given },
    folder: join(root, folder),
    random: new Random(recipe.seed).stream("teachers"),
  });

describe("teachers in shards", () => {
  it("are the same bytes for any number of shards", async () => {
    const recipe = teaching();
    await run(recipe, "whole");
    for (const count of [3, 6])
      for (let index = count - 1; index >= 0; index--)
        await run(recipe, `${count}`, { numbers: unitsOf([0, 1, 2, 3], { index, count }) });
    const whole = contents(join(root, "whole"));
    expect(Object.keys(whole).length).toBe(4);
    expect(contents(join(root, "3"))).toEqual(whole);
    expect(contents(join(root, "6"))).toEqual(whole);
  });

  it("trained by two processes at a time are whole, and nothing else is left", async () => {
    const recipe = teaching({ experts: 2, epochs: 4 });
    await run(recipe, "whole");
    await Promise.all([run(recipe, "both"), run(recipe, "both")]);
    expect(contents(join(root, "both"))).toEqual(contents(join(root, "whole")));
  });

  it("are not waited for when another process has finished them", async () => {
    const recipe = teaching({ experts: 1, epochs: 6 });
    await run(recipe, "other");
    let epochs = 0;
    let others: Promise<void> | undefined;
    const progress: Progress = {
      ...SILENT,
      update: () => {
        if (++epochs === 1) others = run(recipe, "a");
      },
    };
    await Promise.all([run(recipe, "a", { progress }), others]);
    await others;
    expect(contents(join(root, "a"))).toEqual(contents(join(root, "other")));
  });
});

describe("a teacher that is told to stop", () => {
  it.each<[string, Partial<Teaching["teachers"]>]>([
    ["with momentum", {}],
    ["on augmented images", { augment: true }],
    ["on a line", { line: true, keep_epochs: "0..3" }],
  ])("%s in the middle of an epoch saves, and goes on to the same bytes", async (_, settings) => {
    const recipe = teaching({ ...settings, experts: 1 });
    await run(recipe, "whole");
    const stop = new AbortController();
    const reason = new Error("stop");
    const progress: Progress = {
      ...SILENT,
      // While the device is at the next epoch's first minibatches.
      update: () => void setImmediate(() => stop.abort(reason)),
    };
    await expect(run(recipe, "a", { progress, signal: stop.signal })).rejects.toBe(reason);
    expect(readdirSync(join(root, "a")).map((name) => name.split(".").at(-1))).toEqual([
      "rows",
      "state",
    ]);
    const said: string[] = [];
    await run(recipe, "a", { progress: { ...SILENT, log: (line) => void said.push(line) } });
    expect(said.at(-1)).toBe("teacher 0 goes on 2 minibatches after epoch 1 of 3");
    expect(contents(join(root, "a"))).toEqual(contents(join(root, "whole")));
  });

  it("while it is tested saves that its epoch is trained", async () => {
    const recipe = teaching({ experts: 1 });
    await run(recipe, "whole");
    const stop = new AbortController();
    const reason = new Error("stop");
    const test: Split = {
      ...dataset.test,
      images: (indices, out) => {
        stop.abort(reason);
        return dataset.test.images(indices, out);
      },
    };
    // Two blocks of test images: the first one stops, the second one is not asked for.
    const data = {
      ...dataset,
      test: { ...test, count: 300, labels: digits.test.labels.slice(0, 300) },
    };
    await expect(run(recipe, "a", { data, signal: stop.signal })).rejects.toBe(reason);
    await run(recipe, "a");
    expect(contents(join(root, "a"))).toEqual(contents(join(root, "whole")));
  });
});
