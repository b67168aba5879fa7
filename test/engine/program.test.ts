/** @file Compiled programs on the adapter: fused or not, carried from run to run, and what they keep. */

import { describe, expect, test, vi } from "vitest";

import * as e from "../../engine/index.ts";
import {
  grad,
  interpret,
  Program,
  Random,
  variable,
  type CompileOptions,
  type Gpu,
  type HostData,
  type Procedure,
  type Tensor,
} from "../../engine/index.ts";
import { runOnGpu, sharedGpu, variablesOf, type HostValues } from "../support/gpu.ts";
import { runReference } from "../support/reference.ts";
import { expectNear, termsOf } from "../support/tolerance.ts";
import { uniform } from "./table/row.ts";

type Norm = (x: Tensor, scale: Tensor, shift: Tensor) => Tensor;

interface Network {
  readonly norm: Norm;
  readonly pool: (x: Tensor) => Tensor;
  /** Scale and shift have the shape of an image, not of its channels. */
  readonly wholeImage?: boolean;
  readonly blocks: number;
}

/** Blocks of [convolution → norm → activation → pool] and a linear layer, on 3 images [2, 8, 8]. */
function convNet({ norm, pool, wholeImage = false, blocks }: Network) {
  const random = new Random(21);
  const values: Record<string, HostData> = {};
  const parameter = (name: string, ...shape: number[]): Tensor => {
    values[name] = uniform(-0.7, 0.7)(random, shape);
    return variable(name, shape);
  };
  const x = parameter("x", 3, 2, 8, 8);
  const theta: Tensor[] = [];
  let h = x;
  for (const [block, pixels] of [8, 4].slice(0, blocks).entries()) {
    const affine = wholeImage ? [4, pixels, pixels] : [4];
    const kernel = parameter(`kernel${block}`, 4, h.shape[1]!, 3, 3);
    const scale = parameter(`scale${block}`, ...affine);
    const shift = parameter(`shift${block}`, ...affine);
    theta.push(kernel, scale, shift);
    h = pool(e.leakyRelu(norm(e.conv2d(h, kernel, { padding: 1 }), scale, shift), 0.1));
  }
  const weight = parameter("weight", 5, h.size / 3);
  theta.push(weight);
  values["labels"] = new Uint32Array([4, 0, 2]);
  const logits = e.linear(e.reshape(h, [3, -1]), weight);
  return { x, theta, loss: e.hardCrossEntropy(logits, variable("labels", [3], "u32")), values };
}

/** Loss, first gradients, and the gradients of ⟨∂loss/∂θ, u⟩: what one step and its adjoint need. */
function stepAndAdjoint({ x, theta, loss, values }: ReturnType<typeof convNet>) {
  const random = new Random(22);
  const first = grad(loss, theta);
  const products = first.map((g, i) => {
    values[`u${i}`] = uniform(-1, 1)(random, g.shape);
    return e.sum(e.mul(g, variable(`u${i}`, g.shape)));
  });
  const second = grad(
    products.reduce((a, b) => e.add(a, b)),
    [x, ...theta],
  );
  const named = (prefix: string, tensors: readonly Tensor[]) =>
    tensors.map((t, i): [string, Tensor] => [`${prefix}${i}`, t]);
  const outputs = Object.fromEntries([
    ["loss", loss],
    ...named("first", first),
    ...named("second", second),
  ]) as Record<string, Tensor>;
  return { outputs, values };
}

const avg = (x: Tensor): Tensor => e.avgPool(x, { size: 2 });
const max = (x: Tensor): Tensor => e.maxPool(x, { size: 2 });
const group: Norm = (x, scale, shift) => e.groupNorm(x, 2, scale, shift);

const SMALL: Network = { norm: e.instanceNorm, pool: avg, blocks: 1 };

const NETWORKS: readonly (readonly [string, Network])[] = [
  ["instance norm and average pools", { ...SMALL, blocks: 2 }],
  ["group norm and average pools", { norm: group, pool: avg, blocks: 2 }],
  ["layer norm and average pools", { norm: e.layerNorm, pool: avg, wholeImage: true, blocks: 2 }],
  ["batch norm and a maximum pool", { norm: e.batchNorm, pool: max, blocks: 1 }],
];

