/**
 * @file A teacher under training on disk, so that it goes on after a kill at any moment: the rows of
 * its snapshots in one file, and in another, written atomically, all that training needs. Several
 * processes that train the same teacher by accident do each other no harm: each has rows of its own.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { crc32 } from "node:zlib";

import { fileError, FileError, readBytes, writeAtomic } from "../files.ts";
import { Recorder, rowBytes, type Snapshot, type SnapshotSizes } from "./recorder.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "../formats/safetensors.ts";
import { difference, type TeacherKind } from "./teacher-meta.ts";
import type { TrainerState } from "../training/train.ts";
import { withFile } from "./trajectory.ts";

/** As the metadata of a state names it; another version's is of no use. */
const FORMAT = "potstill-unfinished-teacher 2";

/** Where the training of a teacher stands. */
interface Standing {
  /** Epochs done. */
  readonly epoch: number;
  /** Minibatches of the next epoch that are done. */
  readonly step: number;
  readonly testAccuracy: readonly number[];
  readonly state: TrainerState;
}

/** What is saved besides the tensors of a state. */
interface Saved extends Omit<Standing, "state"> {
  readonly kind: TeacherKind;
  /** Of the rows. */
  readonly checksums: readonly number[];
  /** As the recorder has them. */
  readonly steps: readonly (readonly number[])[];
  /** The file of the rows, in the same folder. */
  readonly rows: string;
}

/** What is saved of a state: `before` is θ after the last whole epoch, where another is not the same. */
interface SavedState extends TrainerState {
  readonly before: Float32Array<ArrayBuffer>;
}

const PARTS = [
  "theta",
  "velocity",
  "running",
  "before",
] as const satisfies readonly (keyof SavedState)[];

/** The teacher that will be in the file at `path`. Hold it by `using`. */
export class UnfinishedTeacher implements Disposable {
  /** Where training goes on, or nothing where it begins. */
  readonly standing: Standing | undefined;
  /** Why what was saved is of no use, if so. */
  readonly damage: string | undefined;
  private readonly path: string;
  private readonly rowBytes: number;
  private readonly recorder: Recorder;
  private readonly testAccuracy: number[];
  /** Rows that this process alone writes. */
  private readonly rowsFile: string;
  private rows: number | undefined;
  /** Where those of the state were that it went on from, until there is a state of its own. */
  private superseded: string | undefined;
  /** Whether a state names its rows. */
  private saved = false;
  /** θ after the last epoch. */
  private last: Float32Array<ArrayBuffer> | undefined;

  /**
   * Takes up what is saved of the teacher.
   * @throws FileError when it is a teacher of another kind, or the folder cannot be written.
   */
  constructor(path: string, kind: TeacherKind, sizes: SnapshotSizes) {
    this.path = path;
    this.rowBytes = rowBytes(sizes, kind.precision);
    const found = existsSync(stateFile(path))
      ? unlessDamaged(() => readSaved(stateFile(path)))
      : undefined;
    const whole = found?.value;
    const other = whole && difference(whole.kind, kind);
    if (other)
      throw new FileError(
        `${stateFile(path)}: the teacher's ${other.key} must be ${other.must}, got ${other.got}; use another folder or remove it`,
      );
    this.rowsFile = `${path}.${randomBytes(4).toString("hex")}.rows`;
    let checked = found;
    try {
      if (whole) checked = unlessDamaged(() => this.takeOver(whole, sizes));
      this.rows ??= openSync(this.rowsFile, "w+");
    } catch (cause) {
      throw fileError(this.rowsFile, "writable", cause);
    }
    this.damage = checked?.damage;
    const saved = checked?.value;
    this.standing = saved;
    this.last = saved?.state.before;
    this.recorder = new Recorder(kind, sizes, saved, this.last);
    this.testAccuracy = [...(saved?.testAccuracy ?? [])];
  }

  /**
   * Records the snapshot after `epoch` epochs and, but before training, the test accuracy.
   * @throws RangeError when it is not finite; FileError.
   */
  add(epoch: number, snapshot: Snapshot, testAccuracy?: number): void {
    const row = this.recorder.checksums.length;
    const bytes = this.recorder.add(epoch, snapshot);
    this.last = new Float32Array(snapshot.theta);
    if (testAccuracy !== undefined) this.testAccuracy.push(testAccuracy);
    if (!bytes) return;
    this.writing((rows) => {
      for (let done = 0; done < bytes.length;) {
        const at = row * this.rowBytes + done;
        done += writeSync(rows, bytes, done, bytes.length - done, at);
      }
    });
  }

  /**
   * Saves all that going on needs after `epoch` epochs, `state`, or `step` minibatches of the next one
   * later. Throws `FileError`.
   */
  save(epoch: number, state: TrainerState, step = 0): void {
    const { kind, checksums, steps } = this.recorder;
    this.writing(fsyncSync);
    const { testAccuracy, rowsFile } = this;
    const rows = basename(rowsFile);
    const saved: Saved = { epoch, step, testAccuracy, kind, checksums, steps, rows };
    const whole: SavedState = { ...state, before: step > 0 ? this.last! : new Float32Array() };
    const tensor = (part: keyof SavedState): StoredTensor => ({
      dtype: "F32",
      shape: [whole[part].length],
      data: whole[part],
    });
    const metadata = { format: FORMAT, saved: JSON.stringify(saved) };
    const checksum = String(checksumOf(metadata.saved, whole));
    const tensors = Object.fromEntries(PARTS.map((part) => [part, tensor(part)]));
    writeAtomic(stateFile(this.path), encodeSafetensors(tensors, { ...metadata, checksum }));
    if (this.superseded !== undefined) remove(this.superseded);
    this.superseded = undefined;
    this.saved = true;
  }

