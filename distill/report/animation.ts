/** @file Animated PNG (W3C PNG, third edition, section 11.3.6): pictures of one size, one after another. */
import { crc32, deflateSync } from "node:zlib";

import type { Picture } from "./pictures.ts";

/** A picture and for how long it is shown. */
export interface Frame {
  readonly picture: Picture;
  /** In 0..65535. */
  readonly ms: number;
}

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const COLOUR_TYPE = { 1: 0, 3: 2 } as const;

/**
 * The frames as an animation that repeats without end; programs that know plain PNG only show the
 * first. The same input gives the same bytes. Throws RangeError on no frame, or frames of several
 * sizes.
 */
export function animatedPng(frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
  const first = frames[0]?.picture;
  if (!first) throw new RangeError("animatedPng: there must be a frame, got none");
  const { width, height, channels } = first;
  for (const { picture } of frames)
    if (picture.width !== width || picture.height !== height || picture.channels !== channels)
      throw new RangeError(
        `animatedPng: every frame must be ${width}×${height} of ${channels} channels as the first, ` +
          `got ${picture.width}×${picture.height} of ${picture.channels}`,
      );
  const chunks: Uint8Array[] = [
    SIGNATURE,
    chunk("IHDR", numbers(4, width, height), Uint8Array.of(8, COLOUR_TYPE[channels], 0, 0, 0)),
    chunk("acTL", numbers(4, frames.length, 0)),
  ];
  let sequence = 0;
  for (const { picture, ms } of frames) {
    chunks.push(
      chunk(
        "fcTL",
        numbers(4, sequence++, width, height, 0, 0),
        numbers(2, ms, 1000),
        // Stays when the next one comes, and replaces what was there.
        Uint8Array.of(0, 0),
      ),
    );
    const data = scanlines(picture);
    chunks.push(
      picture === first && sequence === 1
        ? chunk("IDAT", data)
        : chunk("fdAT", numbers(4, sequence++), data),
    );
  }
  chunks.push(chunk("IEND"));
  return Uint8Array.from(Buffer.concat(chunks));
}

/** The picture's rows, each after a 0 that says it is not filtered, compressed. */
function scanlines({ width, height, channels, data }: Picture): Uint8Array {
  const row = width * channels;
  const rows = new Uint8Array(height * (row + 1));
  for (let y = 0; y < height; y++)
    rows.set(data.subarray(y * row, (y + 1) * row), y * (row + 1) + 1);
  return deflateSync(rows, { level: 9 });
}

/** Whole numbers of `bytes` bytes each, the highest byte first. */
function numbers(bytes: 2 | 4, ...values: number[]): Uint8Array {
  const out = Buffer.alloc(bytes * values.length);
  values.forEach((value, i) => out.writeUIntBE(value, i * bytes, bytes));
  return out;
}

function chunk(type: string, ...parts: Uint8Array[]): Uint8Array {
  const body = Buffer.concat([Buffer.from(type, "latin1"), ...parts]);
  return Buffer.concat([numbers(4, body.length - 4), body, numbers(4, crc32(body))]);
}
