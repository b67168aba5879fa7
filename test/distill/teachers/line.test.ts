/** @file Convexified trajectories: places on a line, and the files that hold one. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { distances, pointBetween, shares, sharesAt } from "../../../distill/teachers/line.ts";
import { writeTrajectory } from "../../../distill/teachers/recorder.ts";
import { decodeSafetensors, encodeSafetensors } from "../../../distill/formats/safetensors.ts";
import {
  readTrajectory,
  teacherFile,
  TrajectoryBuffer,
} from "../../../distill/teachers/trajectory.ts";
import { teacherMeta } from "../../support/teacher-meta.ts";

describe("places on a line", () => {
  it("are as far as each tensor went on its own way, all of its turns counted", () => {
    // The first tensor goes 5 and comes half back; the second moves in the second step alone.
    const [a, b, c] = [
      [0, 0, 1],
      [3, 4, 1],
      [1.5, 2, 3],
    ].map((x) => Float32Array.from(x));
    const steps = [distances(a!, b!, [2, 1]), distances(b!, c!, [2, 1])];
    expect(steps).toEqual([
      [5, 0],
      [2.5, 2],
    ]);
    expect(shares(steps)).toEqual([
      [0, 0],
      [2 / 3, 0],
      [1, 1],
    ]);
  });

  it("are even where a tensor never moves", () => {
    expect(shares([[0], [0], [0], [0]])).toEqual([[0], [0.25], [0.5], [0.75], [1]]);
  });

  it("lie between those of whole epochs for a fraction of one", () => {
    const known = [
      [0, 0],
      [0.5, 0.25],
      [1, 1],
    ];
    expect(sharesAt(known, 1)).toEqual([0.5, 0.25]);
    expect(sharesAt(known, 0.5)).toEqual([0.25, 0.125]);
    expect(sharesAt(known, 1.5)).toEqual([0.75, 0.625]);
    expect(sharesAt(known, 2)).toEqual([1, 1]);
  });

  it("give each tensor its own point between two snapshots", () => {
    const [from, to] = [Float32Array.of(0, 8, 1), Float32Array.of(4, 0, 3)];
    expect(pointBetween(from, to, [0.25, 1], [2, 1])).toEqual(Float32Array.of(1, 6, 3));
  });
});

describe("a teacher's file with a line", () => {
  const TENSORS = [3, 1];
  const [EPOCHS, P] = [6, 4];
  const theta = Float32Array.from({ length: (EPOCHS + 1) * P }, (_, i) => Math.sin(i * i));
  const at = (t: number) => theta.slice(P * t, P * t + P);

  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "potstill-line-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  function write(line: "distance" | "even", keepEpochs: [number, number], index = 0): string {
    const path = teacherFile(folder, index);
    const meta = teacherMeta({ epochs: EPOCHS, keepEpochs, line });
    writeTrajectory(path, meta, theta, { tensors: TENSORS });
    return path;
  }

  it("has two snapshots, and the last of all where it is another", () => {
    for (const line of ["distance", "even"] as const) {
      const rows = (keepEpochs: [number, number]) => {
        const path = write(line, keepEpochs);
        return decodeSafetensors(readFileSync(path), path).tensors["theta"]!.shape;
      };
      expect([rows([0, 6]), rows([1, 5])]).toEqual([
        [2, P],
        [3, P],
      ]);
    }
  });

  it("evenly spaced is θ_A + (t - A)/(B - A) (θ_B - θ_A) at any t of the range", () => {
    write("even", [1, 5]);
    const buffer = new TrajectoryBuffer(folder);
    for (const t of [1, 2, 2.75, 4.5, 5]) {
      const want = at(1).map((value, i) => value + ((t - 1) / 4) * (at(5)[i]! - value));
      buffer.snapshot(0, t).forEach((value, i) => expect(value).toBeCloseTo(want[i]!, 6));
    }
    expect([buffer.snapshot(0, 1), buffer.snapshot(0, 5)]).toEqual([at(1), at(5)]);
    expect(buffer.snapshot(0, 6)).toEqual(at(6));
  });

  it("spaced by distance has each tensor where it had gone as far", () => {
    const teacher = readTrajectory(write("distance", [1, 5]));
    /** How far the values from `begin` to `end` went from epoch 1 to epoch t. */
    const way = (t: number, begin: number, end: number): number => {
      let sum = 0;
      for (let s = 1; s < t; s++)
        sum += Math.hypot(...[...at(s)].map((v, i) => v - at(s + 1)[i]!).slice(begin, end));
      return sum;
    };
    for (const t of [2, 3, 4])
      teacher.snapshot(t).forEach((value, i) => {
        const [begin, end] = i < 3 ? ([0, 3] as const) : ([3, 4] as const);
        const share = way(t, begin, end) / way(5, begin, end);
        expect(value).toBeCloseTo(at(1)[i]! + share * (at(5)[i]! - at(1)[i]!), 5);
      });
    const [three, four, between] = [3, 4, 3.25].map((t) => teacher.snapshot(t));
    between!.forEach((value, i) =>
      expect(value).toBeCloseTo(0.75 * three![i]! + 0.25 * four![i]!, 6),
    );
    expect([teacher.snapshot(1), teacher.snapshot(5)]).toEqual([at(1), at(5)]);
  });

  it("refuses epochs off the line", () => {
    const path = write("distance", [1, 5]);
    const teacher = readTrajectory(path);
    for (const t of [0, 0.5, 5.5, 6.5, NaN])
      expect(() => teacher.snapshot(t)).toThrow(
        new RangeError(`${path}: epoch must be in 1..5 or 6, got ${t}`),
      );
  });

  it("refuses places that do not fit the epochs or the parameters", () => {
    const path = write("distance", [1, 5]);
    const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
    const rewrite = (changes: Record<string, string>): void =>
      writeFileSync(path, encodeSafetensors(tensors, { ...metadata, ...changes }));
    rewrite({ shares: "[[0,0],[1,1]]" });
    expect(() => readTrajectory(path)).toThrow(
      `${path}: metadata "shares" must be numbers in 0..1`,
    );
    rewrite({ tensors: "[3,2]" });
    expect(() => readTrajectory(path)).toThrow('"tensors" must have 4 values together, got 5');
    const without = Object.entries(metadata).filter(([key]) => key !== "tensors");
    writeFileSync(path, encodeSafetensors(tensors, Object.fromEntries(without)));
    expect(() => readTrajectory(path)).toThrow('"tensors" must be the sizes of the network');
  });
});
