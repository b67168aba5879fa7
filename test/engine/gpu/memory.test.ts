/** @file Programs that an adapter has not the memory for, on the one that has 512 MiB of none. */

import { describe, expect, test } from "vitest";

import { Gpu, mul, OutOfMemoryError, Program, variable } from "../../../engine/index.ts";

const MIB = 2 ** 20;

/** A program of `count` variables of so many MiB, and no slots. */
const program = (count: number, mib: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => {
      const x = variable(`x${i}`, [(mib * MIB) / 4]);
      return [`x${i}`, mul(x, 2)];
    }),
  );

describe("a program without memory for it", () => {
  test("is refused with what it would take, and leaves nothing behind", async () => {
    using gpu = await Gpu.open({ adapter: "null" });
    const failed = Program.compile(gpu, { main: program(6, 100) });
    await expect(failed).rejects.toThrow(
      new OutOfMemoryError(
        "gpu: the adapter must have 629 MB to spare, got out of memory",
        600 * MIB,
      ),
    );
    await expect(failed).rejects.toMatchObject({ planned: 600 * MIB });
    // Had any of it stayed, there would not be room for this.
    using fits = await Program.compile(gpu, { main: program(5, 100) });
    expect(fits.memory).toMatchObject({ total: 500 * MIB, largest: 100 * MIB });
    expect(gpu.allocated).toBe(500 * MIB);
    fits[Symbol.dispose]();
    fits[Symbol.dispose]();
    expect(gpu.allocated).toBe(0);
  });

  test("is refused before anything is allocated where a buffer is too large", async () => {
    using gpu = await Gpu.open({ adapter: "null" });
    const most = Math.min(
      gpu.facts.limits["maxBufferSize"]!,
      gpu.facts.limits["maxStorageBufferBindingSize"]!,
    );
    const mib = Math.ceil(most / MIB) + 1;
    await expect(Program.compile(gpu, { main: program(1, mib) })).rejects.toThrow(
      "gpu: a buffer must be at most 134 MB on this adapter, got 135 MB, of 135 MB in all",
    );
  });
});
