/** @file Every kernel that an op offers: what the interpreter says, and bit for bit what the others give. */

import { afterAll, describe, expect, test } from "vitest";

import {
  interpret,
  matmul,
  matmulSum,
  Random,
  reshape,
  slice,
  variable,
  type Tensor,
} from "../../engine/index.ts";
import { targetOf } from "../../engine/gpu/program.ts";
import { runOnGpu, sharedGpu, variablesOf } from "../support/gpu.ts";
import { expectNear } from "../support/tolerance.ts";

interface Product {
  readonly size: readonly [m: number, k: number, n: number];
  readonly flags: `${"n" | "t"}${"n" | "t"}`;
  readonly pairs?: 1 | 2;
  /** Elements of their variables that the operands start after. */
  readonly start?: number;
}

/** Sizes around the tiles of 8, 16 and 32 rows a subgroup, and of 32, 64 and 128 a workgroup. */
const PRODUCTS: readonly Product[] = [
  { size: [1, 1, 1], flags: "nn" },
  { size: [2, 7, 1], flags: "tt", pairs: 2 },
  { size: [7, 4, 9], flags: "nt" },
  { size: [8, 16, 8], flags: "nn" },
  { size: [15, 17, 31], flags: "tn" },
  { size: [16, 12, 32], flags: "nn", pairs: 2 },
  { size: [33, 20, 36], flags: "nt", start: 1 },
  { size: [32, 8, 64], flags: "tt", start: 4 },
  { size: [65, 31, 63], flags: "nn", pairs: 2 },
  { size: [64, 36, 64], flags: "tn" },
  { size: [129, 5, 127], flags: "nt", pairs: 2, start: 2 },
  { size: [128, 3, 132], flags: "nn" },
];

function matrix(name: string, rows: number, columns: number, start: number): Tensor {
  const all = variable(name, [start + rows * columns]);
  return reshape(slice(all, [start], [rows * columns]), [rows, columns]);
}

function build({ size: [m, k, n], flags, pairs = 1, start = 0 }: Product): Tensor {
  const transposeA = flags.startsWith("t");
  const transposeB = flags.endsWith("t");
  const pair = (number: number): readonly [Tensor, Tensor] => [
    transposeA ? matrix(`a${number}`, k, m, start) : matrix(`a${number}`, m, k, start),
    transposeB ? matrix(`b${number}`, n, k, start) : matrix(`b${number}`, k, n, start),
  ];
  const options = { transposeA, transposeB };
  return pairs === 2 ? matmulSum([pair(0), pair(1)], options) : matmul(...pair(0), options);
}

const label = ({ size: [m, k, n], flags, pairs = 1, start = 0 }: Product): string =>
  `${m}x${k}x${n} ${flags}, pairs ${pairs}, start ${start}`;

/** What each product gave first, here and on what is told to be another adapter. */
const bits = new Map<string, Uint32Array>();
afterAll(() => bits.clear());

const ADAPTERS = [
  ["the adapter", {}],
  ["subgroups of no fixed size", { subgroupSize: null }],
  ["a GPU", { software: false }],
] as const;

describe.each(ADAPTERS)("matrix products for %s", (_, facts) => {
  const gpu = sharedGpu(facts);

  test.each(PRODUCTS.map((product) => [label(product), product] as const))(
    "of %s are right, and the same bits",
    async (name, product) => {
      const y = build(product);
      const values = Object.fromEntries(
        variablesOf([y]).map((x) => [x, new Random(3).stream(x).fill(sizeOf(y, x), -1, 1)]),
      );
      const [expected] = interpret([y], values);
      const op = y.op;
      if (op.form !== "kernel") throw new Error("matmul must be a kernel");
      const starts = y.inputs.map(() => product.start ?? 0);
      const { length } = op.kernels(y.inputs, y, targetOf(gpu().facts), starts);
      for (let candidate = 0; candidate < length; candidate++) {
        const { y: actual } = await runOnGpu(gpu(), { y }, values, { candidate });
        const terms = product.size[1] * (product.pairs ?? 1);
        expectNear(actual!, expected!, { c: 4, terms }, `candidate ${candidate}`);
        const words = new Uint32Array(actual!.buffer);
        const first = bits.get(name) ?? words;
        bits.set(name, first);
        expect(words, `bits of candidate ${candidate}`).toEqual(first);
      }
    },
  );
});

/** Elements of the variable `name` below `y`. */
function sizeOf(y: Tensor, name: string): number {
  const stack = [y];
  for (let t = stack.pop(); t; t = stack.pop()) {
    if (t.params["name"] === name) return t.size;
    stack.push(...t.inputs);
  }
  throw new Error(`variable ${name} must be there`);
}
