/** @file Shader text must grow with the graph, not with the paths through it. */
import { describe, expect, it } from "vitest";
import { add, maxPool, mul, pad, Program, sin, slice, variable } from "../../engine/index.ts";
import type { Tensor } from "../../engine/index.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = sharedGpu();

/** Characters of all shaders that a program of one output has. */
async function textOf(y: Tensor): Promise<number> {
  using program = await Program.compile(gpu(), { main: { y } });
  return program.shaders("main").reduce((sum, code) => sum + code.length, 0);
}

/** Each link asks for the last one at two places. */
function chain(links: number): Tensor {
  let h = variable("x", [64]);
  for (let i = 0; i < links; i++) {
    const left = pad(slice(h, [1], [63]), { after: [1] });
    const right = pad(slice(h, [0], [63]), { before: [1] });
    h = sin(add(mul(2, left), right));
  }
  return h;
}

describe("the text of shaders", () => {
  it("doubles at most when a chain of shifted sums doubles", async () => {
    expect(await textOf(chain(24))).toBeLessThan(2.5 * (await textOf(chain(12))));
  });

  it("stays short for overlapping pools one after the other", async () => {
    let x = variable("x", [1, 1, 16, 16]);
    for (let i = 0; i < 4; i++) x = maxPool(x, { size: 3, stride: 1, padding: 1 });
    expect(await textOf(x)).toBeLessThan(30_000);
  });
});
