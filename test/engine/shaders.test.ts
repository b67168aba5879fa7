/** @file Shader files: each is valid as it stands, tells what it does, and is some op's. */

import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { Gpu, matmul, variable } from "../../engine/index.ts";
import { targetOf } from "../../engine/gpu/program.ts";
import type { KernelOp, Stored, Target } from "../../engine/graph/tensor.ts";
import { pipelineFor } from "../../engine/gpu/pipeline.ts";
import { shaderSource, specialise } from "../../engine/gpu/shader.ts";

const read = (folder: string, ending: string): [string, string][] => {
  const url = new URL(`../../${folder}/`, import.meta.url);
  return readdirSync(url)
    .filter((file) => file.endsWith(ending))
    .map((file) => [file.slice(0, -ending.length), readFileSync(new URL(file, url), "utf8")]);
};

const SHADERS = read("shaders", ".wgsl");
const OPS = read("engine/ops", ".ts");
const GPU = read("engine/gpu", ".ts");

describe("every shader", () => {
  test("is there to be tested", () => {
    expect(SHADERS.length).toBeGreaterThanOrEqual(6);
  });

  test.each(SHADERS)("compiles as it stands: %s", async (name, source) => {
    using gpu = await Gpu.open({ adapter: "null" });
    expect(shaderSource(name)).toBe(source);
    await expect(pipelineFor(gpu, source, name)).resolves.toBeDefined();
  });

  const stored = SHADERS.flatMap(([name, source]) => {
    const aliases = [...source.matchAll(/^alias (\w+) = f(?:32|16);$/gm)].map(
      ([, alias]) => alias!,
    );
    return aliases.length > 0 ? [[name, aliases] as const] : [];
  });

  test.each(stored)(
    "compiles with every element type of what it reads and writes: %s",
    async (name, aliases) => {
      using gpu = await Gpu.open({ adapter: "null" });
      const all = (type: Stored) => Object.fromEntries(aliases.map((alias) => [alias, type]));
      const mixtures = aliases.map((alias) => ({ ...all("f32"), [alias]: "f16" as const }));
      for (const types of [all("f32"), all("f16"), ...mixtures])
        await expect(pipelineFor(gpu, specialise(name, {}, types), name)).resolves.toBeDefined();
    },
  );

  test.each(SHADERS)("is some op's, or measures the roof: %s", (name) => {
    const users = name.startsWith("roof_") ? GPU : OPS;
    expect(users.filter(([, text]) => text.includes(`"${name}"`))).not.toEqual([]);
  });

  test.each(SHADERS)("starts with its formula and the shapes of its bindings: %s", (_, source) => {
    const header = /^(\/\/.*\n)+/.exec(source)?.[0] ?? "";
    expect(header.split("\n").length).toBeGreaterThan(3);
    expect(header).toContain("[");
  });
});

describe("an op", () => {
  test("names no shader that is not there", () => {
    const named = OPS.flatMap(([, text]) =>
      [...text.matchAll(/shader: "(\w+)"/g)].map(([, name]) => name!),
    );
    const there = SHADERS.map(([name]) => name);
    expect(named.filter((name) => !there.includes(name))).toEqual([]);
  });
});

describe("subgroup matrices", () => {
  const SIZES = [
    { m: 16, k: 16, n: 16 },
    { m: 8, k: 8, n: 8 },
    { m: 16, k: 8, n: 16 },
  ];

  test.each(SIZES)(
    "of $m, $k and $n multiply f16 operands where the adapter has them",
    async (size) => {
      using gpu = await Gpu.open({ adapter: "null" });
      const y = matmul(variable("a", [70, 40]), variable("b", [70, 90]), { transposeA: true });
      const op = y.op as KernelOp;
      const target: Target = {
        ...targetOf(gpu.facts),
        subgroupSize: 32,
        precision: "f16",
        matrix: size,
      };
      const kernels = op.kernels(y.inputs, y, target, [0, 0]);
      expect(kernels.map(({ shader }) => shader)).toEqual(["matmul_matrix"]);
      const [{ shader, constants, grid }] = kernels;
      expect(grid).toEqual([Math.ceil(90 / (4 * size.n)), Math.ceil(40 / (4 * size.m)), 1]);
      const code = specialise(shader, constants);
      await expect(pipelineFor(gpu, code, shader)).resolves.toBeDefined();
    },
  );
});

describe("a compile error", () => {
  test("shows the shader's line", async () => {
    using gpu = await Gpu.open({ adapter: "null" });
    const broken = shaderSource("add_rows").replace("k >= ROW ", "k >= ROWS ");
    await expect(pipelineFor(gpu, broken, "add_rows")).rejects.toThrow(
      /^internal: shader add_rows, line \d+: unresolved value 'ROWS': if \(k >= ROWS \|\| i >= COUNT\) \{$/,
    );
  });

  test("of a constant that a shader has not is told before it is compiled", () => {
    expect(() => specialise("add_rows", { COLUMN: 1 })).toThrow(
      'internal: shaders/add_rows.wgsl has no line "const COLUMN: … = …;"',
    );
  });
});
