/** @file Programs that store large intermediate tensors as f16: what that costs, and what it must not change. */
import { describe, expect, test } from "vitest";
import {
  AdapterError,
  Gpu,
  Program,
  Random,
  type CompileOptions,
  type HostData,
} from "../../engine/index.ts";
import { buildModel, initialise } from "../../models/index.ts";
import { studentProcedures } from "../../distill/matching/student.ts";

const model = buildModel("ConvNetD2", { channels: 3, size: 16, classes: 10 }, { width: 16 });
const [IMAGES, STEPS] = [8, 3];
const procedures = studentProcedures({ model, images: IMAGES, batch: IMAGES, steps: STEPS });

/** Values of the student's variables, those of a real start. */
function values(): Record<string, HostData> {
  const random = new Random(7);
  const start = initialise(model, random);
  const indices = Uint32Array.from({ length: STEPS * IMAGES }, (_, i) => i % IMAGES);
  return {
    images: random.fill(IMAGES * 3 * 16 * 16, -2, 2),
    labels: random.fill(IMAGES * 10, -3, 3),
    lr: Float32Array.of(0.01),
    start,
    target: start.map((v) => v + random.fill(1, -0.05, 0.05)[0]!),
    batches: indices,
    weights: new Float32Array(STEPS * IMAGES).fill(1 / IMAGES),
  };
}

const NAMES = ["loss", "theta", "gradImages", "gradLabels"] as const;

/** A matching loss and its gradients, with the bytes of slots that they took. */
async function matching(
  gpu: Gpu,
  options: CompileOptions = {},
): Promise<{ results: readonly Float32Array[]; slots: number }> {
  using program = await Program.compile(gpu, procedures, options);
  for (const [name, data] of Object.entries(values())) program.write(name, data);
  for (const [name, times] of [
    ["begin", 1],
    ["step", STEPS],
    ["turn", 1],
    ["adjoint", STEPS],
  ] as const)
    program.run(name, times);
  return { results: await program.read(...NAMES), slots: program.memory.slots };
}

/** ‖a - b‖ / ‖b‖ */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

const hasHalves = async (): Promise<boolean> => {
  using gpu = await Gpu.open();
  return gpu.facts.features.includes("shader-f16");
};

describe.runIf(await hasHalves())("a student whose activations are f16", () => {
  test("comes near the f32 one in less memory, and its loss nearer still", async () => {
    using whole = await Gpu.open();
    using half = await Gpu.open({ precision: "f16" });
    const exact = await matching(whole);
    const near = await matching(half);
    const errors = near.results.map((r, i) => distance(r, exact.results[i]!));
    // f16 has eleven bits: 5e-4 a rounding, of which a second derivative passes dozens (1.4e-2 and
    // 3e-3 were seen for images and labels). Parameters are never rounded.
    expect(errors[0]).toBeLessThan(1e-3);
    expect(errors[1]).toBeLessThan(1e-4);
    expect(errors[2]).toBeLessThan(3e-2);
    expect(errors[3]).toBeLessThan(1e-2);
    // Something was rounded at all.
    expect(errors[2]).toBeGreaterThan(1e-6);
    expect(near.slots).toBeLessThan(0.65 * exact.slots);
  });

  test("may have programs that are f32 throughout, with the bits of an f32 device", async () => {
    using whole = await Gpu.open();
    using half = await Gpu.open({ precision: "f16" });
    const exact = await matching(whole);
    expect(await matching(half, { precision: "f32" })).toEqual(exact);
  });

  test("repeats bit for bit", async () => {
    using gpu = await Gpu.open({ precision: "f16" });
    const [once, again] = [await matching(gpu), await matching(gpu)];
    expect(again.results).toEqual(once.results);
  });
});

describe("an adapter without f16", () => {
  test("says so when it is asked for", async () => {
    const opened = Gpu.open({ adapter: "swiftshader", precision: "f16" });
    await expect(opened).rejects.toThrow(AdapterError);
    await expect(opened).rejects.toThrow(
      /precision f16 needs an adapter with shader-f16, got .+ without$/,
    );
  });
});
