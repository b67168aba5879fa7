/** @file Random programs: what simplifies, fuses and plans them must change no bit. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Planner, Slots } from "../../engine/gpu/plan.ts";
import { targetOf } from "../../engine/gpu/program.ts";
import {
  interpret,
  printGraph,
  Program,
  simplify,
  type Gpu,
  type Procedure,
} from "../../engine/index.ts";
import { sharedGpu, variablesOf } from "../support/gpu.ts";
import { runReference } from "../support/reference.ts";
import { foundPrograms } from "./found-programs.ts";
import { buildProgram, isExact, recipes, type RandomProgram, type Recipe } from "./random-graph.ts";

/** More by hand: `POTSTILL_FUZZ_RUNS=5000 npx vitest run test/engine/random-programs.test.ts`. */
const RUNS = Number(process.env["POTSTILL_FUZZ_RUNS"] ?? 30);
const SEED = Number(process.env["POTSTILL_FUZZ_SEED"] ?? 1);
const TIMEOUT_MS = 60_000 + 5_000 * RUNS;

/** Characters of a shader beyond which a driver may take minutes and gigabytes to compile it. */
const LONGEST_SHADER = 200_000;

/** Length of the longest shader, found before any driver gets it. */
function longestShader(gpu: Gpu, procedure: Procedure, fuse: boolean): number {
  const simple = simplify(Object.values(procedure));
  const assignments = new Map(Object.keys(procedure).map((name, i) => [name, simple[i]!]));
  const steps = new Planner(assignments, targetOf(gpu.facts), fuse).steps(new Slots());
  return Math.max(0, ...steps.map((step) => (step.kind === "dispatch" ? step.code.length : 0)));
}

/** Runs the program on poisoned memory, twice, and expects the reference's bits in every variable. */
async function expectReference(
  gpu: Gpu,
  { procedure, values }: RandomProgram,
  fuse: boolean,
): Promise<void> {
  expect(longestShader(gpu, procedure, fuse)).toBeLessThan(LONGEST_SHADER);
  using program = await Program.compile(gpu, { main: procedure }, { fuse });
  const variables = variablesOf(Object.values(procedure));
  for (const name of variables) program.write(name, values[name]!);
  const names = [...new Set([...variables, ...Object.keys(procedure)])];
  program.poison(NaN);
  program.run("main", 2);
  const actual = await program.read(...names);
  const expected = runReference(procedure, values, 2);
  names.forEach((name, i) => {
    // Adding 0 takes the sign from zeros, which adapters may do too.
    const got = Array.from(actual[i]!, (v) => v + 0);
    const want = Array.from(expected[name]!, (v) => v + 0);
    expect(got, `${name}\n${printGraph(Object.values(procedure))}`).toEqual(want);
  });
}

/** Programs that stay exact through both runs. */
function exactProgram(recipe: Recipe): RandomProgram {
  const program = buildProgram(recipe);
  const { procedure, values } = program;
  const outputs = Object.values(procedure);
  fc.pre(isExact(outputs, values) && isExact(outputs, runReference(procedure, values)));
  return program;
}

const options = (share = 1) => ({
  seed: SEED,
  // Examples count as runs.
  numRuns: Math.ceil(RUNS * share) + foundPrograms.length,
  examples: [...foundPrograms],
});

describe("a random program", () => {
  const gpu = sharedGpu();
  const workgroups = sharedGpu({ software: false, subgroupSize: null });
  const crowded = sharedGpu({ limits: { maxStorageBuffersPerShaderStage: 5 } });

  test(
    "has the same values when it is simplified",
    () => {
      const property = fc.property(recipes, (recipe) => {
        const { procedure, values } = exactProgram(recipe);
        const outputs = Object.values(procedure);
        const plain = (data: Float64Array[]) => data.map((x) => Array.from(x, (v) => v + 0));
        expect(plain(interpret(simplify(outputs), values))).toEqual(
          plain(interpret(outputs, values)),
        );
      });
      fc.assert(property, options(10));
    },
    TIMEOUT_MS,
  );

  test.each([
    ["fused", gpu, true, 1],
    ["with an operation a kernel", gpu, false, 1 / 4],
    ["where workgroups share rows", workgroups, true, 1 / 4],
    ["where a kernel may have 5 buffers", crowded, true, 1 / 4],
  ] as const)(
    "does on the adapter what the interpreter does, %s",
    async (_, on, fuse, share) => {
      const property = fc.asyncProperty(recipes, async (recipe) => {
        await expectReference(on(), exactProgram(recipe), fuse);
      });
      await fc.assert(property, options(share));
    },
    TIMEOUT_MS,
  );
});
