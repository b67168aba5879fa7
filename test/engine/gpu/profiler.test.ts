/** @file Times that a profiler gets: of every dispatch, all of them in the totals, none of them changing a result. */

import { describe, expect, test } from "vitest";

import * as e from "../../../engine/index.ts";
import { Gpu, Profiler, Program, variable, type Procedure } from "../../../engine/index.ts";

const A = variable("a", [40, 30]);
const K = variable("k", [30, 30]);
const COUNT = variable("count", []);

/** Kernels, regions with and without folds, a copy, and a number that counts. */
const PROCEDURES: Readonly<Record<string, Procedure>> = {
  step: {
    a: e.sub(e.matmul(A, K), e.mul(e.sum(A, [1], true), 0.01)),
    k: e.mul(K, 0.99),
    before: A,
    count: e.add(COUNT, e.toFloat(e.repeat())),
  },
  measure: { norm: e.sum(e.square(A)) },
};

const values = {
  a: Float32Array.from({ length: 1200 }, (_, i) => Math.sin(i)),
  k: Float32Array.from({ length: 900 }, (_, i) => Math.cos(i) / 30),
};

/** Runs `step` 7 times and `measure` once; everything the program then holds, bit for bit. */
async function runAll(gpu: Gpu): Promise<{ program: Program; bits: string }> {
  const program = await Program.compile(gpu, PROCEDURES);
  for (const [name, data] of Object.entries(values)) program.write(name, data);
  program.run("step", 7);
  program.run("measure");
  const read = await program.read("a", "k", "before", "count", "norm");
  return { program, bits: read.map((x) => new Uint32Array(x.buffer).join()).join(";") };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe("a profiled device", () => {
  test("takes the time of each dispatch, within the time that all of it took", async () => {
    const profiler = new Profiler();
    using gpu = await Gpu.open({ profiler });
    const opened = performance.now();
    const { program } = await runAll(gpu);
    const ended = performance.now();
    const [step, measure] = [program.cost("step"), program.cost("measure")];
    const device = profiler.events.filter(({ track }) => track === "device");
    expect(device.length).toBe(7 * step.dispatches + measure.dispatches);
    let last = opened;
    for (const { begin, ms, work } of device) {
      expect(begin).toBeGreaterThanOrEqual(last - 0.01);
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(work!.dispatches).toBe(1);
      last = begin + ms;
    }
    expect(last).toBeLessThanOrEqual(ended);
    expect(sum(device.map(({ ms }) => ms))).toBeGreaterThan(0);
    program[Symbol.dispose]();
  });

  test("sums up by kernel what its events say one by one, and what the program costs", async () => {
    const profiler = new Profiler();
    using gpu = await Gpu.open({ profiler });
    const { program } = await runAll(gpu);
    const { kernels, events } = profiler;
    const names = new Set(kernels.map(({ name }) => name));
    expect(names.size).toBe(kernels.length);
    expect(kernels.map(({ name }) => name)).toContain("matmul [40, 30] [30, 30] -> [40, 30]");
    for (const { name, calls, ms, flops, bytes, warm } of kernels) {
      const own = events.filter((event) => event.track === "device" && event.name === name);
      expect([calls, flops, bytes]).toEqual([
        own.length,
        sum(own.map(({ work }) => work!.flops)),
        sum(own.map(({ work }) => work!.bytes)),
      ]);
      expect(ms).toBeCloseTo(sum(own.map((event) => event.ms)), 9);
      expect(warm.calls).toBe(calls - new Set(own.map(({ work }) => work)).size);
      expect(warm.ms).toBeLessThanOrEqual(ms);
    }
    const { steps, cost } = { steps: program.steps("step"), cost: program.cost("step") };
    const copied = sum(steps.map((s) => (s.kind === "copy" ? s.bytes : 0)));
    const measure = program.cost("measure");
    expect(copied).toBeGreaterThan(0);
    expect(sum(kernels.map(({ flops }) => flops))).toBe(7 * cost.flops + measure.flops);
    expect(sum(kernels.map(({ bytes }) => bytes))).toBe(7 * (cost.bytes - copied) + measure.bytes);
    expect([...kernels].sort((x, y) => y.ms - x.ms)).toEqual(kernels);
    program[Symbol.dispose]();
  });

  test("computes the same bits as one that is not", async () => {
    using plain = await Gpu.open();
    using profiled = await Gpu.open({ profiler: new Profiler() });
    const expected = await runAll(plain);
    const actual = await runAll(profiled);
    expect(actual.bits).toBe(expected.bits);
    for (const { program } of [expected, actual]) program[Symbol.dispose]();
  });

  test("keeps the first events up to the limit, and counts all of more than one submission", async () => {
    const profiler = new Profiler({ limit: 300 });
    using gpu = await Gpu.open({ profiler });
    using program = await Program.compile(gpu, { main: { count: e.add(COUNT, 1) } });
    program.run("main", 1000);
    expect([...(await program.read("count"))[0]]).toEqual([1000]);
    expect(profiler.events.length).toBe(300);
    // Beside the dispatches: one compilation, one encoding, one wait.
    expect(profiler.dropped).toBe(1003 - 300);
    expect(profiler.kernels.map(({ calls, warm }) => [calls, warm.calls])).toEqual([[1000, 999]]);
  });

  test("tells what the host did, on a track each", async () => {
    const profiler = new Profiler();
    using gpu = await Gpu.open({ profiler });
    const begun = performance.now();
    const { program } = await runAll(gpu);
    await program.done();
    const spans = profiler.events.filter(({ track }) => track !== "device");
    expect(spans.map(({ track, name }) => `${track} ${name}`)).toEqual([
      "compile step, measure",
      "encode step",
      "encode measure",
      "wait read",
      "wait done",
    ]);
    expect(sum(Object.values(profiler.host))).toBeCloseTo(sum(spans.map(({ ms }) => ms)), 9);
    expect(sum(Object.values(profiler.host))).toBeLessThanOrEqual(performance.now() - begun);
    program[Symbol.dispose]();
  });

  test("without timestamps takes the time of submissions, with all that they hold", async () => {
    const profiler = new Profiler();
    using gpu = await Gpu.open({ adapter: "null", profiler });
    expect(gpu.facts.timestamps).toBe(false);
    using program = await Program.compile(gpu, PROCEDURES);
    const { dispatches, flops } = program.cost("step");
    program.run("step", 100);
    program.run("measure");
    await program.done();
    const [step, measure] = ["step", "measure"].map((name) =>
      profiler.kernels.find((kernel) => kernel.name === `submissions of ${name}`),
    );
    const steps = program.steps("step").length;
    expect(step!.calls).toBe(Math.ceil((100 * steps) / 200));
    expect(step!.flops).toBe(100 * flops);
    expect(measure!.calls).toBe(1);
    const device = profiler.events.filter(({ track }) => track === "device");
    const counted = device.filter(({ name }) => name === "submissions of step");
    expect(sum(counted.map(({ work }) => work!.dispatches))).toBe(100 * dispatches);
    let last = 0;
    for (const { begin, ms } of device) {
      expect(begin).toBeGreaterThanOrEqual(last);
      last = begin + ms;
    }
  });

  test("is told of what is still queued when it is idle", async () => {
    const profiler = new Profiler();
    using gpu = await Gpu.open({ profiler });
    using program = await Program.compile(gpu, { main: { count: e.add(COUNT, 1) } });
    program.run("main", 5);
    expect(profiler.kernels).toEqual([]);
    await gpu.idle();
    expect(profiler.kernels.map(({ calls }) => calls)).toEqual([5]);
  });
});
