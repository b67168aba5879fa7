/** @file Placements: what fits into how much memory, planned without an adapter, and that plans hold. */

import { describe, expect, it } from "vitest";

import { Gpu, OutOfMemoryError, Program } from "../../../engine/index.ts";
import { buildModel } from "../../../models/index.ts";
import {
  adviseOnMemory,
  DistillError,
  matchingProcedures,
  placementOf,
  streamed,
  streamedProcedures,
  type MatchingOptions,
  type Placement,
} from "../../../distill/matching/placement.ts";
import { sharedGpu } from "../../support/gpu.ts";

const GIB = 2 ** 30;
const cifar100 = { channels: 3, size: 32, classes: 100 };
const small: MatchingOptions = {
  model: buildModel("ConvNetD2W8", { channels: 1, size: 8, classes: 4 }),
  ...{ images: 40, batch: 12, steps: 5 },
};

const gpu = sharedGpu();

describe("CIFAR-100 in 80 steps of 1000 images", () => {
  const published: MatchingOptions = {
    model: buildModel("ConvNetD3", cifar100),
    ...{ images: 10_000, batch: 1000, steps: 80 },
  };

  it.each([
    [100, true],
    [1000, false],
  ])("and %i images a class is matched within 2 GiB", (ipc, resident) => {
    const plan = placementOf({ ...published, images: 100 * ipc }, { memory: 2 * GIB });
    expect(plan.resident).toBe(resident);
    expect(plan.memory.total).toBeLessThanOrEqual(2 * GIB);
    // Little is left over, and the parameters of all steps are in it.
    expect(plan.memory.total).toBeGreaterThan(GIB);
    expect(plan.memory.variables).toBeGreaterThan(81 * 4 * published.model.size);
    expect(plan.micro).toBeGreaterThanOrEqual(250);
  });

  it("needs more for more images at once, and all of a minibatch where nothing is said", () => {
    const whole = placementOf(published);
    expect(whole).toMatchObject({ micro: 1000, resident: true });
    expect(whole.memory.total).toBeGreaterThan(3 * GIB);
  });
});

describe("a placement", () => {
  it("has the fewest micro-batches that fit", () => {
    const whole = placementOf(small);
    const half = placementOf({ ...small, micro: 6 });
    const third = placementOf({ ...small, micro: 4 });
    const { total } = half.memory;
    expect(whole.micro).toBe(12);
    expect(placementOf(small, { memory: whole.memory.total })).toEqual(whole);
    expect(placementOf(small, { memory: whole.memory.total - 1 })).toEqual(half);
    expect(placementOf(small, { memory: total })).toEqual(half);
    expect(placementOf(small, { memory: total - 1 })).toEqual(third);
  });

  it("has buffers that the adapter can bind", () => {
    const { facts } = gpu();
    const largest = placementOf({ ...small, micro: 6 }, { facts }).memory.largest;
    const limits = { ...facts.limits, maxStorageBufferBindingSize: largest };
    expect(placementOf(small, { facts: { ...facts, limits } }).micro).toBe(6);
  });

  it("has the set on the host where it would take more than half of the memory", () => {
    const many = { ...small, images: 4000 };
    const set = 4 * 3 * 4000 * (64 + 4);
    expect(placementOf(many).memory.total).toBeGreaterThan(set);
    expect(placementOf(many, { memory: 2 * set }).resident).toBe(true);
    const streaming = placementOf(many, { memory: 2 * set - 1 });
    expect(streaming.resident).toBe(false);
    // However many images there are.
    expect(placementOf({ ...many, images: 8000 }, { memory: 2 * set - 1 })).toEqual(streaming);
  });

  it.each([
    ["on the device", undefined, matchingProcedures],
    ["on the host", 300_000, (options: MatchingOptions) => streamedProcedures(streamed(options))],
  ])("of a set %s is what the program then has", async (_, memory, procedures) => {
    const options = { ...small, images: 1000, micro: 5, average: true, weighted: true };
    const { facts } = gpu();
    const plan = placementOf(options, { memory, facts });
    expect(plan.resident).toBe(memory === undefined);
    using program = await Program.compile(gpu(), procedures({ ...options, micro: plan.micro }));
    expect(program.memory).toEqual(plan.memory);
  });

  it("is refused where nothing fits, with what would", () => {
    const least = placementOf({ ...small, micro: 1 }, { memory: 1e6 });
    expect(() => placementOf({ ...small, images: 4000 }, { memory: 5000 })).toThrow(
      /^memory: must be at least [\d.]+ KiB for 1 of batch_syn's 12 images at once, got 4\.88 KiB$/,
    );
    expect(() => placementOf({ ...small, micro: 4 }, { memory: least.memory.total })).toThrow(
      /^memory: must be at least [\d.]+ KiB for 4 of batch_syn's 12 images at once, got /,
    );
    const { facts } = gpu();
    const limited = (bytes: number) => {
      const limits = { ...facts.limits, maxStorageBufferBindingSize: bytes };
      return () => placementOf({ ...small, micro: 12 }, { facts: { ...facts, limits } });
    };
    expect(limited(20_000)).toThrow(
      /^micro_batch: buffers must be at most 19\.5 KiB on this adapter, got [\d.]+ KiB for 12 of batch_syn's 12 images at once$/,
    );
    expect(limited(1000)).toThrow(DistillError);
    expect(limited(1000)).toThrow(
      /^syn_steps: the parameters of 6 steps must fit one buffer of the adapter, 1000 B, got [\d.]+ KiB; take fewer steps or a narrower network$/,
    );
  });
});

