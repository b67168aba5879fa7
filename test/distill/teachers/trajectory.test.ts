/** @file Teachers on disk: round trip, single snapshots, and refusal of damage and mixtures. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { FileError } from "../../../distill/files.ts";
import { fromHalf, toHalf } from "../../../distill/formats/half.ts";
import { decodeSafetensors, encodeSafetensors } from "../../../distill/formats/safetensors.ts";
import type { StoredTensor } from "../../../distill/formats/safetensors.ts";
import { writeTrajectory } from "../../../distill/teachers/recorder.ts";
import type { TeacherMeta } from "../../../distill/teachers/teacher-meta.ts";
import {
  listTeachers,
  readTrajectory,
  teacherFile,
  TrajectoryBuffer,
} from "../../../distill/teachers/trajectory.ts";
import { teacherMeta } from "../../support/teacher-meta.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-teachers-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const meta = teacherMeta({ testAccuracy: [0.5, 0.9] });
const theta = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i));

function write(
  index: number,
  changed: Partial<TeacherMeta> = {},
  values = theta,
  parts?: Parameters<typeof writeTrajectory>[3],
): string {
  const path = teacherFile(folder, index);
  const { epochs = 2 } = changed;
  writeTrajectory(path, { ...meta, keepEpochs: [0, epochs], ...changed }, values, parts);
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
    expect([teacher.parameters, teacher.statistics]).toEqual([4, 0]);
    for (const t of [2, 0, 1]) {
      expect(teacher.snapshot(t)).toEqual(theta.slice(4 * t, 4 * t + 4));
      expect(teacher.runningAfter(t)).toEqual(new Float32Array(0));
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
      version: 2,
      ...meta,
      crc32: [0, 1, 2].map((t) => crc32(theta.subarray(4 * t, 4 * t + 4))),
    });
    expect(readFileSync(write(1)).equals(bytes)).toBe(true);
  });

  it("may hold float16, rounded to the nearest", () => {
    const path = write(0, { precision: "float16" });
    const { tensors } = decodeSafetensors(readFileSync(path), path);
    expect([tensors["theta"]!.dtype, tensors["theta"]!.shape]).toEqual(["F16", [3, 4]]);
    const rounded = Float32Array.from(theta, (value) => fromHalf(toHalf(value)));
    const teacher = readTrajectory(path);
    for (const t of [0, 1, 2]) expect(teacher.snapshot(t)).toEqual(rounded.slice(4 * t, 4 * t + 4));
    const large = Float32Array.from(theta);
    large[6] = -65520;
    expect(() => write(1, { precision: "float16" }, large)).toThrow(
      new RangeError("θ must be below 65520 for float16, got -65520 after epoch 1"),
    );
  });

  it("keeps a range of epochs, and the last, which start labels come from", () => {
    const many = Float32Array.from({ length: 7 * 4 }, (_, i) => Math.cos(i));
    const at = (t: number) => many.slice(4 * t, 4 * t + 4);
    const changed = { epochs: 6, keepEpochs: [1, 3], testAccuracy: [] } as const;
    const path = write(0, changed, many);
    const { tensors } = decodeSafetensors(readFileSync(path), path);
    expect(tensors["theta"]!.shape).toEqual([4, 4]);
    const teacher = readTrajectory(path);
    for (const t of [1, 2, 3, 6]) expect(teacher.snapshot(t)).toEqual(at(t));
    for (const t of [0, 4, 5, 7, 1.5])
      expect(() => teacher.snapshot(t)).toThrow(
        new RangeError(`${path}: epoch must be in 1..3 or 6, got ${t}`),
      );
    const last = readTrajectory(write(1, { ...changed, keepEpochs: [4, 6] }, many));
    expect(last.snapshot(6)).toEqual(at(6));
    expect(() => last.snapshot(3)).toThrow("epoch must be in 4..6, got 3");
  });

  it("keeps the running statistics of batch norms beside the parameters", () => {
    const running = Float32Array.from({ length: 9 }, (_, i) => i / 8);
    for (const precision of ["float32", "float16"] as const) {
      const path = write(0, { precision, keepEpochs: [1, 2] }, theta, { running });
      const teacher = readTrajectory(path);
      expect([teacher.parameters, teacher.statistics]).toEqual([4, 3]);
      for (const t of [1, 2])
        expect(teacher.runningAfter(t)).toEqual(running.slice(3 * t, 3 * t + 3));
      expect(teacher.snapshot(2)[0]).toBeCloseTo(theta[8]!, 3);
      expect(() => teacher.runningAfter(0)).toThrow("epoch must be in 1..2, got 0");
    }
    expect(() => write(0, {}, theta, { running: running.subarray(1) })).toThrow(
      "writeTrajectory: running must be [3, R], got 8 values",
    );
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
    expect(() => write(0, {}, bad)).toThrow(
      new RangeError("θ must be finite, got NaN after epoch 1"),
    );
    expect(() => write(0, {}, theta, { tensors: [1, 2] })).toThrow(
      "writeTrajectory: tensors must have 4 values together, got 3",
    );
    for (const keepEpochs of [
      [0, 3],
      [2, 1],
    ] as const)
      expect(() => write(0, { keepEpochs })).toThrow(
        `"keepEpochs" must be two epochs, the first and the last that is kept, got [${String(keepEpochs)}]`,
      );
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
    rewrite(path, { version: "3" });
    expect(() => readTrajectory(path)).toThrow(
      `${path}: must be of format version 2, got 3; read it with the potstill that wrote it`,
    );
    rewrite(path, { version: "1" });
    expect(() => readTrajectory(path)).toThrow(
      `${path}: must be of format version 2, got 1; remove it and train the teacher again`,
    );
  });

  it.each([
    ["lr", '"fast"', '"lr" must be a number, got "fast"'],
    ["lr", "{", '"lr" must be a number, got nothing'],
    ["epochs", "-1", '"epochs" must be a whole number from 0, got -1'],
    ["dataset", "7", '"dataset" must be text, got 7'],
    ["testAccuracy", "[0.1]", '"testAccuracy" must be numbers in 0..1, one for each epoch or none'],
    ["optimizer", '"adam"', '"optimizer" must be one of sgd, gsam, got "adam"'],
    ["adaptive", "1", '"adaptive" must be true or false, got 1'],
    ["keepEpochs", "[0]", '"keepEpochs" must be two epochs, the first and the last that is kept'],
    ["line", '"even"', '"crc32" must be whole numbers, one for each snapshot'],
    ["shares", "[[1]]", '"shares" must be numbers in 0..1 for each kept epoch and tensor'],
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
    expect(() => readTrajectory(path)).toThrow("theta must be F32, got I32");
    rewrite(path, { precision: '"float16"' }, { dtype: "F32", shape: [3, 4], data: theta });
    expect(() => readTrajectory(path)).toThrow("theta must be F16, got F32");
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

  it("may be the first teachers of a folder alone", () => {
    for (const index of [0, 1, 2]) write(index, { seed: index });
    const seeds = (most?: number) =>
      new TrajectoryBuffer(folder, most).teachers.map(({ meta: { seed } }) => seed);
    expect([seeds(2), seeds()]).toEqual([
      [0, 1],
      [0, 1, 2],
    ]);
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
    [
      { preprocessing: "zca eps 0.1" },
      'preprocessing must be "normalise mean 0.5 std 0.25" as in the folder\'s first teacher, got "zca eps 0.1"',
    ],
    [{ keepEpochs: [1, 2] }, "keepEpochs must be 0..2 as in the folder's first teacher, got 1..2"],
    [{ line: "even" }, 'line must be "none" as in the folder\'s first teacher, got "even"'],
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
