/** @file What launch lists tell of a dispatch: what is in it, its shapes, and the bytes that it must move. */

import { describe, expect, test } from "vitest";

import * as e from "../../engine/index.ts";
import { Program, variable, type Procedure, type Step } from "../../engine/index.ts";
import { sharedGpu } from "../support/gpu.ts";

const X = variable("x", [64, 16]);
const INDEX = variable("index", [5], "u32");

describe("a launch", () => {
  const gpu = sharedGpu();

  async function dispatches(procedure: Procedure): Promise<(Step & { kind: "dispatch" })[]> {
    using program = await Program.compile(gpu(), { main: procedure });
    return program.steps("main").filter((step) => step.kind === "dispatch");
  }

  test.each<[string, Procedure, number]>([
    ["rows that are gathered, and their numbers", { y: e.mul(e.gather(X, INDEX), 2) }, 2 * 80 + 5],
    ["a slice, not the whole", { y: e.exp(e.slice(X, [3, 0], [2, 16])) }, 2 * 32],
    ["what is broadcast once", { y: e.broadcastTo(e.sum(X), [9]) }, 1024 + 9],
    ["what is used twice once", { y: e.mul(X, e.add(X, 1)) }, 2 * 1024],
    ["all that a fold reads", { y: e.sum(X, [0]) }, 1024 + 16],
    ["a variable that is updated in place", { x: e.mul(X, 2) }, 2 * 1024],
    ["constants not at all", { y: e.full([7], 3) }, 7],
    ["the number of the repetition not at all", { y: e.gather(X, e.repeat()) }, 2 * 16],
  ])("that is a region moves %s", async (_, procedure, elements) => {
    const steps = await dispatches(procedure);
    expect(steps.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(4 * elements);
  });

  test("that is a kernel moves its operands and its result", async () => {
    const weights = variable("weights", [1000]);
    const weight = e.reshape(e.slice(weights, [0], [32]), [16, 2]);
    const [product] = await dispatches({ y: e.matmul(X, weight) });
    expect(product).toMatchObject({ op: "matmul", bytes: 4 * (1024 + 32 + 128) });
    expect([product!.operands, product!.results]).toEqual([
      [
        [64, 16],
        [16, 2],
      ],
      [[64, 2]],
    ]);
  });

  test("that changes rows in place moves those rows alone", async () => {
    const row = variable("row", [], "u32");
    const [set] = await dispatches({ x: e.setRow(X, row, variable("value", [16])) });
    expect(set).toMatchObject({ op: "map", bytes: 4 * (16 + 1 + 16) });
    const index = variable("index", [3], "u32");
    const [add] = await dispatches({ x: e.addRows(X, index, variable("values", [3, 16])) });
    expect(add).toMatchObject({ op: "addRows", bytes: 2 * 4 * (3 + 48) });
  });

  test("that is a region tells how many operations and folds it holds, and what it keeps", async () => {
    const centred = e.sub(X, e.mean(X, [1], true));
    const [rows, ...others] = await dispatches({
      y: centred,
      spread: e.sum(e.square(centred), [1]),
    });
    expect(others).toEqual([]);
    expect(rows!.op).toBe("rows");
    expect(rows!.region!.folds).toBe(2);
    expect(rows!.region!.ops).toBeGreaterThan(4);
    expect(rows!.operands).toEqual([[64, 16]]);
    expect(rows!.results.map((shape) => shape.join()).sort()).toEqual(["64", "64,16"]);
  });
});
