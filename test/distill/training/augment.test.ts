/** @file DSA: every operator against its definition, its derivatives, and what is drawn. */
import { describe, expect, it } from "vitest";

import { augment, drawRows, ROW, rowOf } from "../../../distill/training/augment.ts";
import {
  DSA_STRATEGY,
  OPERATORS,
  parseStrategy,
  type Operator,
} from "../../../distill/training/strategy.ts";
import { interpret, Random, sin, variable, vjp } from "../../../engine/index.ts";
import { expectDerivatives } from "../../support/gradcheck.ts";
import { runOnGpu, sharedGpu } from "../../support/gpu.ts";
import { distance } from "../../support/tolerance.ts";

const ALL = parseStrategy(DSA_STRATEGY);
const [B, C, H, W] = [3, 3, 6, 9];
const shape = { channels: C, height: H, width: W };
const x = variable("x", [B, C, H, W]);
const rows = variable("rows", [B, ROW]);
const pixels = new Random(1).fill(x.size, -2, 2);

/** Draws of each operator for the three images; shifts and centres are at both ends and between. */
const DRAWS: Readonly<Record<Operator, readonly (readonly number[])[]>> = {
  color: [
    [0.1, 0.9, 0.3],
    [0.7, 0.2, 0.999],
    [0, 0, 0],
  ],
  crop: [
    [-1, 1],
    [0, 0],
    [1, -1],
  ],
  cutout: [
    [0, 8],
    [5, 0],
    [3, 4],
  ],
  flip: [[0.49], [0.5], [0.9]],
  scale: [
    [0, 0.999],
    [0.3, 0.6],
    [0.9, 0.1],
  ],
  rotate: [[0], [0.4], [0.999]],
};

type At = (c: number, i: number, j: number) => number;

/** One image's pixel by the definitions of DATM.md §6. */
function defined(operator: Operator, draws: readonly number[], image: At): At {
  const [u, v, w] = draws as [number, number, number];
  const all = (of: At, channels: readonly number[], rowsOf: readonly number[]): number => {
    const values = channels.flatMap((c) =>
      rowsOf.flatMap((i) => Array.from({ length: W }, (_, j) => of(c, i, j))),
    );
    return values.reduce((a, b) => a + b, 0) / values.length;
  };
  const inside: At = (c, i, j) => (i >= 0 && i < H && j >= 0 && j < W ? image(c, i, j) : 0);
  /** Normalised coordinates: -1 and 1 are the centres of the outermost pixels. */
  const sampled =
    (of: (across: number, down: number) => readonly [number, number]): At =>
    (c, i, j) => {
      const [across, down] = of((2 * j) / (W - 1) - 1, (2 * i) / (H - 1) - 1);
      const [q, r] = [((across + 1) * (W - 1)) / 2, ((down + 1) * (H - 1)) / 2];
      const [left, top] = [Math.floor(q), Math.floor(r)];
      const [fq, fr] = [q - left, r - top];
      return (
        (1 - fr) * (1 - fq) * inside(c, top, left) +
        (1 - fr) * fq * inside(c, top, left + 1) +
        fr * (1 - fq) * inside(c, top + 1, left) +
        fr * fq * inside(c, top + 1, left + 1)
      );
    };
  const channels = [0, 1, 2];
  switch (operator) {
    case "color": {
      const bright: At = (c, i, j) => image(c, i, j) + (u - 0.5);
      const saturated: At = (c, i, j) => {
        const m = (bright(0, i, j) + bright(1, i, j) + bright(2, i, j)) / 3;
        return (bright(c, i, j) - m) * 2 * v + m;
      };
      const m = all(saturated, channels, [0, 1, 2, 3, 4, 5]);
      return (c, i, j) => (saturated(c, i, j) - m) * (w + 0.5) + m;
    }
    case "crop":
      return (c, i, j) => inside(c, i + u, j + v);
    case "cutout": {
      // A square of 3 rows and 5 columns around the centre.
      const hidden = (i: number, j: number) => Math.abs(i - u) <= 1 && Math.abs(j - v) <= 2;
      return (c, i, j) => (hidden(i, j) ? 0 : image(c, i, j));
    }
    case "flip":
      return (c, i, j) => image(c, i, u < 0.5 ? W - 1 - j : j);
    case "scale": {
      const factor = (draw: number) => 1 / 1.2 + draw * (1.2 - 1 / 1.2);
      return sampled((across, down) => [factor(u) * across, factor(v) * down]);
    }
    case "rotate": {
      const angle = ((2 * u - 1) * 15 * Math.PI) / 180;
      const [cos, sine] = [Math.cos(angle), Math.sin(angle)];
      return sampled((across, down) => [cos * across - sine * down, sine * across + cos * down]);
    }
  }
}

