/** @file Teacher trajectories on disk: one safetensors file a teacher, read a snapshot at a time. */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";

import { z } from "zod";

import { fileError, FileError, writeAtomic } from "./files.ts";
import { decodeFloats, decodeHeader, encodeSafetensors } from "./safetensors.ts";
import type { TensorEntry } from "./safetensors.ts";

/** As in the metadata, where every string is a JSON value. */
const FORMAT = '"potstill-trajectory"';
const VERSION = "1";

const rule = {
  text: { error: "text" },
  count: { error: "a whole number from 0" },
  number: { error: "a number" },
  accuracy: { error: "numbers in 0..1, one for each epoch or none" },
  checksums: { error: "whole numbers, one for each snapshot" },
};
const text = z.string(rule.text);
const count = z.int(rule.count).min(0, rule.count);
const number = z.number(rule.number);

const metaSchema = z.object({
  dataset: text,
  network: text,
  width: count,
  seed: count,
  epochs: count,
  batch: count,
  lr: number,
  momentum: number,
  weightDecay: number,
  /** Fractions in 0..1 after each epoch, `[epochs]`, or empty when it was not measured. */
  testAccuracy: z
    .array(number.min(0, rule.accuracy).max(1, rule.accuracy), rule.accuracy)
    .readonly(),
});
const fileSchema = metaSchema.extend({ crc32: z.array(count, rule.checksums) });

/** How a teacher was trained; each is a metadata string of the file, as a JSON value. */
export type TeacherMeta = Readonly<z.infer<typeof metaSchema>>;

/** The name of teacher number `index` in its folder. */
export function teacherFile(folder: string, index: number): string {
  return join(folder, `teacher-${String(index).padStart(4, "0")}.safetensors`);
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

/**
 * Writes a teacher: `theta` `[epochs + 1, P]`, the parameters before training and after every epoch,
 * with a checksum for each. The same input gives the same bytes. Throws RangeError when `theta` is
 * not that or not finite, or `meta` not as declared, and `FileError` when it can't be written.
 */
export function writeTrajectory(path: string, meta: TeacherMeta, theta: Float32Array): void {
  checked(metaSchema, meta, (problem) => new RangeError(`writeTrajectory: ${problem}`));
  const snapshots = meta.epochs + 1;
  const parameters = theta.length / snapshots;
  if (!Number.isInteger(parameters) || parameters === 0) {
    throw new RangeError(
      `writeTrajectory: theta must be [${snapshots}, P], got ${theta.length} values`,
    );
  }
  const bad = theta.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new RangeError(
      `writeTrajectory: theta must be finite, got ${theta[bad]!} after epoch ${Math.floor(bad / parameters)}`,
    );
  }
  const crcs = Array.from({ length: snapshots }, (_, t) =>
    crc32(theta.subarray(t * parameters, (t + 1) * parameters)),
  );
  const metadata: Record<string, string> = { format: FORMAT, version: VERSION };
  for (const key of metaSchema.keyof().options) metadata[key] = JSON.stringify(meta[key]);
  metadata["crc32"] = JSON.stringify(crcs);
  const tensor = { dtype: "F32", shape: [snapshots, parameters], data: theta } as const;
  writeAtomic(path, encodeSafetensors({ theta: tensor }, metadata));
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
  private readonly theta: TensorEntry & { readonly dtype: "F32" | "F16" };
  private readonly checksums: readonly number[];

  constructor(path: string) {
    this.path = path;
    const { tensors, metadata } = withFile(path, (read, bytes) => decodeHeader(read, bytes, path));
    const { crc32: checksums, ...meta } = parseMetadata(metadata, path);
    this.meta = meta;
    this.checksums = checksums;
    this.theta = checkedTheta(tensors["theta"], this.snapshots, path);
    this.parameters = this.theta.shape[1]!;
  }

  /** epochs + 1. */
  get snapshots(): number {
    return this.meta.epochs + 1;
  }

  /**
   * The parameters `[P]` after `epoch` epochs (0: before training), read from the file. Throws
   * RangeError for an epoch the teacher does not have, `FileError` when the file is damaged.
   */
  snapshot(epoch: number): Float32Array<ArrayBuffer> {
    if (!Number.isInteger(epoch) || epoch < 0 || epoch >= this.snapshots) {
      throw new RangeError(`${this.path}: epoch must be in 0..${this.snapshots - 1}, got ${epoch}`);
    }
    const { dtype, begin, end } = this.theta;
    const length = (end - begin) / this.snapshots;
    const bytes = withFile(this.path, (read) => read(begin + epoch * length, length));
    const got = crc32(bytes);
    if (got !== this.checksums[epoch]) {
      throw new FileError(
        `${this.path}: epoch ${epoch} must have checksum ${this.checksums[epoch]!}, got ${got} (the file is damaged)`,
      );
    }
    return decodeFloats(dtype, bytes);
  }
}