describe("the step and the adjoint of a ConvNet", () => {
  const gpu = sharedGpu();
  const workgroups = sharedGpu({ software: false, subgroupSize: null });
  const crowded = sharedGpu({ limits: { maxStorageBuffersPerShaderStage: 5 } });

  async function expectInterpreted(
    on: Gpu,
    network: Network,
    options: CompileOptions = {},
  ): Promise<void> {
    const { outputs, values } = stepAndAdjoint(convNet(network));
    const tensors = Object.values(outputs);
    const actual = await runOnGpu(on, outputs, values, options);
    const expected = interpret(tensors, values);
    const terms = termsOf(tensors);
    Object.keys(outputs).forEach((name, i) => {
      expectNear(actual[name]!, expected[i]!, { c: 4, terms: terms[i]! }, name);
    });
  }

  test.each(NETWORKS)("with %s are the interpreter's, fused or not", async (_, network) => {
    await expectInterpreted(gpu(), network);
    await expectInterpreted(gpu(), network, { fuse: false });
  });

  test("are the interpreter's where workgroups share rows", async () => {
    await expectInterpreted(workgroups(), SMALL);
  });

  test("are the interpreter's where a kernel may have 5 buffers", async () => {
    await expectInterpreted(crowded(), SMALL);
  });

  test("take fewer kernels and less memory fused, and no more than they did", async () => {
    const { outputs } = stepAndAdjoint(convNet({ ...SMALL, blocks: 2 }));
    using fused = await Program.compile(gpu(), { main: outputs });
    using plain = await Program.compile(gpu(), { main: outputs }, { fuse: false });
    expect(fused.cost("main").dispatches).toBeLessThan(plain.cost("main").dispatches / 3);
    expect(fused.memory.slots).toBeLessThan(plain.memory.slots / 2);
    // Recorded: 41 and 19 320 bytes on lavapipe, 47 and 29 832 bytes on SwiftShader.
    expect(fused.cost("main").dispatches).toBeLessThanOrEqual(50);
    expect(fused.memory.slots).toBeLessThanOrEqual(32_000);
  });
});

/** Whole numbers, so that results are exact. */
const whole = (count: number, from = 0): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, (_, i) => from + ((i * 7) % 11));

const A = variable("a", [3, 4]);
const B = variable("b", [3, 4]);
const HISTORY = variable("history", [5, 4]);
const STEP = variable("step", [], "u32");
const GAIN = variable("gain", []);

const [a0, b0] = [whole(12), whole(12, -20)];

const start: HostValues = {
  a: a0,
  b: b0,
  history: whole(20, 100),
  step: new Uint32Array([1]),
  gain: new Float32Array([2]),
};

const CARRIES: readonly (readonly [string, Procedure])[] = [
  ["a variable updated from itself", { a: e.sub(A, e.mul(B, GAIN)) }],
  ["a variable assigned another", { a: B }],
  ["two variables swapped", { a: B, b: A }],
  ["two variables swapped, one of them changed", { a: e.add(B, 1), b: A }],
  ["both changed from both", { a: e.add(A, B), b: e.sub(A, B) }],
  ["the value before and the value after", { b: A, a: e.add(A, 1) }],
  ["the same, in the other order", { a: e.add(A, 1), b: A }],
  ["three values moved along", { out: B, b: A, a: e.mul(A, 2) }],
  ["an output under another shape", { out: e.reshape(A, [4, 3]), a: e.add(A, 1) }],
  ["two outputs of one value", { out: e.add(A, B), copy: e.add(A, B), a: e.add(A, B) }],
  ["a variable transposed onto itself", { a: e.reshape(e.permute(A, [1, 0]), [3, 4]) }],
  ["a variable reversed", { a: e.flip(A, [0, 1]), b: e.sub(B, e.flip(A, [1])) }],
  ["constants", { one: e.full([3], 1), count: e.toFloat(e.iota(4)), zero: e.full([], 0) }],
  ["a variable set to a constant", { a: e.full([3, 4], 5), out: e.sum(A) }],
  ["a variable unchanged", { a: A, out: e.sum(A, [1]) }],
  [
    "a row of a history and its counter",
    {
      history: e.setRow(HISTORY, STEP, e.reshape(e.slice(A, [1, 0], [1, 4]), [4])),
      step: e.addIndex(STEP, 1),
    },
  ],
  [
    "a row read and written in one run",
    {
      history: e.setRow(HISTORY, STEP, e.mul(e.gather(HISTORY, STEP), -1)),
      out: e.sum(HISTORY, [1]),
    },
  ],
  [
    "a row set beside the whole history changed",
    {
      history: e.add(HISTORY, 1),
      out: e.setRow(HISTORY, STEP, e.gather(A, STEP)),
    },
  ],
  [
    "a row moved to another",
    {
      history: e.setRow(HISTORY, STEP, e.reshape(e.slice(HISTORY, [4, 0], [1, 4]), [4])),
    },
  ],
  [
    "two rows set",
    {
      history: e.setRow(
        e.setRow(HISTORY, STEP, e.gather(A, STEP)),
        e.addIndex(STEP, 1),
        e.gather(B, STEP),
      ),
    },
  ],
  [
    "a row of a part of the history",
    {
      out: e.setRow(e.slice(HISTORY, [1, 0], [3, 4]), STEP, e.gather(A, STEP)),
      a: e.slice(HISTORY, [2, 0], [3, 4]),
    },
  ],
  [
    "momentum",
    {
      b: e.add(e.mul(B, GAIN), A),
      a: e.sub(A, e.add(e.mul(B, GAIN), A)),
    },
  ],
  [
    "a matrix product assigned to its own factor",
    {
      a: e.matmul(e.matmul(A, B, { transposeB: true }), e.full([3, 4], 1)),
      b: e.sub(B, A),
    },
  ],
  [
    "a sum over rows subtracted from them",
    { a: e.sub(A, e.sum(A, [1], true)), b: e.add(B, e.sum(B, [0])) },
  ],
];

