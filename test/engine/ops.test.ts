/** @file Every op and everything built from them: derivatives to second order, and the adapter. */

import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import {
  GradError,
  interpret,
  Random,
  topological,
  variable,
  vjp,
  type Gpu,
  type HostData,
  type Tensor,
} from "../../engine/index.ts";
import { expectDerivatives } from "../support/gradcheck.ts";
import { runOnGpu, sharedGpu } from "../support/gpu.ts";
import { expectNear, largest, termsOf } from "../support/tolerance.ts";
import { elementwise } from "./table/elementwise.ts";
import { layout } from "./table/layout.ts";
import { linear, tiles } from "./table/linear.ts";
import { networks } from "./table/networks.ts";
import { reduce } from "./table/reduce.ts";
import { build, normal, type Built, type Case, type Row } from "./table/row.ts";

const TABLE: Readonly<Record<string, Row>> = {
  ...elementwise,
  ...layout,
  ...reduce,
  ...linear,
  ...networks,
};

const ROWS = Object.entries(TABLE);

/** Functions of engine/ops that make a variable, ask a question or choose a shader. */
const NOT_OPS = new Set([
  "variable",
  "constantValue",
  "isFloat",
  "imageKernels",
  "weightKernels",
  "partKernels",
  "partsFor",
]);

const FOLDER = new URL("../../engine/ops/", import.meta.url);
const FILES = readdirSync(FOLDER).filter((file) => file.endsWith(".ts"));

interface Comparison {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly values: Readonly<Record<string, HostData>>;
}

/** The output, and its first gradients for a random cotangent. */
function withGradients({ output, inputs, values }: Built): Comparison {
  const g = variable("g", output.shape);
  const parts = vjp(output, inputs, g);
  const gradients = parts.map((part, i): [string, Tensor] => [`d${i}`, part]);
  return {
    outputs: { y: output, ...Object.fromEntries(gradients) },
    values: { ...values, g: normal(new Random(11), output.shape) },
  };
}

async function expectInterpreted(
  gpu: Gpu,
  { outputs, values }: Comparison,
  { c = 4, absolute = 0 }: Row,
): Promise<void> {
  const tensors = Object.values(outputs);
  const actual = await runOnGpu(gpu, outputs, values);
  const expected = interpret(tensors, values);
  const terms = termsOf(tensors);
  Object.keys(outputs).forEach((name, i) => {
    // A gradient multiplies what is off by the cotangent.
    const factor = name === "y" ? 1 : largest(values["g"]!);
    const tolerance = { c, terms: terms[i]!, absolute: absolute * factor };
    expectNear(actual[name]!, expected[i]!, tolerance, name);
  });
}

const onAdapter = (row: Row): Case[] => row.cases.filter((item) => item.interpreterOnly !== true);

describe.each(ROWS)("%s", (_, row) => {
  if (row.derivative === "none")
    test.each(row.cases)("$label is constant to every derivative", (item) => {
      const { output } = build(item);
      const inputs = topological([output]).filter((t) => t.op.name === "variable");
      for (const x of inputs)
        expect(() => vjp(output, [x], variable("g", output.shape))).toThrow(GradError);
    });
  else
    test.each(row.cases)("$label has the derivatives that differences have", (item) => {
      expectDerivatives(build(item), { multilinear: row.derivative === "multilinear" });
    });
});

describe("on the adapter", () => {
  const gpu = sharedGpu();

  describe.each(ROWS)("%s", (_, row) => {
    test.each(onAdapter(row))("$label is what the interpreter says", async (item) => {
      const built = build(item);
      const { output: y, values } = built;
      const comparison =
        row.derivative === "none" ? { outputs: { y }, values } : withGradients(built);
      await expectInterpreted(gpu(), comparison, row);
    });
  });
});

describe("without subgroups", () => {
  const gpu = sharedGpu({ subgroupSize: null });

  describe.each(Object.entries(tiles))("%s", (_, row) => {
    test.each(onAdapter(row))("$label is what the interpreter says", async (item) => {
      const { output: y, values } = build(item);
      await expectInterpreted(gpu(), { outputs: { y }, values }, row);
    });
  });
});

describe("the table", () => {
  test("has a row for every function that engine/ops exports", async () => {
    const functions: string[] = [];
    for (const file of FILES) {
      const module = (await import(new URL(file, FOLDER).href)) as Record<string, unknown>;
      for (const [name, value] of Object.entries(module))
        if (typeof value === "function" && !NOT_OPS.has(name)) functions.push(name);
    }
    expect(functions.length).toBeGreaterThan(50);
    expect(functions.filter((name) => !(name in TABLE))).toEqual([]);
  });

  test("reaches every op that engine/ops declares, gradients aside", () => {
    const declared = FILES.flatMap((file) => {
      const text = readFileSync(new URL(file, FOLDER), "utf8");
      return [...text.matchAll(/(?:\bname: |\b(?:declare|unary|binary)\()"(\w+)"/g)].map(
        ([, name]) => name!,
      );
    });
    expect(declared.length).toBeGreaterThan(40);
    const outputs = ROWS.flatMap(([, row]) => row.cases.map((item) => build(item).output));
    const reached = new Set(topological(outputs).map((t) => t.op.name));
    expect(declared.filter((name) => !reached.has(name))).toEqual([]);
  });
});
