/** @file Shaders that wait for a driver's one thread are compiled on other cores, and change nothing. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { Gpu, interpret, mul, Program, sum, variable, type Tensor } from "../../../engine/index.ts";

let cache: string;
const before = process.env["MESA_SHADER_CACHE_DIR"];
beforeAll(() => {
  cache = mkdtempSync(join(tmpdir(), "potstill-ahead-"));
  process.env["MESA_SHADER_CACHE_DIR"] = cache;
});
afterAll(() => {
  if (before === undefined) delete process.env["MESA_SHADER_CACHE_DIR"];
  else process.env["MESA_SHADER_CACHE_DIR"] = before;
  rmSync(cache, { recursive: true, force: true });
});

it("compiles from the other end while the device compiles from the front", async ({ skip }) => {
  using gpu = await Gpu.open({ threads: "one" });
  if (gpu.facts.kind !== "lavapipe") skip("only lavapipe compiles when it dispatches");
  if (availableParallelism() < 2) skip("there is no other core");
  // Each of another length, so that each is a shader of its own.
  const folds = Array.from({ length: 24 }, (_, i): [string, Tensor] => {
    const x = variable(`x${i}`, [70 + i, 8]);
    return [`y${i}`, sum(mul(mul(x, x), sum(x, [1], true)))];
  });
  const procedure = Object.fromEntries(folds);
  using program = await Program.compile(gpu, { all: procedure });
  const values: Record<string, Float32Array<ArrayBuffer>> = {};
  folds.forEach((_, i) => {
    const data = Float32Array.from({ length: (70 + i) * 8 }, (_, k) => Math.sin(k + i));
    values[`x${i}`] = data;
    program.write(`x${i}`, data);
  });
  program.run("all");
  const results = await program.read(...folds.map(([name]) => name));
  expect(readdirSync(cache).length).toBeGreaterThan(0);
  expect(gpu.ahead!.compiled).toBeGreaterThan(0);
  const expected = interpret(Object.values(procedure), values);
  results.forEach((y, i) => expect(y[0]).toBeCloseTo(expected[i]![0]!, 3));
});