describe("a procedure that assigns", () => {
  const gpu = sharedGpu();

  const cases = CARRIES.flatMap(([label, procedure]) =>
    [true, false].map((fuse) => ({ label, procedure, fuse, way: fuse ? "fused" : "not fused" })),
  );
  test.each(cases)("$label does what all assignments at once do, $way", async (item) => {
    const { procedure, fuse } = item;
    const variables = variablesOf(Object.values(procedure));
    const names = [...new Set([...variables, ...Object.keys(procedure)])];
    for (const times of [1, 2, 3]) {
      using program = await Program.compile(gpu(), { main: procedure }, { fuse });
      for (const name of variables) program.write(name, start[name]!);
      program.poison(NaN);
      program.run("main", times);
      const read = await program.read(...names);
      const expected = runReference(procedure, start, times);
      names.forEach((name, i) => {
        expect([...read[i]!], `${name} after ${times}`).toEqual(Array.from(expected[name]!));
      });
    }
  });

  test("needs no copy where a row is set, or an update made, in place", async () => {
    const procedures = {
      row: { history: e.setRow(HISTORY, STEP, e.gather(A, STEP)) },
      momentum: { b: e.add(e.mul(B, GAIN), A), a: e.sub(A, e.mul(B, 3)) },
    };
    using program = await Program.compile(gpu(), procedures);
    expect(program.print("row")).not.toContain("copy");
    expect(program.print("momentum")).not.toContain("copy");
    expect(program.cost("momentum").dispatches).toBe(1);
  });

  test("shares variables with the other procedures of a program", async () => {
    const procedures = {
      grow: { a: e.mul(A, 2) },
      move: { b: e.add(A, B) },
      measure: { total: e.sum(B) },
    };
    using program = await Program.compile(gpu(), procedures);
    for (const name of ["a", "b"]) program.write(name, start[name]!);
    program.run("grow", 2);
    program.run("move");
    program.run("grow");
    program.run("measure");
    const [a, b, total] = await program.read("a", "b", "total");
    const expected = a0.map((v, i) => 4 * v + b0[i]!);
    expect([...a]).toEqual(Array.from(a0, (v) => 8 * v));
    expect([...b]).toEqual([...expected]);
    expect([...total]).toEqual([expected.reduce((x, y) => x + y)]);
  });
});

