/** @file Random numbers: known answers, independence of streams, and that a position is all there is to keep. */

import { describe, expect, test } from "vitest";

import { Random } from "../../engine/index.ts";
import { philox } from "../../engine/random.ts";

/** The lines `philox4x32 10` of kat_vectors in Random123: counter, key, answer. */
const KNOWN = [
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
] as const;

const words = (random: Random, count: number): number[] =>
  Array.from({ length: count }, () => random.word());

describe("Philox4x32-10", () => {
  test.each(KNOWN)("gives Random123's answer for counter %j and key %j", (counter, key, answer) => {
    const out = new Uint32Array(4);
    philox(counter, key, out);
    expect([...out]).toEqual(answer);
  });

  test("is what a stream's words are, block after block", () => {
    const [first, second] = [new Uint32Array(4), new Uint32Array(4)];
    philox([0, 0, 0, 0], [7, 0], first);
    philox([1, 0, 0, 0], [7, 0], second);
    expect(words(new Random(7), 8)).toEqual([...first, ...second]);
  });

  test("counts on past 2³² blocks", () => {
    const out = new Uint32Array(4);
    philox([1, 1, 0, 0], [7, 0], out);
    expect(words(new Random(7, 4 * (2 ** 32 + 1)), 4)).toEqual([...out]);
  });
});

describe("a stream", () => {
  test("goes on from its position alone", () => {
    const random = new Random(42);
    words(random, 1001);
    const resumed = new Random(42, random.position);
    expect(words(resumed, 10)).toEqual(words(random, 10));
  });

  test("repeats for the same seed and name, and for no other", () => {
    const draws = (random: Random): string => words(random, 4).join();
    const root = new Random(1);
    const streams = [
      root,
      new Random(2),
      new Random(2 ** 32 + 1),
      root.stream("a"),
      root.stream("b"),
      root.stream("ab"),
      root.stream("ba"),
      root.stream("a").stream("b"),
      new Random(2).stream("a"),
    ];
    expect(draws(new Random(1).stream("a"))).toBe(draws(new Random(1).stream("a")));
    const different = new Set(streams.map(draws));
    expect(different.size).toBe(streams.length);
  });

  test("is not moved by the streams under it", () => {
    const [a, b] = [new Random(3), new Random(3)];
    a.stream("x").word();
    expect(a.position).toBe(0);
    expect(a.word()).toBe(b.word());
  });
});

describe("draws", () => {
  const COUNT = 20_000;

  test("are uniform in [0, 1), with a tenth of them in each tenth", () => {
    const random = new Random(5);
    const draws = Array.from({ length: COUNT }, () => random.uniform());
    expect(draws.every((u) => u >= 0 && u < 1)).toBe(true);
    const tenths = new Array<number>(10).fill(0);
    for (const u of draws) tenths[Math.floor(u * 10)]!++;
    // Six standard deviations of a count.
    const bound = 6 * Math.sqrt(COUNT * 0.09);
    for (const n of tenths) expect(Math.abs(n - COUNT / 10)).toBeLessThan(bound);
  });

  test("are normal in mean, variance and fourth moment", () => {
    const random = new Random(6);
    const moments = [0, 0, 0, 0];
    for (let i = 0; i < COUNT; i++) {
      const z = random.normal();
      moments.forEach((_, k) => (moments[k]! += z ** (k + 1) / COUNT));
    }
    // Six standard errors: variances of zᵏ are 1, 2, 15 and 96.
    const bounds = [1, 2, 15, 96].map((variance) => 6 * Math.sqrt(variance / COUNT));
    [0, 1, 0, 3].forEach((expected, k) => {
      expect(Math.abs(moments[k]! - expected)).toBeLessThan(bounds[k]!);
    });
  });

  test("below a count reach every number and no other", () => {
    const random = new Random(7);
    const seen = new Set(Array.from({ length: 500 }, () => random.below(7)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  test("of a range are f32 within it", () => {
    const values = new Random(8).fill(1000, -2, 3);
    expect(values).toBeInstanceOf(Float32Array);
    expect(values.every((v) => v >= -2 && v <= 3)).toBe(true);
    expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(4.9);
  });
});

describe("a permutation", () => {
  test.each([1, 2, 10, 1000])("of %d numbers has each of them once", (count) => {
    const order = new Random(9).permutation(count);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  test("of three numbers takes every order equally often", () => {
    const random = new Random(10);
    const seen = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = random.permutation(3).join("");
      seen.set(order, (seen.get(order) ?? 0) + 1);
    }
    expect(seen.size).toBe(6);
    for (const n of seen.values()) expect(Math.abs(n - 1000)).toBeLessThan(6 * Math.sqrt(833));
  });
});
