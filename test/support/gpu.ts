/** @file Graphs on the adapter, for comparison with the interpreter. */

import { afterAll, beforeAll } from "vitest";

import {
  Gpu,
  Program,
  type AdapterFacts,
  type CompileOptions,
  type HostData,
  type Tensor,
} from "../../engine/index.ts";

/** Values of variables as a program takes them. */
export type HostValues = Readonly<Record<string, HostData>>;

/**
 * One GPU for the tests of a file: opened before the first, disposed after the last. `facts` replace
 * what kernels are told of the adapter, so that choices made for others run here too.
 */
export function sharedGpu(facts: Partial<AdapterFacts> = {}): () => Gpu {
  let gpu: Gpu | undefined;
  beforeAll(async () => {
    gpu = await Gpu.open();
    Object.assign(gpu.facts, facts);
  });
  afterAll(() => gpu?.[Symbol.dispose]());
  return () => {
    if (!gpu) throw new Error("gpu: tests must run after beforeAll, got a call before");
    return gpu;
  };
}

/** Writes those of `values` that the program has as variables. */
export function writeAll(program: Program, values: HostValues, names: readonly string[]): void {
  for (const name of names) program.write(name, values[name]!);
}

/** Names of the variables that `outputs` depend on. */
export function variablesOf(topological: readonly Tensor[]): string[] {
  const names = topological
    .filter((t) => t.op.name === "variable")
    .map((t) => t.params["name"] as string);
  return [...new Set(names)];
}
