/** @file What a teacher's file keeps of a trajectory, snapshot by snapshot, and the file that holds it. */
import { crc32 } from "node:zlib";

import { FileUnderWay } from "../files.ts";
import { toHalf } from "../formats/half.ts";
import { distances, shares } from "./line.ts";
import { encodeHeader } from "../formats/safetensors.ts";
import { encodeMeta, storedEpochs, type TeacherKind, type TeacherMeta } from "./teacher-meta.ts";

/** A network between two epochs. */
export interface Snapshot {
  /** Parameters `[P]`. */
  readonly theta: Float32Array;
  /** Running statistics of batch norms `[R]`; empty without them. */
  readonly running: Float32Array;
}

/** How large a network's snapshots are. */
export interface SnapshotSizes {
  /** P, of each tensor of the network. */
  readonly tensors: readonly number[];
  /** R. */
  readonly running: number;
}

const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);

/** Bytes of one snapshot in a teacher's file: running statistics `[R]` in float32, then θ `[P]`. */
export function rowBytes(
  { tensors, running }: SnapshotSizes,
  precision: TeacherKind["precision"],
): number {
  return 4 * running + (precision === "float16" ? 2 : 4) * total(tensors);
}

const bytesOf = (array: Float32Array | Uint16Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Follows a teacher from before its training to its end. Snapshots must come in order. */
export class Recorder {
  readonly kind: TeacherKind;
  readonly sizes: SnapshotSizes;
  /** Checksums of the rows so far. */
  readonly checksums: number[];
  /** How far each tensor went in each epoch on the line so far, `[K][L]`. */
  readonly steps: number[][];
  private readonly stored: readonly number[];
  private before: Float32Array | undefined;

  /** A recorder that goes on after snapshot `before`, with what another had by then. */
  constructor(
    kind: TeacherKind,
    sizes: SnapshotSizes,
    { checksums = [] as readonly number[], steps = [] as readonly (readonly number[])[] } = {},
    before?: Float32Array,
  ) {
    this.kind = kind;
    this.sizes = sizes;
    this.checksums = [...checksums];
    this.steps = steps.map((step) => [...step]);
    this.stored = storedEpochs(kind);
    this.before = before;
  }

  /**
   * The file's row of the snapshot after `epoch` epochs, or nothing if it is not kept.
   * @throws RangeError when a value is not finite, or too large for the precision.
   */
  add(epoch: number, { theta, running }: Snapshot): Uint8Array | undefined {
    const { precision, line, keepEpochs } = this.kind;
    const bad = theta.find((value) => !Number.isFinite(value));
    if (bad !== undefined)
      throw new RangeError(`θ must be finite, got ${bad} after epoch ${epoch}`);
    const [first, last] = keepEpochs;
    if (line === "distance" && epoch > first && epoch <= last)
      this.steps.push(distances(this.before!, theta, this.sizes.tensors));
    if (line === "distance") this.before = theta;
    if (this.stored[this.checksums.length] !== epoch) return undefined;
    const stored = precision === "float16" ? Uint16Array.from(theta, toHalf) : theta;
    const large =
      precision === "float16" ? theta.find((value) => Math.abs(value) >= 65520) : undefined;
    if (large !== undefined)
      throw new RangeError(`θ must be below 65520 for float16, got ${large} after epoch ${epoch}`);
    const row = Buffer.concat([bytesOf(running), bytesOf(stored)]);
    this.checksums.push(crc32(row));
    return row;
  }

  /** Writes the teacher's file, its rows asked for by number. The same input gives the same bytes. */
  write(path: string, testAccuracy: readonly number[], row: (i: number) => Uint8Array): void {
    const { kind, sizes, checksums, steps } = this;
    const byDistance = kind.line === "distance";
    // float32 is as exact as θ itself.
    const rounded = (share: number): number => Number(share.toPrecision(7));
    const metadata = encodeMeta({
      ...kind,
      testAccuracy,
      crc32: checksums,
      ...(byDistance && {
        tensors: sizes.tensors,
        shares: shares(steps).map((line) => line.map(rounded)),
      }),
    });
    const rows = checksums.length;
    const dtype = kind.precision === "float16" ? "F16" : "F32";
    const header = encodeHeader(
      {
        ...(sizes.running > 0 && { running: { dtype: "F32", shape: [rows, sizes.running] } }),
        theta: { dtype, shape: [rows, total(sizes.tensors)] },
      },
      metadata,
    );
    using file = new FileUnderWay(path);
    file.write(header);
    const split = 4 * sizes.running;
    if (split > 0) for (let i = 0; i < rows; i++) file.write(row(i).subarray(0, split));
    for (let i = 0; i < rows; i++) file.write(row(i).subarray(split));
    file.commit();
  }
}

/**
 * Writes a teacher from its whole trajectory: `theta` `[epochs + 1, P]` before training and after
 * every epoch, of which what `meta` says is kept; `tensors` are the sizes of the network's tensors,
 * `running` `[epochs + 1, R]` its running statistics. The same input gives the same bytes. Throws
 * RangeError when these do not fit together or are not finite, `FileError` when it can't be written.
 */
export function writeTrajectory(
  path: string,
  meta: TeacherMeta,
  theta: Float32Array,
  {
    tensors,
    running = new Float32Array(0),
  }: { tensors?: readonly number[]; running?: Float32Array } = {},
): void {
  const snapshots = meta.epochs + 1;
  const parameters = theta.length / snapshots;
  if (!Number.isInteger(parameters) || parameters === 0)
    throw new RangeError(
      `writeTrajectory: theta must be [${snapshots}, P], got ${theta.length} values`,
    );
  const statistics = running.length / snapshots;
  if (!Number.isInteger(statistics))
    throw new RangeError(
      `writeTrajectory: running must be [${snapshots}, R], got ${running.length} values`,
    );
  const sizes = { tensors: tensors ?? [parameters], running: statistics };
  if (total(sizes.tensors) !== parameters)
    throw new RangeError(
      `writeTrajectory: tensors must have ${parameters} values together, got ${total(sizes.tensors)}`,
    );
  const recorder = new Recorder(meta, sizes);
  const rows: Uint8Array[] = [];
  for (let epoch = 0; epoch < snapshots; epoch++) {
    const row = recorder.add(epoch, {
      theta: theta.subarray(epoch * parameters, (epoch + 1) * parameters),
      running: running.subarray(epoch * statistics, (epoch + 1) * statistics),
    });
    if (row) rows.push(row);
  }
  recorder.write(path, meta.testAccuracy, (i) => rows[i]!);
}
