/**
 * @file A teacher under training on disk, so that it goes on after a kill at any moment: the rows of
 * its snapshots in one file, and in another, written atomically, all that training needs.
 */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

import { fileError, FileError, readBytes, writeAtomic } from "../files.ts";
import { Recorder, rowBytes, type Snapshot, type SnapshotSizes } from "./recorder.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "../formats/safetensors.ts";
import { difference, type TeacherKind } from "./teacher-meta.ts";
import type { TrainerState } from "../training/train.ts";
import { withFile } from "./trajectory.ts";

/** As the metadata of a state names it; another version's is of no use. */
const FORMAT = "potstill-unfinished-teacher 1";

/** Where the training of a teacher stands. */
interface Standing {
  readonly epoch: number;
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
}

const PARTS = ["theta", "velocity", "running"] as const satisfies readonly (keyof TrainerState)[];

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
  private rows: number | undefined;

  /**
   * Takes up what is saved of the teacher.
   * @throws FileError when it is a teacher of another kind, or the folder cannot be written.
   */
  constructor(path: string, kind: TeacherKind, sizes: SnapshotSizes) {
    this.path = path;
    this.rowBytes = rowBytes(sizes, kind.precision);
    const found = existsSync(this.stateFile)
      ? unlessDamaged(() => readSaved(this.stateFile))
      : undefined;
    const whole = found?.value;
    const other = whole && difference(whole.kind, kind);
    if (other)
      throw new FileError(
        `${this.stateFile}: the teacher's ${other.key} must be ${other.must}, got ${other.got}; use another folder or remove it`,
      );
    const checked = whole ? unlessDamaged(() => this.checked(whole, sizes)) : found;
    this.damage = checked?.damage;
    const saved = checked?.value;
    this.standing = saved;
    this.recorder = new Recorder(kind, sizes, saved, saved?.state.theta);
    this.testAccuracy = [...(saved?.testAccuracy ?? [])];
    try {
      this.rows = openSync(this.rowsFile, saved ? "r+" : "w");
    } catch (cause) {
      throw fileError(this.rowsFile, "writable", cause);
    }
  }

  /**
   * Records the snapshot after `epoch` epochs and, but before training, the test accuracy.
   * @throws RangeError when it is not finite; FileError.
   */
  add(epoch: number, snapshot: Snapshot, testAccuracy?: number): void {
    const row = this.recorder.checksums.length;
    const bytes = this.recorder.add(epoch, snapshot);
    if (testAccuracy !== undefined) this.testAccuracy.push(testAccuracy);
    if (!bytes) return;
    this.writing((rows) => {
      for (let done = 0; done < bytes.length;) {
        const at = row * this.rowBytes + done;
        done += writeSync(rows, bytes, done, bytes.length - done, at);
      }
    });
  }

  /** Saves all that going on after `epoch` needs. Throws `FileError`. */
  save(epoch: number, state: TrainerState): void {
    const { kind, checksums, steps } = this.recorder;
    this.writing(fsyncSync);
    const tensor = (part: keyof TrainerState): StoredTensor => ({
      dtype: "F32",
      shape: [state[part].length],
      data: state[part],
    });
    const { testAccuracy } = this;
    const saved: Saved = { epoch, testAccuracy, kind, checksums, steps };
    const metadata = { format: FORMAT, saved: JSON.stringify(saved) };
    const checksum = String(checksumOf(metadata.saved, state));
    const tensors = Object.fromEntries(PARTS.map((part) => [part, tensor(part)]));
    writeAtomic(this.stateFile, encodeSafetensors(tensors, { ...metadata, checksum }));
  }

  /** Writes the finished teacher and removes what it was made from. Throws `FileError`. */
  finish(): void {
    withFile(this.rowsFile, (read) =>
      this.recorder.write(this.path, this.testAccuracy, (i) =>
        read(i * this.rowBytes, this.rowBytes),
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
  }

  private writing(work: (rows: number) => void): void {
    try {
      work(this.rows!);
    } catch (cause) {
      throw fileError(this.rowsFile, "writable", cause);
    }
  }

  private get stateFile(): string {
    return stateFile(this.path);
  }

  private get rowsFile(): string {
    return rowsFile(this.path);
  }

  /** `saved`, if there are its rows and it is of such a network. */
  private checked(saved: Saved & Standing, { tensors, running }: SnapshotSizes): Saved & Standing {
    const [wanted, got] = [
      [tensors.reduce((sum, size) => sum + size, 0), running],
      [saved.state.theta.length, saved.state.running.length],
    ];
    if (String(wanted) !== String(got))
      throw new FileError(
        `${this.stateFile}: must have ${wanted.join(" and ")} values, got ${got.join(" and ")}`,
      );
    withFile(this.rowsFile, (read) =>
      saved.checksums.forEach((checksum, i) => {
        if (crc32(read(i * this.rowBytes, this.rowBytes)) !== checksum)
          throw new FileError(
            `${this.rowsFile}: snapshot ${i} must have its checksum, got another`,
          );
      }),
    );
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
const rowsFile = (path: string): string => `${path}.rows`;

/** Removes what is left of the training of a teacher that is finished. */
export function removeUnfinished(path: string): void {
  for (const file of [stateFile(path), rowsFile(path)]) {
    try {
      rmSync(file, { force: true });
    } catch (cause) {
      throw fileError(file, "writable", cause);
    }
  }
}

/** Of everything saved but the rows. */
const checksumOf = (saved: string, state: TrainerState): number =>
  // Not one run on from the other: of nothing, zlib's is 0 whatever came before.
  crc32(JSON.stringify([saved, ...PARTS.map((part) => crc32(state[part]))]));

/** What is saved in a file of a teacher's state. Throws `FileError` when it is damaged. */
function readSaved(path: string): Saved & Standing {
  const { tensors, metadata } = decodeSafetensors(readBytes(path), path);
  const { format, saved = "", checksum } = metadata;
  const [theta, velocity, running] = PARTS.map((part) => tensors[part]?.data);
  if (format !== FORMAT || !isFloats(theta) || !isFloats(velocity) || !isFloats(running))
    throw new FileError(`${path}: must be the state of an unfinished teacher, got another file`);
  const state = { theta, velocity, running };
  if (checksum !== String(checksumOf(saved, state)))
    throw new FileError(`${path}: must have its checksum, got another (the file is damaged)`);
  return { ...(JSON.parse(saved) as Saved), state };
}

/** Tensors of a file are decoded into arrays of their own. */
const isFloats = (data: unknown): data is Float32Array<ArrayBuffer> => data instanceof Float32Array;
