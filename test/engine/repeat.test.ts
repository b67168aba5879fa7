/** @file The number of a repetition: told to every launch that asks, constant to derivatives. */

import { describe, expect, test } from "vitest";

import * as e from "../../engine/index.ts";
import { GradError, interpret, Program, variable, type Procedure } from "../../engine/index.ts";
import { sharedGpu, variablesOf, type HostValues } from "../support/gpu.ts";
import { runReference } from "../support/reference.ts";

const A = variable("a", [3, 4]);
const B = variable("b", [3, 4]);
const HISTORY = variable("history", [5, 4]);
const TOTAL = variable("total", []);

const whole = (count: number, from = 0): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, (_, i) => from + ((i * 7) % 11));

const start: HostValues = {
  a: whole(12),
  b: whole(12, -20),
  history: whole(20, 100),
  total: new Float32Array([2]),
};

/** What a procedure can do with the number of its repetition. */
const COUNTS: readonly (readonly [string, Procedure])[] = [
  ["adds it up", { total: e.add(TOTAL, e.toFloat(e.repeat())) }],
  ["keeps it", { number: e.repeat() }],
  [
    "reads a row by it, counted back",
    { a: e.sub(A, e.gather(HISTORY, e.subIndex(e.full([], 4, "u32"), e.repeat()))) },
  ],
  [
    "sets the row after it in place",
    {
      history: e.setRow(
        HISTORY,
        e.addIndex(e.repeat(), 1),
        e.mul(e.gather(HISTORY, e.repeat()), 2),
      ),
    },
  ],
  [
    "uses it in two kernels and in one that folds",
    {
      b: e.sub(B, e.sum(e.mul(A, e.toFloat(e.repeat())), [1], true)),
      a: e.matmul(e.matmul(A, B, { transposeB: true }), e.add(B, e.toFloat(e.repeat()))),
    },
  ],
];

describe("a procedure that counts its repetitions", () => {
  const gpu = sharedGpu();
  const cases = COUNTS.flatMap(([label, procedure]) =>
    [true, false].map((fuse) => ({ label, procedure, fuse, way: fuse ? "fused" : "not fused" })),
  );

  test.each(cases)("$label, from 0 and from where it stopped, $way", async (item) => {
    const { procedure, fuse } = item;
    const variables = variablesOf(Object.values(procedure));
    const names = [...new Set([...variables, ...Object.keys(procedure)])];
    using program = await Program.compile(gpu(), { main: procedure }, { fuse });
    for (const name of variables) program.write(name, start[name]!);
    program.poison(NaN);
    program.run("main", 3);
    program.run("main", 1, { first: 3 });
    program.run("main", 2);
    const read = await program.read(...names);
    const four = runReference(procedure, start, 4);
    const expected = runReference(procedure, four, 2);
    names.forEach((name, i) => expect([...read[i]!], name).toEqual(Array.from(expected[name]!)));
  });

  test("counts on over more repetitions than one submission holds", async () => {
    const main = { total: e.add(TOTAL, e.toFloat(e.repeat())) };
    using program = await Program.compile(gpu(), { main });
    program.run("main", 1000);
    expect([...(await program.read("total"))[0]]).toEqual([499_500]);
  });

  test("has it told to those launches alone that ask for it", async () => {
    const main = {
      gain: e.add(TOTAL, e.toFloat(e.repeat())),
      out: e.matmul(A, B, { transposeB: true }),
    };
    using program = await Program.compile(gpu(), { main });
    const told = program
      .steps("main")
      .map((step) => step.kind === "dispatch" && [step.op, step.immediate]);
    expect(new Set(told)).toEqual(
      new Set([
        ["map", true],
        ["matmul", false],
      ]),
    );
  });
});

describe("the number of a repetition", () => {
  test("is constant to derivatives, and lets them pass to what it chooses", () => {
    const s = e.repeat();
    const loss = e.sum(e.square(e.gather(A, s)));
    expect(() => e.grad(loss, [s])).toThrow(GradError);
    const [dA] = e.grad(loss, [A]);
    const values = { a: start["a"]! };
    for (const row of [0, 2]) {
      const [got] = interpret([dA!], { ...values, repeat: [row] });
      const want = values.a.map((v, i) => (Math.floor(i / 4) === row ? 2 * v : 0));
      expect([...got!]).toEqual(Array.from(want, (v) => v));
    }
  });

  test("is one tensor however often it is asked for", () => {
    const [sum] = e.simplify([e.add(e.toFloat(e.repeat()), e.toFloat(e.repeat()))]);
    expect(sum!.inputs[0]).toBe(sum!.inputs[1]);
  });
});
