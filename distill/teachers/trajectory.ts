/** @file Teacher trajectories on disk: one safetensors file a teacher, read a snapshot at a time. */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";

import { fileError, FileError } from "../files.ts";
import { pointBetween, sharesAt } from "./line.ts";
import { decodeFloats, decodeHeader } from "../formats/safetensors.ts";
import type { TensorEntry } from "../formats/safetensors.ts";
import {
  decodeMeta,
  difference,
  storedEpochs,
  type FileMeta,
  type TeacherKind,
  type TeacherMeta,
} from "./teacher-meta.ts";

/** The name of teacher number `index`. */
export const teacherName = (index: number): string => `teacher-${String(index).padStart(4, "0")}`;

/** The file of teacher number `index` in its folder. */
export function teacherFile(folder: string, index: number): string {
  return join(folder, `${teacherName(index)}.safetensors`);
}

/** The numbers of the teachers in a folder, ascending. Throws `FileError` if it can't be read. */
export function listTeachers(folder: string): number[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (cause) {
    throw fileError(folder, "readable", cause);
  }
  return names
    .map((name) => [name, Number(/\d+/.exec(name)?.[0])] as const)
    .filter(([name, index]) => name === basename(teacherFile(folder, index)))
    .map(([, index]) => index)
    .sort((a, b) => a - b);
}

/** Opens a teacher's file and checks its header; the snapshots stay on disk. Throws `FileError`. */
export function readTrajectory(path: string): Teacher {
  return new Teacher(path);
}

/** One teacher's file, its header checked. Holds no file open. */
export class Teacher {
  readonly path: string;
  readonly meta: TeacherMeta;
  /** P, the length of one snapshot. */
  readonly parameters: number;
  /** R, the running statistics that come with it. */
  readonly statistics: number;
  private readonly theta: TensorEntry & { readonly dtype: "F32" | "F16" };
  private readonly running: TensorEntry | undefined;
  /** Epochs of the stored snapshots. */
  private readonly rows: readonly number[];
  private readonly file: Pick<FileMeta, "crc32" | "shares" | "tensors">;

  constructor(path: string) {
    this.path = path;
    const { tensors, metadata } = withFile(path, (read, bytes) => decodeHeader(read, bytes, path));
    const { crc32: checksums, shares, tensors: sizes, ...meta } = decodeMeta(metadata, path);
    this.meta = meta;
    this.file = { crc32: checksums, shares, tensors: sizes };
    this.rows = storedEpochs(meta);
    this.theta = checkedTheta(tensors["theta"], this.rows.length, meta.precision, path);
    this.parameters = this.theta.shape[1]!;
    this.running = checkedRunning(tensors["running"], this.rows.length, path);
    this.statistics = this.running?.shape[1] ?? 0;
    const total = sizes?.reduce((sum, size) => sum + size, 0) ?? this.parameters;
    if (total !== this.parameters)
      throw new FileError(
        `${path}: metadata "tensors" must have ${this.parameters} values together, got ${total}`,
      );
  }

  /** Reads all of it. Throws `FileError` when it is damaged. */
  verify(): void {
    this.rows.forEach((_, row) => this.stored(row));
  }

  /**
   * The parameters `[P]` after `epoch` epochs (0: before training), read from the file. On a line it
   * may be any number in the range. Throws RangeError for an epoch the file does not have,
   * `FileError` when it is damaged.
   */
  snapshot(epoch: number): Float32Array<ArrayBuffer> {
    const row = this.rows.indexOf(epoch);
    if (row >= 0) return this.stored(row).theta;
    const { keepEpochs, line } = this.meta;
    const [first, last] = keepEpochs;
    if (line === "none" || !(epoch > first && epoch < last)) throw this.missing(epoch);
    const { shares, tensors } = this.file;
    const [from, to] = [this.stored(0).theta, this.stored(1).theta];
    return shares && tensors
      ? pointBetween(from, to, sharesAt(shares, epoch - first), tensors)
      : pointBetween(from, to, [(epoch - first) / (last - first)], [this.parameters]);
  }

  /**
   * Running statistics `[R]` of the network after `epoch` epochs, empty without batch norm. Throws as
   * {@link snapshot}; between the ends of a line there are none.
   */
  runningAfter(epoch: number): Float32Array<ArrayBuffer> {
    const row = this.rows.indexOf(epoch);
    if (row < 0) throw this.missing(epoch);
    return this.stored(row).running;
  }

  private missing(epoch: number): RangeError {
    return new RangeError(`${this.path}: epoch must be in ${showEpochs(this.meta)}, got ${epoch}`);
  }

  private stored(row: number): Record<"theta" | "running", Float32Array<ArrayBuffer>> {
    const of = ({ begin, end }: TensorEntry): Uint8Array<ArrayBuffer> => {
      const length = (end - begin) / this.rows.length;
      return withFile(this.path, (read) => read(begin + row * length, length));
    };
    const running = this.running ? of(this.running) : new Uint8Array(0);
    const theta = of(this.theta);
    const got = crc32(theta, crc32(running));
    if (got !== this.file.crc32[row])
      throw new FileError(
        `${this.path}: epoch ${this.rows[row]!} must have checksum ${this.file.crc32[row]!}, got ${got} (the file is damaged)`,
      );
    return {
      theta: decodeFloats(this.theta.dtype, theta),
      running: decodeFloats("F32", running),
    };
  }
}