describe("a program", () => {
  const gpu = sharedGpu();
  const { outputs, values } = stepAndAdjoint(convNet({ ...SMALL, blocks: 2 }));

  /** The bits of all outputs after a run. */
  async function bits(program: Program): Promise<string> {
    program.run("main");
    const read = await program.read(...Object.keys(outputs));
    return read.map((x) => [...new Uint32Array(x.buffer)].join()).join(";");
  }

  async function compiled(): Promise<Program> {
    const program = await Program.compile(gpu(), { main: outputs });
    for (const name of variablesOf(Object.values(outputs))) program.write(name, values[name]!);
    return program;
  }

  test("has the same bits run after run, on poisoned memory, and compiled again", async () => {
    using program = await compiled();
    const once = await bits(program);
    expect(await bits(program)).toBe(once);
    program.poison(NaN);
    expect(await bits(program)).toBe(once);
    program.poison(-7);
    expect(await bits(program)).toBe(once);
    using again = await compiled();
    again.poison(NaN);
    expect(await bits(again)).toBe(once);
    expect(once).not.toContain("NaN");
  });

  test("reads in the order of the names, as often as they are given, indices as numbers", async () => {
    const main = { sum: e.sum(A), rows: e.sum(A, [1]), next: e.addIndex(STEP, 6) };
    using program = await Program.compile(gpu(), { main });
    program.write("a", start["a"]!);
    program.write("step", start["step"]!);
    program.run("main");
    const [rows, total, rowsAgain, next, step] = await program.read(
      "rows",
      "sum",
      "rows",
      "next",
      "step",
    );
    const expected = [0, 1, 2].map((i) => a0.slice(4 * i, 4 * i + 4).reduce((x, y) => x + y));
    expect([...rows]).toEqual(expected);
    expect([...rowsAgain]).toEqual(expected);
    expect([...total]).toEqual([expected.reduce((x, y) => x + y)]);
    expect([next[0], step[0]]).toEqual([7, 1]);
  });

  test("copies what is written at once, and starts with zeros", async () => {
    using program = await Program.compile(gpu(), { main: { out: e.add(A, B) } });
    const data = whole(12);
    program.write("a", data);
    data.fill(99);
    program.run("main");
    const [out, b] = await program.read("out", "b");
    expect([...out]).toEqual([...whole(12)]);
    expect([...b]).toEqual(new Array(12).fill(0));
  });

  test("runs not at all for zero times, and thousands of times in order", async () => {
    const counter = variable("counter", []);
    using program = await Program.compile(gpu(), { main: { counter: e.add(counter, 1) } });
    program.run("main", 0);
    program.run("main", 3000);
    program.run("main");
    expect([...(await program.read("counter"))[0]]).toEqual([3001]);
  });

  test("counts the memory of variables, outputs and slots", async () => {
    const x = variable("x", [1000]);
    const chain = (length: number): Tensor =>
      Array.from({ length }).reduce<Tensor>((t) => e.sin(t), x);
    const memory = async (length: number, fuse: boolean) => {
      using program = await Program.compile(gpu(), { main: { y: chain(length) } }, { fuse });
      return program.memory;
    };
    const expected = (slots: number) => {
      return { variables: 8000, slots, total: 8000 + slots, largest: 4000 };
    };
    expect(await memory(6, true)).toEqual(expected(0));
    expect(await memory(1, false)).toEqual(expected(0));
    expect(await memory(2, false)).toEqual(expected(4000));
    // However long the chain: what is read, and what is written.
    expect(await memory(3, false)).toEqual(expected(8000));
    expect(await memory(30, false)).toEqual(expected(8000));
  });

  test("plans, without the adapter, the memory that compiling then takes of it", async () => {
    const { device, facts } = gpu();
    const sizes: number[] = [];
    const create = device.createBuffer.bind(device);
    const spy = vi.spyOn(device, "createBuffer").mockImplementation((descriptor) => {
      sizes.push(descriptor.size);
      return create(descriptor);
    });
    try {
      const odd = variable("odd", [7]);
      const procedures = {
        gradients: stepAndAdjoint(convNet(SMALL)).outputs,
        more: { odd: e.add(odd, 1), sum: e.sum(odd) },
      };
      for (const fuse of [true, false]) {
        const planned = Program.plan(procedures, facts, { fuse });
        expect(sizes).toEqual([]);
        using program = await Program.compile(gpu(), procedures, { fuse });
        expect(program.memory).toEqual(planned);
        expect(sizes.reduce((a, b) => a + b)).toBe(planned.total);
        expect(Math.max(...sizes)).toBe(planned.largest);
        sizes.length = 0;
      }
      expect(Program.plan(procedures).variables).toBe(Program.plan(procedures, facts).variables);
    } finally {
      spy.mockRestore();
    }
  });

  test("shares slots between procedures", async () => {
    const x = variable("x", [1000]);
    const procedure = (name: string) => ({ [name]: e.cos(e.sin(e.exp(x))) });
    const procedures = { one: procedure("y"), two: procedure("z") };
    using program = await Program.compile(gpu(), procedures, { fuse: false });
    expect(program.memory.slots).toBe(8000);
  });

  test("prints its launches", async () => {
    const main = { a: e.sub(A, e.matmul(e.matmul(A, B, { transposeB: true }), B)), b: A };
    using program = await Program.compile(gpu(), { main });
    expect(program.print("main").split("\n")).toEqual([
      expect.stringMatching(/^copy a -> #\d, 48 B$/),
      expect.stringMatching(
        /^matmul \[3, 4\] \[3, 4\] -> \[3, 3\], grid \d+x\d+x\d+, 72 FLOP, 132 B$/,
      ),
      expect.stringMatching(
        /^matmul \[3, 3\] \[3, 4\] -> \[3, 4\], grid \d+x\d+x\d+, 72 FLOP, 132 B$/,
      ),
      expect.stringMatching(/^map 1 op -> \[3, 4\], grid \d+x1x1, 12 FLOP, 144 B$/),
      expect.stringMatching(/^copy #\d -> b, 48 B$/),
    ]);
    expect(program.shaders("main").length).toBe(3);
  });

  test("stops being usable when it is disposed", async () => {
    const program = await Program.compile(gpu(), { main: { out: e.add(A, B) } });
    program[Symbol.dispose]();
    program.run("main");
    await expect(program.read("out")).rejects.toThrow(/destroyed/);
  });
});
