/** @file Shards: said by a flag, by Slurm or by Kubernetes, and the units that are theirs. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { ShardError, shardOf, unitsOf } from "../../../distill/cluster/shard.ts";

const array = (id: string, count: string, least: string, step = "1") => ({
  SLURM_ARRAY_TASK_ID: id,
  SLURM_ARRAY_TASK_COUNT: count,
  SLURM_ARRAY_TASK_MIN: least,
  SLURM_ARRAY_TASK_STEP: step,
});

describe("a shard", () => {
  it.each<[string, string | undefined, NodeJS.ProcessEnv, [number, number] | undefined]>([
    ["a flag, counted from 1", "3/8", {}, [2, 8]],
    ["a flag before all else", "1/1", array("4", "8", "0"), [0, 1]],
    ["Slurm's array task", undefined, array("4", "8", "0"), [4, 8]],
    ["an array that begins elsewhere", undefined, array("4", "4", "1"), [3, 4]],
    ["an array in steps", undefined, array("6", "4", "0", "2"), [3, 4]],
    [
      "Kubernetes' Indexed Job",
      undefined,
      { JOB_COMPLETION_INDEX: "0", JOB_COMPLETIONS: "5" },
      [0, 5],
    ],
    ["nothing", undefined, { SLURM_ARRAY_TASK_ID: "" }, undefined],
  ])("is known from %s", (_, flag, environment, expected) => {
    const shard = shardOf(flag, environment);
    expect(shard && [shard.index, shard.count]).toEqual(expected);
  });

  it.each<[string | undefined, NodeJS.ProcessEnv, string]>([
    ["0/4", {}, "--shard must be i/n with i in 1..n, like 3/8, got 0/4"],
    ["5/4", {}, "--shard must be i/n with i in 1..n, like 3/8, got 5/4"],
    ["half", {}, "--shard must be i/n with i in 1..n, like 3/8, got half"],
    [
      undefined,
      array("7", "2", "3"),
      "SLURM_ARRAY_TASK_ID: an array must be a whole range like 0-7, got task 7 of 2 from 3 in steps of 1; say --shard i/n",
    ],
    [
      undefined,
      { SLURM_ARRAY_TASK_ID: "1" },
      "SLURM_ARRAY_TASK_COUNT must be a whole number, got nothing; or say --shard i/n",
    ],
    [
      undefined,
      { JOB_COMPLETION_INDEX: "1" },
      "JOB_COMPLETIONS must be a whole number, got nothing; or say --shard i/n",
    ],
    [
      undefined,
      { JOB_COMPLETION_INDEX: "5", JOB_COMPLETIONS: "5" },
      "JOB_COMPLETION_INDEX must be below JOB_COMPLETIONS (5), got 5",
    ],
  ])("that can't be is refused: %j %j", (flag, environment, sentence) => {
    expect(() => shardOf(flag, environment)).toThrow(new ShardError(sentence));
  });
});

describe("units", () => {
  it("are each one shard's, whatever their number, and spread evenly", () => {
    fc.assert(
      fc.property(fc.nat(60), fc.integer({ min: 1, max: 70 }), (units, count) => {
        const all = Array.from({ length: units }, (_, i) => i);
        const parts = Array.from({ length: count }, (_, index) => unitsOf(all, { index, count }));
        expect(parts.flat().sort((a, b) => a - b)).toEqual(all);
        const sizes = parts.map((part) => part.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