/** Epochs that a teacher's file has, in words: `0..60 or 100`. */
export function showEpochs({ epochs, keepEpochs: [first, last] }: TeacherKind): string {
  return `${first}..${last}${last < epochs ? ` or ${epochs}` : ""}`;
}

/** What all teachers of a folder have in common. */
const COMMON = [
  "dataset",
  "data",
  "preprocessing",
  "augmentation",
  "network",
  "width",
  "epochs",
  "keepEpochs",
  "line",
] as const satisfies readonly (keyof TeacherKind)[];

/** All teachers of a folder: the same network, trained alike on the same data from other seeds. */
export class TrajectoryBuffer {
  readonly folder: string;
  readonly teachers: readonly Teacher[];

  /**
   * The teachers of `folder`, or the first `most` of them. Throws `FileError` when there is none, or
   * one is damaged or unlike the first.
   */
  constructor(folder: string, most = Infinity) {
    this.folder = folder;
    const numbers = listTeachers(folder).slice(0, most);
    this.teachers = numbers.map((index) => readTrajectory(teacherFile(folder, index)));
    const [first, ...others] = this.teachers;
    if (first === undefined) {
      throw new FileError(`${folder}: must hold teacher-0000.safetensors and so on, got none`);
    }
    for (const other of others) {
      const unlike = difference(other.meta, first.meta, COMMON);
      if (unlike) throw mixture(other.path, unlike);
      const [must, got] = [String(first.parameters), String(other.parameters)];
      if (must !== got) throw mixture(other.path, { key: "number of parameters", must, got });
    }
  }

  get count(): number {
    return this.teachers.length;
  }

  /** P. */
  get parameters(): number {
    return this.teachers[0]!.parameters;
  }

  get meta(): Pick<TeacherMeta, (typeof COMMON)[number]> {
    return this.teachers[0]!.meta;
  }

  /** The parameters `[P]` of a teacher (by its place in `teachers`), as {@link Teacher.snapshot}. */
  snapshot(teacher: number, epoch: number): Float32Array<ArrayBuffer> {
    return this.teacher(teacher).snapshot(epoch);
  }

  /** The running statistics `[R]` of a teacher, as {@link Teacher.runningAfter}. */
  runningAfter(teacher: number, epoch: number): Float32Array<ArrayBuffer> {
    return this.teacher(teacher).runningAfter(epoch);
  }

  private teacher(teacher: number): Teacher {
    const found = this.teachers[teacher];
    if (found === undefined) {
      throw new RangeError(
        `${this.folder}: teacher must be in 0..${this.count - 1}, got ${teacher}`,
      );
    }
    return found;
  }
}

type Read = (at: number, length: number) => Uint8Array<ArrayBuffer>;

/** Runs `use` with the file open; whatever goes wrong is a `FileError`. */
export function withFile<T>(path: string, use: (read: Read, fileBytes: number) => T): T {
  let file: number | undefined;
  try {
    const handle = openSync(path, "r");
    file = handle;
    const read: Read = (at, length) => {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const more = readSync(handle, bytes, done, length - done, at + done);
        if (more === 0) {
          throw new FileError(`${path}: must have at least ${at + length} bytes, got ${at + done}`);
        }
        done += more;
      }
      return bytes;
    };
    return use(read, fstatSync(handle).size);
  } catch (cause) {
    throw fileError(path, "readable", cause);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function checkedTheta(
  theta: TensorEntry | undefined,
  rows: number,
  precision: TeacherKind["precision"],
  path: string,
): TensorEntry & { dtype: "F32" | "F16" } {
  if (theta === undefined) throw new FileError(`${path}: must hold a tensor "theta", got none`);
  const { dtype, shape } = theta;
  const must = precision === "float16" ? "F16" : "F32";
  if (dtype !== must) throw new FileError(`${path}: theta must be ${must}, got ${dtype}`);
  if (shape.length !== 2 || shape[0] !== rows || shape[1] === 0) {
    throw new FileError(`${path}: theta must be [${rows}, P], got [${shape.join(", ")}]`);
  }
  return { ...theta, dtype: must };
}

function checkedRunning(
  running: TensorEntry | undefined,
  rows: number,
  path: string,
): TensorEntry | undefined {
  if (running === undefined) return undefined;
  const { dtype, shape } = running;
  if (dtype !== "F32" || shape.length !== 2 || shape[0] !== rows)
    throw new FileError(
      `${path}: running must be F32 [${rows}, R], got ${dtype} [${shape.join(", ")}]`,
    );
  return running;
}

function mixture(
  path: string,
  { key, must, got }: Readonly<Record<"key" | "must" | "got", string>>,
): FileError {
  return new FileError(
    `${path}: ${key} must be ${must} as in the folder's first teacher, got ${got}`,
  );
}
