/** @file The page's arithmetic: long series made short, and curves that grow. */
import { describe, expect, it } from "vitest";

import {
  bandOf,
  countOf,
  gridOf,
  placeOf,
  rateOf,
} from "../../../distill/report/page/downsample.ts";
import {
  accuraciesFor,
  applyUpdate,
  emptyRun,
  stateOf,
  type Curve,
} from "../../../distill/report/page/store.ts";
import { fromProbability, toProbability, type Message } from "../../../distill/report/messages.ts";

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

describe("a grid", () => {
  it("has an interval for each iteration while there are few", () => {
    expect(gridOf(1, 5, 10)).toEqual({ first: 1, step: 1, x: [1, 2, 3, 4, 5] });
  });

  it("has at most so many intervals, with the middles of their iterations", () => {
    const grid = gridOf(1, 10_000, 320);
    expect(grid.step).toBe(32);
    expect(grid.x.length).toBe(313);
    expect(grid.x.slice(0, 2)).toEqual([16.5, 48.5]);
  });
});

describe("a band", () => {
  it("has mean, least and greatest of each interval", () => {
    const band = bandOf(gridOf(1, 6, 2), upTo(6), [3, 1, 2, 10, null, 30]);
    expect(band).toEqual({ mean: [2, 20], low: [1, 10], high: [3, 30] });
  });

  it("is nothing where there is nothing", () => {
    const grid = gridOf(1, 4, 4);
    expect(bandOf(grid, [2, 4], [5, null]).mean).toEqual([null, 5, null, null]);
    expect(bandOf(grid, [], []).mean).toEqual([null, null, null, null]);
  });

  it("keeps the mean, the extremes and a single spike of ten thousand values", () => {
    const values = upTo(10_000).map((i) => (i === 7777 ? 100 : Math.sin(i)));
    const grid = gridOf(1, 10_000, 320);
    const { mean, low, high } = bandOf(grid, upTo(10_000), values);
    expect(Math.max(...high.map(Number))).toBe(100);
    expect(Math.min(...low.map(Number))).toBe(Math.min(...values));
    const weights = grid.x.map((_, k) => Math.min(32, 10_000 - 32 * k));
    const total = mean.reduce<number>((sum, value, k) => sum + value! * weights[k]!, 0);
    const exact = values.reduce((sum, value) => sum + value, 0);
    expect(total).toBeCloseTo(exact, 6);
  });

  it("shows a part only, when a part is asked for", () => {
    expect(bandOf(gridOf(3, 4, 10), upTo(6), upTo(6)).mean).toEqual([3, 4]);
  });
});

describe("a rate", () => {
  it("is of all iterations in an interval", () => {
    // One second, then three: half an iteration a second.
    expect(rateOf(gridOf(1, 2, 1), [1, 2], [1, 3])).toEqual([0.5]);
  });
});

describe("marks", () => {
  it("are counted", () => {
    expect(countOf(gridOf(1, 6, 2), upTo(6), [1, 0, 1, 0, 0, 1])).toEqual([2, 1]);
  });

  it("are found by their iteration", () => {
    expect([1, 4, 5, 10].map((i) => placeOf([2, 4, 9], i))).toEqual([0, 1, 2, 3]);
  });
});

const iterations = (numbers: number[]): Message => ({
  ...{ kind: "iterations", ipc: 1, iteration: numbers },
  ...{ loss: numbers, lr: numbers, start: numbers, skipped: numbers.map(() => 0) },
});
const apply = (run: ReturnType<typeof emptyRun>, ...messages: Message[]): void =>
  applyUpdate(run, { messages, next: "", more: false, updated: 1000 });

describe("a run", () => {
  it("grows, and what was done again counts once", () => {
    const run = emptyRun("a");
    apply(run, iterations([1, 2, 3, 4]));
    apply(run, iterations([3, 4, 5]));
    expect(run.sets.get(1)!.iterations.iteration).toEqual([1, 2, 3, 4, 5]);
    expect(run.sets.get(1)!.iterations.loss).toEqual([1, 2, 3, 4, 5]);
  });

  it("forgets when it begins again", () => {
    const run = emptyRun("a");
    apply(run, iterations([1, 2, 3]));
    apply(run, { kind: "forget" }, iterations([1]));
    expect(run.sets.get(1)!.iterations.iteration).toEqual([1]);
  });

  it("has the last accuracy of each method that belongs to a set", () => {
    const run = emptyRun("a");
    const of = (method: string, ipc: number, mean: number): Message => ({
      ...{ kind: "evaluation", method, title: method, ipc, mean, std: 0, values: [] },
    });
    apply(run, of("full", 130, 0.9), of("datm", 1, 0.1), of("datm", 10, 0.2), of("datm", 1, 0.3));
    expect(accuraciesFor(run, 1).map(({ method, mean }) => [method, mean])).toEqual([
      ["full", 0.9],
      ["datm", 0.3],
    ]);
  });

  it("is running, stopped or finished", () => {
    const run = emptyRun("a");
    apply(run, iterations([1, 2]));
    const curve: Curve = {
      ...{ key: "a/1", run, set: run.sets.get(1)!, label: "a", colour: 0 },
      recipe: { ipc: 1, iterations: 3, minStart: 0, maxStart: [], expertEpochs: 1, settings: [] },
    };
    expect(stateOf(curve, 2000)).toBe("running");
    expect(stateOf(curve, 2_000_000)).toBe("stopped");
    expect(stateOf(curve, undefined)).toBe("stopped");
    apply(run, iterations([3]));
    expect(stateOf(curve, 2000)).toBe("evaluating");
    apply(run, {
      ...{ kind: "evaluation", method: "datm", title: "", ipc: 1, mean: 1, std: 0, values: [] },
    });
    expect(stateOf(curve, 2_000_000)).toBe("finished");
  });
});

describe("a probability as a byte", () => {
  it("comes back to within half a step", () => {
    for (const p of [0, 1e-4, 0.01, 0.1, 0.5, 0.9, 1])
      expect(Math.abs(Math.sqrt(toProbability(fromProbability(p))) - Math.sqrt(p))).toBeLessThan(
        0.5 / 255 + 1e-12,
      );
  });
});