  /** Writes the finished teacher and removes what it was made from. Throws `FileError`. */
  finish(): void {
    // By the open file: whoever finished the same teacher has removed its name.
    this.writing((rows) =>
      this.recorder.write(this.path, this.testAccuracy, (i) =>
        readWhole(rows, i * this.rowBytes, this.rowBytes),
      ),
    );
    this.discard();
  }

  /** Ends it and removes what is there of it. */
  discard(): void {
    this[Symbol.dispose]();
    removeUnfinished(this.path);
  }

  [Symbol.dispose](): void {
    if (this.rows !== undefined) closeSync(this.rows);
    this.rows = undefined;
    if (!this.saved) remove(this.rowsFile);
  }

  private writing(work: (rows: number) => void): void {
    try {
      work(this.rows!);
    } catch (cause) {
      throw fileError(this.rowsFile, "writable", cause);
    }
  }

  /** Copies the rows of `saved`, checks them, and that it is of such a network. */
  private takeOver(
    saved: Saved & { readonly state: SavedState },
    { tensors, running }: SnapshotSizes,
  ): Saved & { readonly state: SavedState } {
    const [wanted, got] = [
      [tensors.reduce((sum, size) => sum + size, 0), running],
      [saved.state.theta.length, saved.state.running.length],
    ];
    const { path } = this;
    if (String(wanted) !== String(got))
      throw new FileError(
        `${stateFile(path)}: must have ${wanted.join(" and ")} values, got ${got.join(" and ")}`,
      );
    const from = join(dirname(path), saved.rows);
    withFile(from, (read) => {
      const own = (this.rows = openSync(this.rowsFile, "w+"));
      saved.checksums.forEach((checksum, i) => {
        const row = read(i * this.rowBytes, this.rowBytes);
        if (crc32(row) !== checksum)
          throw new FileError(`${from}: snapshot ${i} must have its checksum, got another`);
        for (let done = 0; done < row.length;)
          done += writeSync(own, row, done, row.length - done, i * this.rowBytes + done);
      });
    });
    this.superseded = from;
    return saved;
  }
}

/** What `work` returns, or what it finds damaged. */
function unlessDamaged<T>(work: () => T): { value?: T; damage?: string } {
  try {
    return { value: work() };
  } catch (error) {
    if (error instanceof FileError) return { damage: error.message };
    throw error;
  }
}

const stateFile = (path: string): string => `${path}.state`;

/** Whether `name` is that of the rows of the teacher in the file `path`, whoever writes them. */
const isRows = (name: string, path: string): boolean =>
  name.startsWith(`${basename(path)}.`) && name.endsWith(".rows");

/** Removes what is left of the training of a teacher that is finished. */
export function removeUnfinished(path: string): void {
  const folder = dirname(path);
  remove(stateFile(path));
  for (const name of readdirSync(folder)) if (isRows(name, path)) remove(join(folder, name));
}

function remove(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch (cause) {
    throw fileError(file, "writable", cause);
  }
}

function readWhole(file: number, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const more = readSync(file, bytes, done, length - done, at + done);
    if (more === 0) throw new RangeError("snapshots must stay as they were written, got fewer");
    done += more;
  }
  return bytes;
}

/** How far the training of the teacher in the file at `path` is, if any of it is saved and whole. */
export function unfinishedEpoch(path: string): number | undefined {
  const file = stateFile(path);
  if (!existsSync(file)) return undefined;
  return unlessDamaged(() => readSaved(file)).value?.epoch;
}

/** Of everything saved but the rows. */
const checksumOf = (saved: string, state: SavedState): number =>
  // Not one run on from the other: of nothing, zlib's is 0 whatever came before.
  crc32(JSON.stringify([saved, ...PARTS.map((part) => crc32(state[part]))]));

/** What is saved in a file of a teacher's state. Throws `FileError` when it is damaged. */
function readSaved(path: string): Saved & { readonly state: SavedState } {
  const { tensors, metadata } = decodeSafetensors(readBytes(path), path);
  const { format, saved = "", checksum } = metadata;
  const [theta, velocity, running, before] = PARTS.map((part) => tensors[part]?.data);
  if (
    format !== FORMAT ||
    !isFloats(theta) ||
    !isFloats(velocity) ||
    !isFloats(running) ||
    !isFloats(before)
  )
    throw new FileError(`${path}: must be the state of an unfinished teacher, got another file`);
  const state = { theta, velocity, running, before };
  if (checksum !== String(checksumOf(saved, state)))
    throw new FileError(`${path}: must have its checksum, got another (the file is damaged)`);
  const { step, ...all } = JSON.parse(saved) as Saved;
  return { ...all, step, state: { ...state, before: step > 0 ? before : theta } };
}

/** Tensors of a file are decoded into arrays of their own. */
const isFloats = (data: unknown): data is Float32Array<ArrayBuffer> => data instanceof Float32Array;