function definedBatch(operator: Operator): Float64Array {
  const out = new Float64Array(x.size);
  for (let b = 0; b < B; b++) {
    const at = (c: number, i: number, j: number): number => ((b * C + c) * H + i) * W + j;
    const of = defined(operator, DRAWS[operator][b]!, (c, i, j) => pixels[at(c, i, j)]!);
    for (let c = 0; c < C; c++)
      for (let i = 0; i < H; i++) for (let j = 0; j < W; j++) out[at(c, i, j)] = of(c, i, j);
  }
  return out;
}

const rowsOf = (operator: Operator): number[] =>
  DRAWS[operator].flatMap((draws) => rowOf(operator, draws, shape));

describe.each(OPERATORS)("the operator %s", (operator) => {
  const values = { x: pixels, rows: rowsOf(operator) };

  it("does what is written of it, alone and among the others", () => {
    const expected = definedBatch(operator);
    for (const strategy of [[operator], ALL]) {
      const [actual] = interpret([augment(x, rows, strategy)], values);
      expect(distance(actual!, expected)).toBeLessThan(1e-13);
    }
  });

  it("has the derivatives that differences have, to second order", () => {
    for (const strategy of [[operator], ALL]) {
      const output = augment(x, rows, strategy);
      expectDerivatives({ output, inputs: [x], values }, { multilinear: true });
      expectDerivatives({ output: sin(output), inputs: [x], values });
    }
  });
});

describe("augment", () => {
  const gpu = sharedGpu();

  it("is on the adapter what it is in float64, its adjoint too, fused or not", async () => {
    const g = variable("g", x.shape);
    const y = augment(x, rows, ALL);
    const [d] = vjp(y, [x], g);
    for (const operator of OPERATORS) {
      const values = {
        x: pixels,
        rows: Float32Array.from(rowsOf(operator)),
        g: new Random(2).fill(x.size, -1, 1),
      };
      const [wantY, wantD] = interpret([y, d!], values);
      for (const fuse of [true, false]) {
        const got = await runOnGpu(gpu(), { y, d: d! }, values, { fuse });
        expect(distance(got["y"]!, wantY!)).toBeLessThan(5e-6);
        expect(distance(got["d"]!, wantD!)).toBeLessThan(5e-6);
      }
    }
  });

  it("moves no bit of an image whose row is neutral", async () => {
    const neutral = drawRows([], shape, B, new Random(3));
    const got = await runOnGpu(gpu(), { y: augment(x, rows, ALL) }, { x: pixels, rows: neutral });
    expect(got["y"]).toEqual(pixels);
  });

  it("is nothing for a strategy of nothing", () => {
    expect(augment(x, rows, parseStrategy("none"))).toBe(x);
  });
});

