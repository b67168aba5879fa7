/** @file What the largest networks ask of the compiler: few launches, and no shader that grows with the network. */

import { describe, expect, it } from "vitest";

import { prepare } from "../../engine/gpu/lower.ts";
import { Planner, Slots, type Dispatch } from "../../engine/gpu/plan.ts";
import { buildModel } from "../../models/index.ts";
import { studentProcedures } from "../../distill/matching/student.ts";

/** As many buffers as every adapter has. */
const target = {
  ...{ subgroupSize: 32, software: false, f16: false },
  ...{ maxWorkgroupSize: 256, maxBuffers: 8 },
};

/** Launches of a student's procedure. */
function launchesOf(network: string, procedure: "step" | "adjoint"): Dispatch[] {
  const model = buildModel(network, { channels: 3, size: 32, classes: 10 });
  const assigned = studentProcedures({ model, images: 10, batch: 10, steps: 2 })[procedure]!;
  const tensors = prepare(Object.values(assigned), target);
  const assignments = new Map(Object.keys(assigned).map((name, i) => [name, tensors[i]!]));
  const steps = new Planner(assignments, target, true).steps(new Slots());
  return steps.filter((step) => step.kind === "dispatch");
}

describe("a student's program", () => {
  it.each([
    ["AlexNetBN", "step"],
    ["VGG16", "step"],
    ["ResNet18", "step"],
    ["ResNet18", "adjoint"],
  ] as const)("of %s takes few launches and short shaders for its %s", (network, procedure) => {
    const launches = launchesOf(network, procedure);
    const products = launches.filter(({ op }) => /conv|matmul/.test(op)).length;
    expect(products).toBeGreaterThan(15);
    expect(launches.length).toBeLessThan(4 * products);
    expect(Math.max(...launches.map(({ code }) => code.length))).toBeLessThan(20_000);
  });
});
