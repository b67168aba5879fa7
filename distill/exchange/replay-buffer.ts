/**
 * @file Trajectories as the published programs save them (MTT, DATM): replay_buffer_0.pt and so on in a
 * folder, each a list of experts, an expert a list of snapshots, a snapshot a list of parameter tensors
 * in the order of their declaration.
 */
import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";

import type { Model } from "../../models/index.ts";
import { fileError, FileError, FileUnderWay, openRunFolder } from "../files.ts";
import { numericArray, type NumericArray } from "../formats/array.ts";
import { ptPieces, type LazyTensor, type PtContent } from "../formats/pt-write.ts";
import { PtTensor, readPt } from "../formats/pt.ts";
import { OpenFile, refusing } from "../formats/source.ts";
import { Recorder } from "../teachers/recorder.ts";
import type { TeacherKind } from "../teachers/teacher-meta.ts";
import {
  showEpochs,
  teacherFile,
  type Teacher,
  type TrajectoryBuffer,
} from "../teachers/trajectory.ts";

const NAME = /^replay_buffer_(\d+)\.pt$/;

/**
 * The files of that layout in a folder, by number, or the one that `path` is; none in another folder.
 * Throws `FileError` when it can't be read.
 */
export function replayBuffers(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    const numbers = readdirSync(path).flatMap((name) => {
      const number = NAME.exec(name)?.[1];
      return number === undefined ? [] : [[Number(number), join(path, name)] as const];
    });
    return numbers.sort(([a], [b]) => a - b).map(([, file]) => file);
  } catch (cause) {
    throw fileError(path, "readable", cause);
  }
}

/** What a published trajectory does not say of its teacher. */
export type TeacherTold = Omit<TeacherKind, "epochs" | "keepEpochs" | "line">;

/**
 * Writes every expert of the files as a teacher of our own into `folder`, a snapshot at a time, and
 * returns how many. `report` is told of each.
 * @throws FileError when a file is damaged, or not of this network; nothing is written of such an expert.
 */
export function importReplayBuffers(
  files: readonly string[],
  folder: string,
  model: Model,
  told: TeacherTold,
  report: (file: string) => void = () => undefined,
): number {
  if (model.mixesSamples) {
    throw new FileError(
      `${files[0]!}: the network must have no batch norm, whose running statistics are not in a replay buffer, got ${model.name}`,
    );
  }
  openRunFolder(folder);
  let epochs: number | undefined;
  let count = 0;
  for (const file of files) {
    using source = new OpenFile(file);
    const experts = readPt(source);
    const refuse = refusing(file);
    if (!Array.isArray(experts) || experts.length === 0) {
      return refuse("must be a list of experts", "another value");
    }
    for (const [i, expert] of (experts as unknown[]).entries()) {
      const snapshots = snapshotsOf(expert, model, `${file}, expert ${i}`);
      epochs ??= snapshots.length - 1;
      if (snapshots.length !== epochs + 1) {
        refuse(`expert ${i} must have ${epochs + 1} snapshots as the first one`, snapshots.length);
      }
      const kind: TeacherKind = { ...told, epochs, keepEpochs: [0, epochs], line: "none" };
      const path = teacherFile(folder, count++);
      writeTeacher(path, kind, model, `${file}, expert ${i}`, (t) => thetaOf(snapshots[t]!, model));
      report(path);
    }
  }
  return count;
}

/** Which files an export writes, and how. */
export interface ExportOptions {
  /** Experts in a file, by default 10. */
  readonly experts?: number;
  /** Tensors are float16, in half the space. */
  readonly half?: boolean;
}

/**
 * Writes the teachers of a buffer into `folder` in the published layout, a snapshot at a time, and
 * returns the files. `report` is told of each.
 * @throws FileError when a teacher does not keep every epoch, or is not of this network.
 */
