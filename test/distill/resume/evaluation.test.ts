/** @file An evaluation that was cut off: what is known is not done again, and metrics are as if nothing had happened. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { UnfinishedEvaluation } from "../../../distill/resume/evaluation.ts";

let root: string;
let folder: string;
let metrics: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-evaluation-"));
});
afterAll(() => rmSync(root, { recursive: true }));
beforeEach(() => {
  folder = mkdtempSync(join(root, "run-"));
  metrics = join(folder, "metrics.jsonl");
  writeFileSync(metrics, "before\n");
});

/** Asks for what is under some keys; returns the results and the keys whose work was done. */
async function ask(
  evaluation: UnfinishedEvaluation,
  keys: readonly string[],
): Promise<{ results: unknown[]; worked: string[] }> {
  const worked: string[] = [];
  const results = [];
  for (const key of keys)
    results.push(
      await evaluation.once(key, () => {
        worked.push(key);
        appendFileSync(metrics, `${key}\n`);
        return Promise.resolve({ values: [worked.length / 3], of: key });
      }),
    );
  return { results, worked };
}

describe("an evaluation", () => {
  it("goes on with the very results that are known, the metrics cut back", async () => {
    const first = await ask(new UnfinishedEvaluation(folder, "a"), ["x", "y"]);
    expect(first.worked).toEqual(["x", "y"]);
    const again = new UnfinishedEvaluation(folder, "a");
    expect([again.known, readFileSync(metrics, "utf8")]).toEqual([2, "before\n"]);
    const { results, worked } = await ask(again, ["x", "y", "z"]);
    expect(worked).toEqual(["z"]);
    expect(results.slice(0, 2)).toEqual(first.results);
    again.finish();
    // Another one is new, after the lines of this one.
    expect(new UnfinishedEvaluation(folder, "b").known).toBe(0);
    expect(readFileSync(metrics, "utf8")).toBe("before\nz\n");
  });

  it("replaces its lines where it is done again, unless others came after them", async () => {
    for (let time = 0; time < 2; time++) {
      const evaluation = new UnfinishedEvaluation(folder, "a");
      expect([evaluation.known, readFileSync(metrics, "utf8")]).toEqual([0, "before\n"]);
      await ask(evaluation, ["x"]);
      evaluation.finish();
      expect(readFileSync(metrics, "utf8")).toBe("before\nx\n");
    }
    appendFileSync(metrics, "after\n");
    expect((await ask(new UnfinishedEvaluation(folder, "a"), ["x"])).worked).toEqual(["x"]);
    expect(readFileSync(metrics, "utf8")).toBe("before\nx\nafter\nx\n");
  });

  it("of other things begins anew, without what the other has left", async () => {
    await ask(new UnfinishedEvaluation(folder, "a"), ["x"]);
    const other = new UnfinishedEvaluation(folder, "b");
    expect([other.known, readFileSync(metrics, "utf8")]).toEqual([0, "before\n"]);
  });

  it("knows two that are called the same apart", async () => {
    const { worked, results } = await ask(new UnfinishedEvaluation(folder, "a"), ["x", "x"]);
    expect([worked, results[0]]).toEqual([["x", "x"], { values: [1 / 3], of: "x" }]);
    expect((await ask(new UnfinishedEvaluation(folder, "a"), ["x", "x"])).results).toEqual(results);
  });

  it.each(["", "{", '{"format":"other"}'])("that is damaged (%j) begins anew", async (text) => {
    await ask(new UnfinishedEvaluation(folder, "a"), ["x"]);
    writeFileSync(join(folder, "evaluation.json"), text);
    expect(new UnfinishedEvaluation(folder, "a").known).toBe(0);
  });
});
