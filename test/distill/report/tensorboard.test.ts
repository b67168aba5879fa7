/** @file TensorBoard event files, read back by a reader of the formats that shares nothing with the writer. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { crc32c, EventFile } from "../../../distill/report/tensorboard.ts";

/** CRC-32C bit by bit, the highest power first: the definition. */
function checksum(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  const reversed = (value: bigint, bits: number): bigint =>
    BigInt(`0b${Array.from(value.toString(2).padStart(bits, "0")).reverse().join("")}`);
  for (const byte of bytes) {
    crc ^= reversed(BigInt(byte), 8) << 24n;
    for (let bit = 0; bit < 8; bit++) {
      const top = (crc >> 31n) & 1n;
      crc = (crc << 1n) & 0xffffffffn;
      if (top === 1n) crc ^= 0x1edc6f41n;
    }
  }
  return Number(reversed(crc ^ 0xffffffffn, 32));
}

/** Data of the records of a file; every checksum must hold. */
function recordsOf(bytes: Buffer): Buffer[] {
  const unmask = (masked: number): number => {
    const rotated = (BigInt(masked) - 0xa282ead8n) & 0xffffffffn;
    return Number(((rotated >> 17n) | (rotated << 15n)) & 0xffffffffn);
  };
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(checksum(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(unmask(bytes.readUInt32LE(at + 12 + length))).toBe(checksum(data));
    records.push(data);
    at += length + 16;
  }
  return records;
}

type Field = [number: number, value: number | Buffer];

/** Fields of a protocol buffer in their order. */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < message.length) {
    const key = varint();
    const [number, wire] = [key >> 3, key & 7];
    if (wire === 0) fields.push([number, varint()]);
    else if (wire === 1) {
      fields.push([number, message.readDoubleLE(at)]);
      at += 8;
    } else if (wire === 5) {
      fields.push([number, message.readFloatLE(at)]);
      at += 4;
    } else {
      expect(wire).toBe(2);
      const length = varint();
      fields.push([number, message.subarray(at, at + length)]);
      at += length;
    }
  }
  return fields;
}

interface Event {
  readonly time: number;
  readonly step: number;
  readonly version?: string;
  readonly status?: number;
  readonly scalars: Readonly<Record<string, number>>;
}

/** An Event: wall_time 1, step 2, file_version 3, summary 5, session_log 7. */
function eventOf(record: Buffer): Event {
  const fields = new Map(fieldsOf(record));
  const part = (number: number): Field[] =>
    fieldsOf((fields.get(number) as Buffer | undefined) ?? Buffer.alloc(0));
  const scalars = part(5).map(([number, value]) => {
    expect(number).toBe(1);
    const scalar = new Map(fieldsOf(value as Buffer));
    return [String(scalar.get(1)), scalar.get(2) as number] as const;
  });
  const [status] = part(7);
  return {
    time: fields.get(1) as number,
    step: fields.get(2) as number,
    ...(fields.has(3) ? { version: String(fields.get(3)) } : {}),
    ...(status ? { status: status[1] as number } : {}),
    scalars: Object.fromEntries(scalars),
  };
}

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-tensorboard-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const eventsOf = (file: EventFile): Event[] => recordsOf(readFileSync(file.path)).map(eventOf);

describe("an event file", () => {
  it("says its version, then where counting starts", () => {
    const file = new EventFile(join(root, "fresh"), { now: () => 1_700_000_000_250 });
    expect(readdirSync(join(root, "fresh"))).toEqual([
      expect.stringMatching(/^events\.out\.tfevents\.1700000000\..+\.\d+\.0$/),
    ]);
    expect(eventsOf(file)).toEqual([
      { time: 1_700_000_000.25, step: 0, version: "brain.Event:2", scalars: {} },
      { time: 1_700_000_000.25, step: 0, status: 1, scalars: {} },
    ]);
  });

  it("has iterations and evaluations under their published names", () => {
    const file = new EventFile(join(root, "values"));
    file.iteration({ iteration: 300, loss: 0.5, lr: 0.015625, start: 7 });
    file.evaluation(300, "ConvNet", 0.75, 0.25);
    file.evaluation(400, "ConvNet", 0.5, 0.125);
    const events = eventsOf(file).slice(2);
    expect(events.map(({ step, scalars }) => [step, scalars])).toEqual([
      [300, { Grand_Loss: 0.5, Synthetic_LR: 0.015625, Start_Epoch: 7, Progress: 300 }],
      [
        300,
        {
          "Accuracy/ConvNet": 0.75,
          "Max_Accuracy/ConvNet": 0.75,
          "Std/ConvNet": 0.25,
          "Max_Std/ConvNet": 0.25,
        },
      ],
      [
        400,
        {
          "Accuracy/ConvNet": 0.5,
          "Max_Accuracy/ConvNet": 0.75,
          "Std/ConvNet": 0.125,
          "Max_Std/ConvNet": 0.25,
        },
      ],
    ]);
  });

  it("keeps steps beyond 32 bits, negative values and what is no number", () => {
    const file = new EventFile(join(root, "extremes"), { from: 2 ** 40 + 5 });
    const long = "a long tag ".repeat(20);
    file.scalars(2 ** 40 + 5, { small: -1.5, none: NaN, [long]: Infinity });
    const [, start, last] = eventsOf(file);
    expect([start!.step, start!.status]).toEqual([2 ** 40 + 5, 1]);
    expect([last!.step, last!.scalars]).toEqual([
      2 ** 40 + 5,
      { small: -1.5, none: NaN, [long]: Infinity },
    ]);
  });
});

describe("crc32c", () => {
  it("gives the values of RFC 3720", () => {
    const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(ascending)).toBe(0x46dd794e);
    expect(checksum(ascending)).toBe(0x46dd794e);
  });
});
