/** @file Golden cases of the augmentation: every operator, with its draws given. */
import { grad, mul, Program, sum, variable, type Gpu } from "../../engine/index.ts";
import { augment, ROW, rowOf } from "../../distill/training/augment.ts";
import { DSA_STRATEGY, parseStrategy, type Operator } from "../../distill/training/strategy.ts";
import type { Check, Outcome } from "./cases.ts";
import { fill } from "./fill.ts";

interface AugmentCase {
  readonly op: Exclude<Operator, "color"> | "brightness" | "saturation" | "contrast";
  readonly shape: readonly [number, number, number, number];
  readonly seed: number;
  /** A list for each number that an image draws, one value an image. */
  readonly draws: readonly (readonly number[])[];
  readonly out: readonly number[];
  readonly weightSeed: number;
  readonly gradX: readonly number[];
}

/** A DSA operator with given draws, and the derivative of a weighted sum of its result. */
export async function augmentCase(gpu: Gpu, c: AugmentCase): Promise<Outcome> {
  const [batch, channels, height, width] = c.shape;
  const operators = { brightness: "color", saturation: "color", contrast: "color" } as const;
  const operator = c.op in operators ? "color" : (c.op as Operator);
  const rows = Array.from({ length: batch }, (_, b) => {
    const draws = c.draws.map((list) => list[b]!);
    const colour = Object.keys(operators).map((op) => (op === c.op ? draws[0]! : 0.5));
    return rowOf(operator, operator === "color" ? colour : draws, { channels, height, width });
  });
  const x = variable("x", c.shape);
  const weights = variable("weights", c.shape);
  const run = async (strategy: string) => {
    const out = augment(x, variable("rows", [batch, ROW]), parseStrategy(strategy));
    const [gradient] = grad(sum(mul(out, weights)), [x]);
    using program = await Program.compile(gpu, { run: { out, gradient: gradient! } });
    program.write("x", fill(c.shape, c.seed, -2, 2));
    program.write("weights", fill(c.shape, c.weightSeed, -1, 1));
    program.write("rows", Float32Array.from(rows.flat()));
    program.run("run");
    return await program.read("out", "gradient");
  };
  const check = (what: string, got: Float32Array, want: readonly number[]): Check => {
    const error = want.reduce((most, v, i) => Math.max(most, Math.abs(got[i]! - v)), 0);
    return { what, error, tolerance: 2e-5 };
  };
  const [alone, aloneGradient] = await run(operator);
  const [out, gradient] = await run(DSA_STRATEGY);
  return {
    checks: [
      check("result", out, c.out),
      check("gradient", gradient, c.gradX),
      check("result without other operators", alone, c.out),
      check("gradient without other operators", aloneGradient, c.gradX),
    ],
  };
}
