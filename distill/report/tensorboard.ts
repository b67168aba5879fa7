/** @file TensorBoard event files: scalars under the names that published programs log. */
import { appendFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

import { fileError, openRunFolder } from "../files.ts";

/** What an event file is told of an iteration. */
export interface IterationScalars {
  readonly iteration: number;
  readonly loss: number;
  readonly lr: number;
  readonly start: number;
}

/**
 * An event file that grows: TFRecords of Event messages (tensorflow/core/util/event.proto). Values are
 * float32. Nothing is kept open.
 */
export class EventFile {
  readonly path: string;
  private readonly now: () => number;
  private readonly best = new Map<string, { accuracy: number; std: number }>();

  /**
   * A new file in `folder`, made where missing; `now` is the time in ms. Values of earlier files of
   * the folder from step `from` on, of a run that is resumed, no longer count. Throws `FileError`.
   */
  constructor(folder: string, { now = Date.now, from = 0 } = {}) {
    this.now = now;
    const seconds = String(Math.floor(now() / 1000)).padStart(10, "0");
    const name = `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.0`;
    this.path = join(openRunFolder(folder), name);
    this.write(this.event(0, text(3, "brain.Event:2")));
    // SessionLog of status START.
    this.write(this.event(from, message(7, varint(1, 1))));
  }

  /** `Grand_Loss`, `Synthetic_LR`, `Start_Epoch` and `Progress`. Throws `FileError`. */
  iteration({ iteration, loss, lr, start }: IterationScalars): void {
    this.scalars(iteration, {
      Grand_Loss: loss,
      Synthetic_LR: lr,
      Start_Epoch: start,
      Progress: iteration,
    });
  }

  /**
   * `Accuracy/<network>` and `Std/<network>` (both in 0..1) of networks trained on the set as it was
   * after an iteration, and those of the best so far as `Max_…`. Throws `FileError`.
   */
  evaluation(iteration: number, network: string, accuracy: number, std: number): void {
    const best = this.best.get(network);
    const max = best && best.accuracy >= accuracy ? best : { accuracy, std };
    this.best.set(network, max);
    this.scalars(iteration, {
      [`Accuracy/${network}`]: accuracy,
      [`Max_Accuracy/${network}`]: max.accuracy,
      [`Std/${network}`]: std,
      [`Max_Std/${network}`]: max.std,
    });
  }

  /** Adds values by their tags at a step. Throws `FileError`. */
  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const summary = Object.entries(values).map(([tag, value]) =>
      message(1, Buffer.concat([text(1, tag), float(2, value)])),
    );
    this.write(this.event(step, message(5, Buffer.concat(summary))));
  }

  private event(step: number, what: Uint8Array): Uint8Array {
    return Buffer.concat([double(1, this.now() / 1000), varint(2, step), what]);
  }

  private write(event: Uint8Array): void {
    try {
      appendFileSync(this.path, record(event));
    } catch (cause) {
      throw fileError(this.path, "writable", cause);
    }
  }
}

/** A TFRecord: length, its checksum, the bytes, their checksum. */
function record(bytes: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, masked(length), bytes, masked(bytes)]);
}

/** CRC-32C of the bytes, masked as TFRecords hold it. */
function masked(bytes: Uint8Array): Uint8Array {
  const crc = crc32c(bytes);
  const out = Buffer.alloc(4);
  out.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return out;
}

/** Castagnoli's polynomial, its bits reversed. */
const POLYNOMIAL = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  return crc;
});

/** CRC-32C (RFC 3720, appendix B.4). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Fields of protocol buffers: their number and wire type, then the value. */
const tag = (field: number, wire: 0 | 1 | 2 | 5): number => (field << 3) | wire;

function base128(value: number): number[] {
  const bytes: number[] = [];
  // Not by shifts: steps may have more than 32 bits.
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

const varint = (field: number, value: number): Uint8Array =>
  Uint8Array.of(tag(field, 0), ...base128(value));

const message = (field: number, bytes: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.of(tag(field, 2), ...base128(bytes.length)), bytes]);

const text = (field: number, value: string): Uint8Array => message(field, Buffer.from(value));

function double(field: number, value: number): Uint8Array {
  const out = Buffer.alloc(9);
  out[0] = tag(field, 1);
  out.writeDoubleLE(value, 1);
  return out;
}

function float(field: number, value: number): Uint8Array {
  const out = Buffer.alloc(5);
  out[0] = tag(field, 5);
  out.writeFloatLE(value, 1);
  return out;
}
