/** @file Graphs on the adapter, for comparison with the interpreter. */

import { afterAll, beforeAll } from "vitest";

import {
  Gpu,
  Program,
  topological,
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

/** Compiles `outputs` as one procedure, runs it on poisoned memory and reads them by name. */
export async function runOnGpu(
  gpu: Gpu,
  outputs: Readonly<Record<string, Tensor>>,
  values: HostValues,
  options: CompileOptions = {},
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  using program = await Program.compile(gpu, { main: outputs }, options);
  for (const name of variablesOf(Object.values(outputs))) program.write(name, values[name]!);
  program.poison(NaN);
  program.run("main");
  const names = Object.keys(outputs);
  const read = await program.read(...names);
  return Object.fromEntries(names.map((name, i) => [name, read[i]!]));
}

/** Names of the variables that `outputs` depend on. */
export function variablesOf(outputs: readonly Tensor[]): string[] {
  const variables = topological(outputs).filter((t) => t.op.name === "variable");
  return [...new Set(variables.map((t) => t.params["name"] as string))];
}
