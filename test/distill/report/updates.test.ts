/** @file What the page is told: only what is new, all of it, and right whatever the files go through. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { findRuns } from "../../../distill/report/folder.ts";
import type { Message, RunMessage, Update } from "../../../distill/report/messages.ts";
import { summariesOf, updateOf } from "../../../distill/report/reader.ts";
import { linesFrom, START } from "../../../distill/report/tail.ts";
import { appendIterations, iterationLines, madeRecipe, makeRun } from "../../support/run-folder.ts";

let root: string;
let folder: string;
let count = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-updates-"));
});
afterAll(() => rmSync(root, { recursive: true }));
beforeEach(() => {
  folder = makeRun(join(root, `run-${count++}`), { iterations: 100, done: 10 });
});

const told = (since = ""): Update => updateOf(findRuns([folder])[0]!, since);
const ofKind = <K extends Message["kind"]>({ messages }: Update, kind: K) =>
  messages.filter((message) => message.kind === kind) as Extract<Message, { kind: K }>[];
const problemsOf = (update: Update): readonly string[] => ofKind(update, "run")[0]!.problems;

describe("an update", () => {
  it("has everything at first, in columns", () => {
    const update = told();
    const [iterations] = ofKind(update, "iterations");
    expect(iterations!.iteration).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(iterations!.loss[0]).toBeCloseTo(0.2 + 0.5 + 0.05 * Math.sin(1), 5);
    expect(iterations!.start).toEqual([1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
    expect(ofKind(update, "times")[0]!.seconds.length).toBe(10);
    expect(ofKind(update, "memory")[0]!.total).toBe(3000);
    const [run] = ofKind(update, "run");
    const { iterations: planned, min_start_epoch: minStart } = madeRecipe(100);
    expect(run!.recipes).toMatchObject([{ ipc: 1, iterations: planned, minStart }]);
    expect(run!.snapshots.map(({ iteration }) => iteration)).toEqual([0, 5, 10]);
    expect(run!.problems).toEqual([]);
    expect(update.more).toBe(false);
  });

  it("has nothing when nothing is new, and then only the new lines", () => {
    const first = told();
    const second = told(first.next);
    expect([second.messages, second.next]).toEqual([[], first.next]);
    appendIterations(folder, 11, 12);
    const third = told(second.next);
    expect(third.messages.map(({ kind }) => kind)).toEqual(["iterations", "times"]);
    expect(ofKind(third, "iterations")[0]!.iteration).toEqual([11, 12]);
    expect(ofKind(third, "times")[0]!.iteration).toEqual([11, 12]);
  });

  it("waits for the end of a line", () => {
    const { next } = told();
    const lines = iterationLines(11, 12);
    appendFileSync(join(folder, "metrics.jsonl"), lines.slice(0, -20));
    const half = told(next);
    expect(ofKind(half, "iterations")[0]!.iteration).toEqual([11]);
    appendFileSync(join(folder, "metrics.jsonl"), lines.slice(-20));
    expect(ofKind(told(half.next), "iterations")[0]!.iteration).toEqual([12]);
  });

  it("begins again when the run does", () => {
    const { next } = told();
    makeRun(folder, { iterations: 100, done: 3 });
    const again = told(next);
    expect(again.messages[0]).toEqual({ kind: "forget" });
    expect(ofKind(again, "iterations")[0]!.iteration).toEqual([1, 2, 3]);
  });

  it.each(["", "nonsense", "1.2", "-1.0.0.0.x", "1.99999999.1.99999999.AAAA", "9e9.1.1.1.A"])(
    "begins at the beginning for %j",
    (since) => {
      const [iterations] = ofKind(told(since), "iterations");
      expect(iterations!.iteration.length).toBe(10);
    },
  );

  it("leaves out lines that are broken or of something unknown", () => {
    const { next } = told();
    const lines = [
      "{not json",
      "null",
      "[1]",
      '{"event":"iteration"}',
      '{"event":"later","ipc":1}',
      '{"event":"iteration","ipc":1,"iteration":11,"loss":null,"lr":"x","start":2,"accepted":false}',
      '{"event":"choice","ipc":1,"iteration":11,"accuracies":[0.5,0.7]}',
      '{"event":"evaluation","method":"datm","ipc":1,"lr":1,"accuracies":[0.5,0.7]}',
      '{"event":"evaluation","method":"unheard-of","ipc":1,"lr":1,"accuracies":[1]}',
    ];
    appendFileSync(join(folder, "metrics.jsonl"), `${lines.join("\n")}\n`);
    const { messages } = told(next);
    expect(messages).toEqual([
      {
        ...{ kind: "iterations", ipc: 1, iteration: [11] },
        ...{ loss: [null], lr: [null], start: [2], skipped: [1] },
      },
      { kind: "choice", ipc: 1, iteration: 11, mean: 0.6 },
      {
        ...{ kind: "evaluation", method: "datm", title: "distilled (DATM)", ipc: 1, mean: 0.6 },
        ...{ std: expect.closeTo(Math.sqrt(0.02), 9) as number, values: [0.5, 0.7] },
      },
      {
        ...{ kind: "evaluation", method: "unheard-of", title: "unheard-of", ipc: 1 },
        ...{ mean: 1, std: 0, values: [1] },
      },
    ]);
  });

  it.each<[string, string, string, (path: string) => string]>([
    ["recipe.yaml", "a recipe of another version", "dataset: digits\nnews: 1\n", () => "news"],
    ["recipe.yaml", "a file that is no YAML", "a: [", () => "recipe.yaml: must be readable"],
    ["results.json", "a file that is cut", '[{"method"', () => "results.json: must be readable"],
  ])("tells in a sentence what is wrong with %s: %s", (name, _, content, sentence) => {
    writeFileSync(join(folder, name), content);
    const update = told();
    const problems = problemsOf(update);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join()).toContain(sentence(folder));
    expect(problems.join()).not.toContain(root);
    // The curves are there all the same.
    expect(ofKind(update, "iterations")[0]!.iteration.length).toBe(10);
  });

  it("tells what is wrong with a teacher and shows the others", () => {
    mkdirSync(join(folder, "buffer"));
    writeFileSync(join(folder, "buffer", "teacher-0000.safetensors"), "cut");
    expect(problemsOf(told())).toEqual([
      expect.stringMatching(/^run-\d+\/buffer\/teacher-0000\.safetensors: [^\n]+$/),
    ]);
  });
});

describe("a comparison", () => {
  it("is seen in its runs, which have its baselines", () => {
    const parent = join(root, "comparison");
    mkdirSync(parent);
    const evaluation = { event: "evaluation", method: "random", ipc: 1, accuracies: [0.5] };
    writeFileSync(join(parent, "metrics.jsonl"), `${JSON.stringify(evaluation)}\n`);
    const rows = [
      { method: "full", ipc: 130, mean: 0.9, std: 0 },
      { method: "datm", recipe: "a", ipc: 1, mean: 0.8, std: 0 },
    ];
    writeFileSync(join(parent, "results.json"), JSON.stringify(rows));
    makeRun(join(parent, "a"));
    makeRun(join(parent, "b"));
    const found = findRuns([root]);
    const summaries = summariesOf(found).filter(({ id }) => id.startsWith("comparison"));
    expect(summaries.map(({ id }) => id)).toEqual(["comparison/a", "comparison/b"]);
    const run = updateOf(found.find(({ id }) => id === "comparison/a")!).messages[0] as RunMessage;
    expect(run.results.map(({ method, mean }) => [method, mean])).toEqual([
      ["full", 0.9],
      ["random", 0.5],
    ]);
    rmSync(parent, { recursive: true });
  });
});

describe("linesFrom", () => {
  it("reads a long file in parts, and leaves out a line that is too long", () => {
    const path = join(folder, "long");
    writeFileSync(path, `one\ntwo\n${"x".repeat(50)}\nthree\n`);
    const seen: string[] = [];
    let [place, more, rounds] = [START, true, 0];
    while (more && rounds++ < 20) {
      const part = linesFrom(path, place, 16);
      seen.push(...part.lines);
      ({ next: place, more } = part);
    }
    expect(seen.slice(0, 2)).toEqual(["one", "two"]);
    expect(seen.at(-1)).toBe("three");
    expect(seen.length).toBeLessThanOrEqual(4);
  });

  it("keeps letters whole that are cut by a part's end", () => {
    const path = join(folder, "letters");
    writeFileSync(path, "äöü\nß\n");
    const first = linesFrom(path, START, 8);
    expect(first.lines).toEqual(["äöü"]);
    expect(linesFrom(path, first.next, 8).lines).toEqual(["ß"]);
  });
});
