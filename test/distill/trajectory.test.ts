/** @file Teachers on disk: round trip, single snapshots, and refusal of damage and mixtures. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { FileError } from "../../distill/files.ts";
import { decodeSafetensors, encodeSafetensors } from "../../distill/safetensors.ts";
import type { StoredTensor } from "../../distill/safetensors.ts";
import {
  listTeachers,
  readTrajectory,
  teacherFile,
  TrajectoryBuffer,
  writeTrajectory,
} from "../../distill/trajectory.ts";
import type { TeacherMeta } from "../../distill/trajectory.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-teachers-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const meta: TeacherMeta = {
  dataset: "digits",
  network: "ConvNetD2",
  width: 16,
  seed: 3,
  epochs: 2,
  batch: 32,
  lr: 0.05,
  momentum: 0,
  weightDecay: 0,
  testAccuracy: [0.5, 0.9],
};
const theta = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i));

function write(index: number, changed: Partial<TeacherMeta> = {}, values = theta): string {
  const path = teacherFile(folder, index);
  writeTrajectory(path, { ...meta, ...changed }, values);
  return path;
}

/** Rewrites a teacher's file with other metadata or another tensor. */
function rewrite(path: string, metadata: Record<string, string>, tensor?: StoredTensor): void {
  const file = decodeSafetensors(readFileSync(path), path);
  const tensors = { theta: tensor ?? file.tensors["theta"]! };
  writeFileSync(path, encodeSafetensors(tensors, { ...file.metadata, ...metadata }));
}

