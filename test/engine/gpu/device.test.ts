/** @file The GPU's opening, errors and loss, on whatever adapter is here. */

import { describe, expect, test } from "vitest";

import { AdapterError, DeviceLostError, Gpu } from "../../../engine/gpu/device.ts";
import { bundledArchive } from "../../../engine/gpu/swiftshader.ts";
import { DOUBLES, doubles, doubling } from "../../support/doubling.ts";

describe("opening", () => {
  test("a tiny compute shader gives the right values, and the facts tell of what ran it", async () => {
    using gpu = await Gpu.open();
    expect(await doubles(gpu)).toEqual(DOUBLES);
    const { facts } = gpu;
    expect(facts.checks).toBe("safe");
    expect(facts.software).toBe(facts.kind !== "hardware");
    expect(facts.webgpuVersion).toMatch(/^\d+\.\d+\.\d+$/);
    expect(facts.timestamps).toBe(facts.features.includes("timestamp-query"));
    expect(facts.limits["maxStorageBufferBindingSize"]).toBeGreaterThanOrEqual(2 ** 27);
    expect(facts.limits["maxImmediateSize"]).toBeGreaterThanOrEqual(64);
    expect([facts.name, facts.backend].includes("")).toBe(false);
  });

  test("what already ran under safe runs under fast, and with one thread", async () => {
    using gpu = await Gpu.open({ checks: "fast", threads: "one" });
    expect(await doubles(gpu)).toEqual(DOUBLES);
    expect(gpu.facts.checks).toBe("fast");
  });

  test("a process can hold several, and the environment is as before", async () => {
    const before = { ...process.env };
    const opened = [Gpu.open(), Gpu.open({ threads: "one" }), Gpu.open({ adapter: "null" })];
    if (bundledArchive() !== undefined) opened.push(Gpu.open({ adapter: "swiftshader" }));
    const gpus = await Promise.all(opened);
    expect({ ...process.env }).toEqual(before);
    for (const gpu of gpus) {
      if (gpu.facts.kind !== "null") expect(await doubles(gpu)).toEqual(DOUBLES);
    }
    expect(gpus[2]?.facts.features).toContain("chromium-experimental-subgroup-matrix");
    for (const gpu of gpus) gpu[Symbol.dispose]();
  });

  test("part of a name in any case chooses, also by its own facts", async () => {
    using any = await Gpu.open();
    const part = any.facts.name.split(/[^A-Za-z0-9]/)[0] ?? "";
    using named = await Gpu.open({ adapter: part.toUpperCase() });
    expect(named.facts.driver).toBe(any.facts.driver);
  });

  test("an unknown name is refused in one sentence that tells what there is", async () => {
    const refusal = Gpu.open({ adapter: "Voodoo 2" });
    await expect(refusal).rejects.toBeInstanceOf(AdapterError);
    await expect(refusal).rejects.toThrow(
      /^adapter: must be hardware, lavapipe, swiftshader, null or part of an adapter's name, got "Voodoo 2" where there is [^\n]+$/,
    );
  });
});

describe("errors", () => {
  test("an invalid call surfaces at the next wait, once, with Dawn's words", async () => {
    using gpu = await Gpu.open();
    gpu.device.createBuffer({ size: 4, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.MAP_READ });
    await expect(gpu.settled(gpu.device.queue.onSubmittedWorkDone())).rejects.toThrow(
      /^gpu: every call must be valid, got Buffer usages .*MapRead\|Storage/,
    );
    await gpu.settled(gpu.device.queue.onSubmittedWorkDone());
    expect(await doubles(gpu)).toEqual(DOUBLES);
  });

  test("a shader that does not compile shows its line, not only the failed pipeline", async () => {
    using gpu = await Gpu.open();
    const module = gpu.device.createShaderModule({ code: "fn main( {" });
    const pipeline = gpu.device.createComputePipelineAsync({ layout: "auto", compute: { module } });
    await expect(gpu.settled(pipeline)).rejects.toThrow(
      /:1:10 error: expected '\)'[^]*fn main\( {/,
    );
  });

  test("a buffer beyond the limit is refused", async () => {
    using gpu = await Gpu.open();
    const size = 4 * (gpu.facts.limits["maxBufferSize"] ?? 0);
    gpu.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
    const wait = gpu.settled(gpu.device.queue.onSubmittedWorkDone());
    await expect(wait).rejects.toThrow(/size .* exceeds the max buffer size limit/);
  });
});

describe("loss", () => {
  test("disposal rejects what is waited for, and every wait after it", async () => {
    const gpu = await Gpu.open();
    const { submit, read } = await doubling(gpu);
    submit();
    const wait = gpu.settled(read.mapAsync(GPUMapMode.READ));
    gpu[Symbol.dispose]();
    gpu[Symbol.dispose]();
    await expect(wait).rejects.toBeInstanceOf(DeviceLostError);
    const late = gpu.settled(gpu.device.queue.onSubmittedWorkDone());
    await expect(late).rejects.toThrow(
      "gpu: the device must stay open while in use, got it disposed",
    );
    expect((await gpu.lost).reason).toBe("destroyed");
  });

  test("a device lost from elsewhere rejects what is waited for", async () => {
    using gpu = await Gpu.open();
    const { submit, read } = await doubling(gpu);
    submit();
    const wait = gpu.settled(read.mapAsync(GPUMapMode.READ));
    gpu.device.destroy();
    await expect(wait).rejects.toThrow(
      /^gpu: the device must stay open while in use, got it lost \(destroyed\)/,
    );
    await expect(wait).rejects.toBeInstanceOf(DeviceLostError);
  });
});
