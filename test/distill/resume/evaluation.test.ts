/** @file An evaluation that was cut off: what is known is not done again, and metrics are as if nothing had happened. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { Confusion } from "../../../distill/evaluation/confusion.ts";
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

/** Asks for two seeds of some keys; returns the matrices and which seeds had to be worked for. */
function ask(
  evaluation: UnfinishedEvaluation,
  keys: readonly string[],
): { results: Confusion[]; worked: string[] } {
  const worked: string[] = [];
  const results: Confusion[] = [];
  for (const key of keys) {
    const kept = evaluation.seeds(key);
    for (const seed of [0, 1]) {
      if (kept.get(seed) === undefined) {
        worked.push(`${key}${seed}`);
        appendFileSync(metrics, `${key}${seed}\n`);
        kept.add(seed, [[worked.length]]);
      }
      results.push(kept.get(seed)!);
    }
  }
  return { results, worked };
}

describe("an evaluation", () => {
  it("goes on with the very seeds that are known, the metrics cut back", () => {
    const first = new UnfinishedEvaluation(folder, "a");
    const { results } = ask(first, ["x"]);
    first.seeds("y").add(1, [[7]]);
    appendFileSync(metrics, "y\n");
    const again = new UnfinishedEvaluation(folder, "a");
    expect([again.known, readFileSync(metrics, "utf8")]).toEqual([3, "before\n"]);
    const further = ask(again, ["x", "y"]);
    expect(further.worked).toEqual(["y0"]);
    expect(further.results).toEqual([...results, [[1]], [[7]]]);
    again.finish();
    // Another one is new, after the lines of this one.
    expect(new UnfinishedEvaluation(folder, "b").known).toBe(0);
    expect(readFileSync(metrics, "utf8")).toBe("before\ny0\n");
  });

  it("replaces its lines where it is done again, unless others came after them", () => {
    for (let time = 0; time < 2; time++) {
      const evaluation = new UnfinishedEvaluation(folder, "a");
      expect([evaluation.known, readFileSync(metrics, "utf8")]).toEqual([0, "before\n"]);
      ask(evaluation, ["x"]);
      evaluation.finish();
      expect(readFileSync(metrics, "utf8")).toBe("before\nx0\nx1\n");
    }
    appendFileSync(metrics, "after\n");
    expect(ask(new UnfinishedEvaluation(folder, "a"), ["x"]).worked).toEqual(["x0", "x1"]);
    expect(readFileSync(metrics, "utf8")).toBe("before\nx0\nx1\nafter\nx0\nx1\n");
  });

  it("of other things begins anew, without what the other has left", () => {
    ask(new UnfinishedEvaluation(folder, "a"), ["x"]);
    const other = new UnfinishedEvaluation(folder, "b");
    expect([other.known, readFileSync(metrics, "utf8")]).toEqual([0, "before\n"]);
  });

  it("knows two that are called the same apart", () => {
    const { worked, results } = ask(new UnfinishedEvaluation(folder, "a"), ["x", "x"]);
    expect(worked).toEqual(["x0", "x1", "x0", "x1"]);
    expect(results).toEqual([[[1]], [[2]], [[3]], [[4]]]);
    expect(ask(new UnfinishedEvaluation(folder, "a"), ["x", "x"])).toEqual({ worked: [], results });
  });

  it.each(["", "{", '{"format":"other"}'])("that is damaged (%j) begins anew", (text) => {
    ask(new UnfinishedEvaluation(folder, "a"), ["x"]);
    writeFileSync(join(folder, "evaluation.json"), text);
    expect(new UnfinishedEvaluation(folder, "a").known).toBe(0);
  });
});