/** All teachers of a folder: the same network, trained alike on the same data from other seeds. */
export class TrajectoryBuffer {
  readonly folder: string;
  readonly teachers: readonly Teacher[];

  /** Throws `FileError` when there is no teacher, or one is damaged or unlike the first. */
  constructor(folder: string) {
    this.folder = folder;
    this.teachers = listTeachers(folder).map((index) => readTrajectory(teacherFile(folder, index)));
    const [first, ...others] = this.teachers;
    if (first === undefined) {
      throw new FileError(`${folder}: must hold teacher-0000.safetensors and so on, got none`);
    }
    for (const other of others) {
      for (const key of ["dataset", "network", "width", "epochs"] as const) {
        mustAgree(other.path, key, first.meta[key], other.meta[key]);
      }
      mustAgree(other.path, "number of parameters", first.parameters, other.parameters);
    }
  }

  get count(): number {
    return this.teachers.length;
  }

  /** P. */
  get parameters(): number {
    return this.teachers[0]!.parameters;
  }

  get meta(): Pick<TeacherMeta, "dataset" | "network" | "width" | "epochs"> {
    return this.teachers[0]!.meta;
  }

  /** The parameters `[P]` of a teacher (by its place in `teachers`) after `epoch` epochs. */
  snapshot(teacher: number, epoch: number): Float32Array<ArrayBuffer> {
    const found = this.teachers[teacher];
    if (found === undefined) {
      throw new RangeError(
        `${this.folder}: teacher must be in 0..${this.count - 1}, got ${teacher}`,
      );
    }
    return found.snapshot(epoch);
  }
}

type Read = (at: number, length: number) => Uint8Array<ArrayBuffer>;

/** Runs `use` with the file open; whatever goes wrong is a `FileError`. */
function withFile<T>(path: string, use: (read: Read, fileBytes: number) => T): T {
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

function parseMetadata(
  metadata: Readonly<Record<string, string>>,
  path: string,
): z.infer<typeof fileSchema> {
  const { format, version } = metadata;
  if (format !== FORMAT) {
    throw new FileError(
      `${path}: metadata "format" must be ${FORMAT}, got ${format?.slice(0, 60) ?? "none"}`,
    );
  }
  if (version !== VERSION) {
    throw new FileError(
      `${path}: must be of format version ${VERSION}, got ${version?.slice(0, 60) ?? "none"}; read it with the potstill that wrote it`,
    );
  }
  const values: Record<string, unknown> = {};
  for (const key of fileSchema.keyof().options) values[key] = parsedOrUndefined(metadata[key]);
  return checked(fileSchema, values, (problem) => new FileError(`${path}: metadata ${problem}`));
}

/** `values` as the schema's type, or throws `fail` of what is wrong. */
function checked<T extends TeacherMeta & { readonly crc32?: readonly number[] }>(
  schema: z.ZodType<T>,
  values: Readonly<Record<string, unknown>>,
  fail: (problem: string) => Error,
): T {
  const parsed = schema.safeParse(values);
  const problem = (key: string, must: string) => {
    const got = values[key] === undefined ? "nothing" : JSON.stringify(values[key]).slice(0, 60);
    return fail(`"${key}" must be ${must}, got ${got}`);
  };
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw problem(String(path[0]), message);
  }
  const { epochs, testAccuracy, crc32: checksums } = parsed.data;
  if (testAccuracy.length !== epochs && testAccuracy.length !== 0) {
    throw problem("testAccuracy", rule.accuracy.error);
  }
  if (checksums !== undefined && checksums.length !== epochs + 1) {
    throw problem("crc32", rule.checksums.error);
  }
  return parsed.data;
}

function parsedOrUndefined(json: string | undefined): unknown {
  try {
    return json === undefined ? undefined : JSON.parse(json);
  } catch {
    return undefined;
  }
}

function checkedTheta(
  theta: TensorEntry | undefined,
  snapshots: number,
  path: string,
): TensorEntry & { dtype: "F32" | "F16" } {
  if (theta === undefined) throw new FileError(`${path}: must hold a tensor "theta", got none`);
  const { dtype, shape } = theta;
  if (dtype !== "F32" && dtype !== "F16") {
    throw new FileError(`${path}: theta must be F32 or F16, got ${dtype}`);
  }
  if (shape.length !== 2 || shape[0] !== snapshots || shape[1] === 0) {
    throw new FileError(`${path}: theta must be [${snapshots}, P], got [${shape.join(", ")}]`);
  }
  return { ...theta, dtype };
}

function mustAgree(path: string, what: string, must: unknown, got: unknown): void {
  if (must === got) return;
  throw new FileError(
    `${path}: ${what} must be ${JSON.stringify(must)} as in the folder's first teacher, got ${JSON.stringify(got)}`,
  );
}