export function exportReplayBuffers(
  buffer: TrajectoryBuffer,
  folder: string,
  model: Model,
  { experts = 10, half = false }: ExportOptions = {},
  report: (file: string) => void = () => undefined,
): string[] {
  if (buffer.parameters !== model.size) {
    throw new FileError(
      `${buffer.folder}: the teachers must have the ${model.size} parameters of ${model.name}, got ${buffer.parameters}`,
    );
  }
  for (const { path, meta } of buffer.teachers) {
    const [first, last] = meta.keepEpochs;
    if (first !== 0 || last !== meta.epochs) {
      throw new FileError(
        `${path}: a teacher must have every epoch in 0..${meta.epochs} for a replay buffer, got ${showEpochs(meta)}`,
      );
    }
  }
  const root = openRunFolder(folder);
  const files: string[] = [];
  for (let start = 0; start < buffer.count; start += experts) {
    const path = join(root, `replay_buffer_${files.length}.pt`);
    const teachers = buffer.teachers.slice(start, start + experts);
    using file = new FileUnderWay(path);
    const content = teachers.map((teacher) => lazyExpert(teacher, model, half));
    for (const piece of ptPieces(content)) file.write(piece);
    file.commit();
    files.push(path);
    report(path);
  }
  return files;
}

/** Tensors of every snapshot, which is read when the first of its tensors is asked for. */
function lazyExpert(teacher: Teacher, model: Model, half: boolean): PtContent[] {
  let latest: { readonly epoch: number; readonly theta: Float32Array } | undefined;
  const theta = (epoch: number): Float32Array => {
    if (latest?.epoch !== epoch) latest = { epoch, theta: teacher.snapshot(epoch) };
    return latest.theta;
  };
  const dtype = half ? "float16" : "float32";
  return Array.from({ length: teacher.meta.epochs + 1 }, (_, epoch) => {
    let at = 0;
    return model.parameters.map(({ shape }): LazyTensor => {
      const begin = at;
      const end = (at += elements(shape));
      const load = (): NumericArray =>
        numericArray(dtype, shape, theta(epoch).subarray(begin, end));
      return { dtype, shape, load };
    });
  });
}

const elements = (shape: readonly number[]): number => shape.reduce((n, axis) => n * axis, 1);

type Snapshot = readonly PtTensor[];

/** The snapshots of an expert, whose tensors must be the network's. */
function snapshotsOf(expert: unknown, model: Model, name: string): Snapshot[] {
  const refuse = refusing(name);
  if (!Array.isArray(expert) || expert.length < 2) {
    return refuse("must be a list of two snapshots or more", "another value");
  }
  const { parameters } = model;
  (expert as unknown[]).forEach((snapshot, t) => {
    if (!Array.isArray(snapshot) || snapshot.length !== parameters.length) {
      return refuse(
        `snapshot ${t} must be a list of the ${parameters.length} tensors of ${model.name}`,
        Array.isArray(snapshot) ? snapshot.length : "another value",
      );
    }
    parameters.forEach((parameter, i) => {
      const tensor = (snapshot as unknown[])[i];
      const got = tensor instanceof PtTensor ? `[${tensor.shape.join(", ")}]` : "another value";
      const must = `[${parameter.shape.join(", ")}]`;
      if (got !== must) refuse(`${parameter.name} of snapshot ${t} must be ${must}`, got);
    });
  });
  return expert as Snapshot[];
}

/** θ `[P]` of a snapshot's tensors. */
function thetaOf(snapshot: Snapshot, model: Model): Float32Array {
  const theta = new Float32Array(model.size);
  let at = 0;
  for (const tensor of snapshot) {
    const { data } = tensor.load();
    theta.set(data, at);
    at += data.length;
  }
  return theta;
}

/** Reads the trajectory twice, for checksums and for the file, so that one snapshot is held at a time. */
function writeTeacher(
  path: string,
  kind: TeacherKind,
  model: Model,
  name: string,
  theta: (epoch: number) => Float32Array,
): void {
  const sizes = { tensors: model.parameters.map(({ shape }) => elements(shape)), running: 0 };
  const running = new Float32Array(0);
  const [first, second] = [new Recorder(kind, sizes), new Recorder(kind, sizes)];
  try {
    for (let t = 0; t <= kind.epochs; t++) first.add(t, { theta: theta(t), running });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new FileError(`${name}: ${cause.message}`);
  }
  // Every epoch is kept, so row t is epoch t; they are asked for in order.
  first.write(path, [], (t) => second.add(t, { theta: theta(t), running })!);
}

/** Whether a .pt file's name is of that layout. */
export const isReplayBufferName = (path: string): boolean => NAME.test(basename(path));