describe("what is drawn", () => {
  const square = { channels: 3, height: 32, width: 32 };
  const COUNT = 6000;
  /** One number of the rows that many images draw for an operator. */
  const column = (operator: Operator, at: number): number[] => {
    const drawn = drawRows([operator], square, COUNT, new Random(5).stream(operator));
    return Array.from({ length: COUNT }, (_, b) => drawn[b * ROW + at]!);
  };

  /** Mean and variance of a uniform distribution, within four standard errors, and its bounds. */
  const expectUniform = (values: number[], low: number, high: number): void => {
    const mean = values.reduce((a, b) => a + b, 0) / COUNT;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / COUNT;
    const width = high - low;
    expect(Math.min(...values)).toBeGreaterThanOrEqual(low - 1e-6);
    expect(Math.max(...values)).toBeLessThanOrEqual(high + 1e-6);
    expect(Math.abs(mean - (low + high) / 2)).toBeLessThan((4 * width) / Math.sqrt(12 * COUNT));
    expect(Math.abs(variance / (width ** 2 / 12) - 1)).toBeLessThan(4 / Math.sqrt(COUNT));
  };

  /** Whole numbers equally often: chi squared within four of its standard deviations. */
  const expectEven = (values: number[], least: number, most: number): void => {
    const counts = new Array<number>(most - least + 1).fill(0);
    for (const v of values) counts[v - least]!++;
    expect(counts.reduce((a, b) => a + b, 0)).toBe(COUNT);
    const each = COUNT / counts.length;
    const chi = counts.reduce((sum, n) => sum + (n - each) ** 2 / each, 0);
    expect(chi).toBeLessThan(counts.length - 1 + 4 * Math.sqrt(2 * (counts.length - 1)));
  };

  it("is brightness in ±1/2, saturation in 0..2 and contrast in 1/2..3/2", () => {
    const pixel = column("color", 6);
    const channels = column("color", 7);
    const contrast = pixel.map((v, b) => v + channels[b]!);
    expectUniform(column("color", 9), -0.5, 0.5);
    expectUniform(contrast, 0.5, 1.5);
    const saturation = pixel.map((v, b) => v / contrast[b]!);
    expectUniform(saturation, 0, 2);
  });

  it("is a shift by up to an eighth of the sides", () => {
    for (const at of [2, 5]) expectEven(column("crop", at), -4, 4);
  });

  it("is a square of half the sides, wherever its centre is in the image", () => {
    for (const at of [10, 11]) expectEven(column("cutout", at), -8, 24);
  });

  it("is a flip every other time", () => {
    expectEven(
      column("flip", 4).map((v) => (v + 1) / 2),
      0,
      1,
    );
  });

  it("is a factor in 1/1.2 … 1.2 for each axis", () => {
    for (const at of [0, 4]) expectUniform(column("scale", at), 1 / 1.2, 1.2);
  });

  it("is an angle of up to 15°", () => {
    const angle = column("rotate", 1).map((sine) => (Math.asin(sine) * 180) / Math.PI);
    expectUniform(angle, -15, 15);
  });

  it("is one operator a batch, each as often as the others", () => {
    const random = new Random(6);
    const kindOf = (row: Float32Array): Operator =>
      row[9] !== 0 ? "color" : row[1] !== 0 ? "rotate" : "scale";
    const batches = 1200;
    const seen = new Map<Operator, number>();
    for (let n = 0; n < batches; n++) {
      const drawn = drawRows(["color", "scale", "rotate"], square, 4, random);
      const kinds = new Set(
        [0, 1, 2, 3].map((b) => kindOf(drawn.subarray(b * ROW, (b + 1) * ROW))),
      );
      expect(kinds.size).toBe(1);
      for (const kind of kinds) seen.set(kind, (seen.get(kind) ?? 0) + 1);
    }
    expect(seen.size).toBe(3);
    for (const count of seen.values())
      expect(Math.abs(count - 400)).toBeLessThan(4 * Math.sqrt(400));
  });

  it("is the same for the same seed, and another for another", () => {
    const drawn = (seed: number) => drawRows(ALL, square, 8, new Random(seed));
    expect(drawn(1)).toEqual(drawn(1));
    expect(drawn(1)).not.toEqual(drawn(2));
  });
});