describe("an adapter with less to spare than it should", () => {
  it("is told of with a setting that it has the memory for", async () => {
    using empty = await Gpu.open({ adapter: "null" });
    const model = buildModel("ConvNetD3W64", { channels: 3, size: 32, classes: 10 });
    const options: MatchingOptions = { model, images: 500, batch: 500, steps: 3 };
    const compile = ({ micro }: Placement) =>
      Program.compile(empty, matchingProcedures({ ...options, micro }));
    const wanted = placementOf(options, { facts: empty.facts });
    expect(wanted.memory.total).toBeGreaterThan(GIB / 2);
    const error: unknown = await compile(wanted).catch((reason: unknown) => reason);
    const advice = adviseOnMemory(error, wanted, options, empty.facts) as DistillError;
    expect(advice).toBeInstanceOf(DistillError);
    const sentence =
      /^memory: the adapter must have (\d+ MiB|[\d.]+ GiB) to spare for (\d+) of batch_syn's 500 images at once, got out of memory; memory: (\d+)MiB takes (\d+) at once$/;
    const [, , micro, mib, less] = sentence.exec(advice.message)!;
    expect(Number(micro)).toBe(wanted.micro);
    const fits = placementOf(options, { memory: Number(mib) * 2 ** 20, facts: empty.facts });
    expect(fits.micro).toBe(Number(less));
    expect(fits.micro).toBeLessThan(wanted.micro);
    using program = await compile(fits);
    expect(program.memory).toEqual(fits.memory);
  });

  it("needs another network or set where nothing smaller fits", () => {
    const wanted = placementOf({ ...small, images: 12 });
    const advice = adviseOnMemory(new OutOfMemoryError("", 1), wanted, small, gpu().facts);
    expect((advice as DistillError).message).toMatch(
      /^memory: the adapter must have [\d.]+ KiB to spare for 12 of batch_syn's 12 images at once, got out of memory; lower batch_syn, syn_steps or width, or take --precision f16$/,
    );
  });

  it("says nothing of other errors", () => {
    const other = new RangeError("other");
    expect(adviseOnMemory(other, placementOf(small), small, gpu().facts)).toBe(other);
  });
});
