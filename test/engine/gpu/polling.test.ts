/** @file Waiting for the GPU leaves the cores to a driver that computes on them, and short waits stay short. */

import { expect, test } from "vitest";

import { Gpu } from "../../../engine/gpu/device.ts";
import { doubling } from "../../support/doubling.ts";

/** Turns of the event loop that \`wait\` takes from the real \`setImmediate\`. */
async function turnsOf(wait: () => Promise<unknown>): Promise<number> {
  const original = globalThis.setImmediate;
  let turns = 0;
  globalThis.setImmediate = new Proxy(original, {
    apply: (target, self, args: unknown[]): unknown => {
      turns++;
      return Reflect.apply(target, self, args);
    },
  });
  try {
    const counting = globalThis.setImmediate;
    await wait();
    expect(globalThis.setImmediate).toBe(counting);
  } finally {
    globalThis.setImmediate = original;
  }
  return turns;
}

test("Dawn's polling is slowed on a CPU while a kernel is waited for, and only then", async (context) => {
  using gpu = await Gpu.open({ threads: "all" });
  if (!gpu.facts.software) context.skip();
  const { submit } = await doubling(gpu, 1024, 20_000);
  const done = () => {
    submit();
    return gpu.device.queue.onSubmittedWorkDone();
  };
  await gpu.settled(done());
  const free = await turnsOf(done);
  const slowed = await turnsOf(() => gpu.settled(done()));
  expect(free).toBeGreaterThan(100);
  expect(slowed).toBeLessThan(free / 4);
  // Two waits that overlap: the first to end leaves the other slowed.
  expect(await turnsOf(() => Promise.all([gpu.settled(done()), gpu.settled(done())]))).toBeLessThan(
    free / 4,
  );
});

test("other callers' turns are not delayed by a wait", async () => {
  using gpu = await Gpu.open({ threads: "all" });
  const { submit } = await doubling(gpu, 256, 20_000);
  submit();
  const wait = gpu.settled(gpu.device.queue.onSubmittedWorkDone());
  const start = performance.now();
  let turns = 0;
  while (performance.now() - start < 5) {
    await new Promise((resolve) => setImmediate(resolve));
    turns++;
  }
  await wait;
  expect(turns).toBeGreaterThan(20);
});

test("reading from an idle queue does not wait for a timer", async () => {
  using gpu = await Gpu.open();
  const { read } = await doubling(gpu);
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    await gpu.settled(read.mapAsync(GPUMapMode.READ));
    times.push(performance.now() - start);
    read.unmap();
  }
  expect(Math.min(...times)).toBeLessThan(0.9);
});
