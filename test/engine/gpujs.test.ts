/** @file gpu.js as a second opinion: it shares neither code nor authors with us. */
import { GPU } from "gpu.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { conv2d, Gpu, matmul, Program, Random, variable } from "../../engine/index.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await Gpu.open();
});
afterAll(() => {
  gpu[Symbol.dispose]();
});

/** Values as the nested rows that gpu.js takes. */
function rows(values: Float32Array, columns: number): Float32Array[] {
  return Array.from({ length: values.length / columns }, (_, i) =>
    values.subarray(i * columns, (i + 1) * columns),
  );
}

/** Largest difference relative to the largest value. */
function worst(got: Float32Array, want: Float32Array): number {
  const scale = want.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  return want.reduce((most, v, i) => Math.max(most, Math.abs(v - got[i]!)), 0) / scale;
}

describe("gpu.js on the CPU agrees", () => {
  it("on a matrix product of 33 × 70 × 45", async () => {
    const [m, k, n] = [33, 70, 45];
    const random = new Random(5);
    const a = random.fill(m * k, -1, 1);
    const b = random.fill(k * n, -1, 1);
    const oracle = new GPU({ mode: "cpu" });
    const product = oracle
      .createKernel(function (x: number[][], y: number[][]) {
        let sum = 0;
        for (let l = 0; l < 70; l++) sum += x[this.thread.y]![l]! * y[l]![this.thread.x]!;
        return sum;
      })
      .setOutput([n, m]);
    const want = product(rows(a, k), rows(b, n)) as Float32Array[];
    using program = await Program.compile(gpu, {
      run: { y: matmul(variable("a", [m, k]), variable("b", [k, n])) },
    });
    program.write("a", a);
    program.write("b", b);
    program.run("run");
    const [got] = await program.read("y");
    expect(worst(got, Float32Array.from(want.flatMap((row) => [...row])))).toBeLessThan(1e-6);
  });

  it("on a 3×3 convolution of one image with one kernel", async () => {
    const size = 19;
    const random = new Random(6);
    const x = random.fill(size * size, -1, 1);
    const k = random.fill(9, -1, 1);
    const oracle = new GPU({ mode: "cpu" });
    const convolution = oracle
      .createKernel(function (image: number[][], taps: number[][]) {
        let sum = 0;
        for (let r = 0; r < 3; r++)
          for (let q = 0; q < 3; q++)
            sum += image[this.thread.y + r]![this.thread.x + q]! * taps[r]![q]!;
        return sum;
      })
      .setOutput([size - 2, size - 2]);
    const want = convolution(rows(x, size), rows(k, 3)) as Float32Array[];
    using program = await Program.compile(gpu, {
      run: { y: conv2d(variable("x", [1, 1, size, size]), variable("k", [1, 1, 3, 3])) },
    });
    program.write("x", x);
    program.write("k", k);
    program.run("run");
    const [got] = await program.read("y");
    expect(worst(got, Float32Array.from(want.flatMap((row) => [...row])))).toBeLessThan(1e-6);
  });
});