describe("a teacher's file", () => {
  it("returns the snapshots and metadata that were written", () => {
    const path = write(0);
    expect(path).toBe(join(folder, "teacher-0000.safetensors"));
    const teacher = readTrajectory(path);
    expect(teacher.meta).toEqual(meta);
    expect([teacher.snapshots, teacher.parameters]).toEqual([3, 4]);
    for (const t of [2, 0, 1]) {
      expect(teacher.snapshot(t)).toEqual(theta.slice(4 * t, 4 * t + 4));
    }
  });

  it("is an ordinary safetensors file with JSON values as metadata, the same bytes each time", () => {
    const path = write(0);
    const bytes = readFileSync(path);
    const { tensors, metadata } = decodeSafetensors(bytes, path);
    expect(tensors["theta"]).toEqual({ dtype: "F32", shape: [3, 4], data: theta });
    const values = Object.entries(metadata).map(([key, json]) => [
      key,
      JSON.parse(json) as unknown,
    ]);
    expect(Object.fromEntries(values)).toEqual({
      format: "potstill-trajectory",
      version: 1,
      ...meta,
      crc32: [0, 1, 2].map((t) => crc32(theta.subarray(4 * t, 4 * t + 4))),
    });
    expect(readFileSync(write(1)).equals(bytes)).toBe(true);
  });

  it("may hold float16", () => {
    const path = write(0);
    const values = Float32Array.of(1, 0.5, -2, 0, 1, 1, 1, 1, 3, 4, 5, 6);
    const halves = Uint16Array.of(0x3c00, 0x3800, 0xc000, 0);
    const tensor: StoredTensor = { dtype: "F16", shape: [3, 4], data: values };
    rewrite(path, { crc32: `[${crc32(halves)},0,0]` }, tensor);
    const teacher = readTrajectory(path);
    expect(teacher.snapshot(0)).toEqual(Float32Array.of(1, 0.5, -2, 0));
    expect(() => teacher.snapshot(1)).toThrow("must have checksum 0");
  });

  it("need not say how accurate the teacher was", () => {
    expect(readTrajectory(write(0, { testAccuracy: [] })).meta.testAccuracy).toEqual([]);
  });

  it("is not written from values that do not fit or are not finite", () => {
    expect(() => write(0, {}, theta.subarray(1))).toThrow(
      "writeTrajectory: theta must be [3, P], got 11 values",
    );
    const bad = Float32Array.from(theta);
    bad[5] = NaN;
    expect(() => write(0, {}, bad)).toThrow("theta must be finite, got NaN after epoch 1");
    expect(() => write(0, { lr: NaN })).toThrow('writeTrajectory: "lr" must be a number, got null');
    expect(() => write(0, { testAccuracy: [0.5] })).toThrow(
      '"testAccuracy" must be numbers in 0..1, one for each epoch or none, got [0.5]',
    );
    expect(() => write(0, { testAccuracy: [0.5, 90] })).toThrow("must be numbers in 0..1");
    expect(listTeachers(folder)).toEqual([]);
  });

  it("refuses epochs that it does not have", () => {
    const teacher = readTrajectory(write(0));
    for (const epoch of [-1, 3, 0.5]) {
      expect(() => teacher.snapshot(epoch)).toThrow(`epoch must be in 0..2, got ${epoch}`);
    }
  });

  it("refuses a file that is missing, foreign, cut or of another kind", () => {
    const path = join(folder, "x");
    expect(() => readTrajectory(path)).toThrow(`${path}: must exist, got no such file (ENOENT)`);
    expect(() => readTrajectory(folder)).toThrow(`${folder}: must be a file, got a folder`);
    writeFileSync(path, "no safetensors file, but long enough to have a header");
    expect(() => readTrajectory(path)).toThrow(FileError);
    writeFileSync(path, encodeSafetensors({}));
    expect(() => readTrajectory(path)).toThrow(
      'metadata "format" must be "potstill-trajectory", got none',
    );
    const teacher = write(0);
    truncateSync(teacher, readFileSync(teacher).length - 1);
    expect(() => readTrajectory(teacher)).toThrow("the file must have");
  });

  it("refuses another format version", () => {
    const path = write(0);
    rewrite(path, { version: "2" });
    expect(() => readTrajectory(path)).toThrow(
      `${path}: must be of format version 1, got 2; read it with the potstill that wrote it`,
    );
  });

  it.each([
    ["lr", '"fast"', '"lr" must be a number, got "fast"'],
    ["lr", "{", '"lr" must be a number, got nothing'],
    ["epochs", "-1", '"epochs" must be a whole number from 0, got -1'],
    ["dataset", "7", '"dataset" must be text, got 7'],
    ["testAccuracy", "[0.1]", '"testAccuracy" must be numbers in 0..1, one for each epoch or none'],
    ["crc32", "[1]", '"crc32" must be whole numbers, one for each snapshot, got [1]'],
  ])("refuses metadata %s of %s", (key, json, sentence) => {
    const path = write(0);
    rewrite(path, { [key]: json });
    expect(() => readTrajectory(path)).toThrow(`${path}: metadata ${sentence}`);
  });

  it("refuses another tensor than its metadata promises", () => {
    const path = write(0);
    rewrite(path, {}, { dtype: "F32", shape: [4, 3], data: theta });
    expect(() => readTrajectory(path)).toThrow(`${path}: theta must be [3, P], got [4, 3]`);
    rewrite(path, {}, { dtype: "I32", shape: [3, 4], data: new Int32Array(12) });
    expect(() => readTrajectory(path)).toThrow("theta must be F32 or F16, got I32");
    writeFileSync(path, encodeSafetensors({}, decodeSafetensors(readFileSync(path), "").metadata));
    expect(() => readTrajectory(path)).toThrow('must hold a tensor "theta", got none');
  });

  it("notices a flipped bit in the snapshot that it reads, and only there", () => {
    const path = write(0);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    const teacher = readTrajectory(path);
    expect(teacher.snapshot(1)).toEqual(theta.slice(4, 8));
    expect(() => teacher.snapshot(2)).toThrow(/epoch 2 must have checksum \d+, got \d+ \(the file/);
  });

  it("notices a file that was cut after it was opened", () => {
    const path = write(0);
    const teacher = readTrajectory(path);
    truncateSync(path, readFileSync(path).length - 3);
    expect(() => teacher.snapshot(2)).toThrow(/must have at least \d+ bytes, got \d+/);
  });
});

describe("TrajectoryBuffer", () => {
  it("lists the teachers of a folder by number and reads from each", () => {
    write(
      10_000,
      { seed: 2 },
      theta.map((v) => v + 2),
    );
    write(0, { seed: 0 });
    write(
      9,
      { seed: 1 },
      theta.map((v) => v + 1),
    );
    for (const name of ["teacher-00001.safetensors", "teacher-1.safetensors", "notes.txt"]) {
      writeFileSync(join(folder, name), "");
    }
    expect(listTeachers(folder)).toEqual([0, 9, 10_000]);
    const buffer = new TrajectoryBuffer(folder);
    expect([buffer.count, buffer.parameters, buffer.meta.epochs]).toEqual([3, 4, 2]);
    expect(buffer.teachers.map((teacher) => teacher.meta.seed)).toEqual([0, 1, 2]);
    expect(buffer.snapshot(1, 2)[0]).toBeCloseTo(Math.sin(8) + 1, 6);
    expect(() => buffer.snapshot(3, 0)).toThrow(`${folder}: teacher must be in 0..2, got 3`);
  });

  it("refuses a folder without teachers, or none at all", () => {
    expect(() => new TrajectoryBuffer(folder)).toThrow(
      `${folder}: must hold teacher-0000.safetensors and so on, got none`,
    );
    expect(() => new TrajectoryBuffer(join(folder, "none"))).toThrow("must exist");
  });

  it.each<[Partial<TeacherMeta>, string]>([
    [
      { dataset: "mnist" },
      'dataset must be "digits" as in the folder\'s first teacher, got "mnist"',
    ],
    [
      { network: "MLP" },
      'network must be "ConvNetD2" as in the folder\'s first teacher, got "MLP"',
    ],
    [{ width: 8 }, "width must be 16 as in the folder's first teacher, got 8"],
    [{ epochs: 3, testAccuracy: [] }, "epochs must be 2 as in the folder's first teacher, got 3"],
    [{ epochs: 1, testAccuracy: [] }, "epochs must be 2 as in the folder's first teacher, got 1"],
  ])("refuses a mixture: %j", (changed, sentence) => {
    write(0);
    const other = write(1, changed);
    expect(() => new TrajectoryBuffer(folder)).toThrow(`${other}: ${sentence}`);
  });

  it("refuses networks of other sizes under one name", () => {
    write(0);
    const other = write(1, {}, theta.slice(0, 9));
    expect(() => new TrajectoryBuffer(folder)).toThrow(
      `${other}: number of parameters must be 4 as in the folder's first teacher, got 3`,
    );
  });
});
