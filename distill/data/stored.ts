/** @file Splits over stored records: bytes or float32 of any axis order become raw pixels when asked for. */
import { createHash, type Hash } from "node:crypto";

import { checkRequest, type ImageShape, type Split } from "./dataset.ts";
import type { Rows } from "./rows.ts";

/** What a split is made from. */
export interface StoredImages extends ImageShape {
  /** A record an image. */
  readonly rows: Rows;
  /** `[N]`. */
  readonly labels: Uint8Array | Uint16Array;
  /** The stored value that means 1.0. */
  readonly levels: number;
  /** How a pixel is stored, by default as a byte; float32 is little-endian. */
  readonly element?: "u8" | "f32" | undefined;
  /** Which element of a record is pixel p of `[C, H, W]`; by default they lie in that order. */
  readonly order?: Uint32Array | undefined;
}

/** A split that can show its bytes. */
export interface StoredSplit extends Split {
  readonly stored: StoredImages;
}

/** Order of records `[H, W, C]`. */
export function channelsLast({ channels, height, width }: ImageShape): Uint32Array {
  const plane = height * width;
  return Uint32Array.from({ length: channels * plane }, (_, p) => {
    return (p % plane) * channels + Math.floor(p / plane);
  });
}

/** Order of grey records whose columns lie one after the other. */
export function columnsFirst({ height, width }: ImageShape): Uint32Array {
  return Uint32Array.from({ length: height * width }, (_, p) => {
    return (p % width) * height + Math.floor(p / width);
  });
}

/** Raw pixels `[N, C, H, W]` of stored records. Throws RangeError when lengths disagree. */
export function storedSplit(stored: StoredImages): StoredSplit {
  const { channels, height, width, rows, labels, levels, element = "u8", order } = stored;
  const size = channels * height * width;
  const bytes = size * (element === "u8" ? 1 : 4);
  const count = labels.length;
  if (rows.count !== count || (count > 0 && rows.size !== bytes)) {
    throw new RangeError(
      `storedSplit: there must be ${count} records of ${bytes} bytes, got ${rows.count} of ${rows.size}`,
    );
  }
  const raw = Float32Array.from({ length: 256 }, (_, v) => v / levels);
  const floats = new Float32Array(element === "f32" ? size : 0);
  const floatBytes = new Uint8Array(floats.buffer);
  return {
    count,
    labels,
    stored,
    images(indices, out = new Float32Array(indices.length * size)) {
      checkRequest(indices, out, count, size);
      rows.each(indices, (record, at, n) => {
        const to = n * size;
        if (element === "f32") {
          floatBytes.set(record.subarray(at, at + bytes));
          for (let p = 0; p < size; p++) out[to + p] = floats[order ? order[p]! : p]! / levels;
        } else if (order) {
          for (let p = 0; p < size; p++) out[to + p] = raw[record[at + order[p]!]!]!;
        } else {
          for (let p = 0; p < size; p++) out[to + p] = raw[record[at + p]!]!;
        }
      });
      return out;
    },
  };
}

/** Records that are hashed at once. */
const HASHED = 1024;

/**
 * SHA-256 of shape, number of classes, labels and pixels of both splits: the same set has the same
 * one whatever file it comes from, if its values are stored alike.
 */
export function contentId(train: StoredSplit, test: StoredSplit, classes: number): string {
  const hash = beginId(train.stored, classes, [train.labels, test.labels]);
  for (const split of [train, test]) {
    const { rows, order, element } = split.stored;
    const width = element === "f32" ? 4 : 1;
    for (let from = 0; from < rows.count; from += HASHED) {
      const length = Math.min(HASHED, rows.count - from);
      rows.each(
        Array.from({ length }, (_, i) => from + i),
        (bytes, at) => {
          const record = bytes.subarray(at, at + rows.size);
          hash.update(order ? reordered(record, rows.size, order, width) : record);
        },
      );
    }
  }
  return hash.digest("hex");
}

/** The hash of {@link contentId} before the pixels of the training and the test images come. */
export function beginId(
  { channels, height, width, levels, element = "u8" }: Omit<StoredImages, "rows" | "labels">,
  classes: number,
  labels: readonly (Uint8Array | Uint16Array)[],
): Hash {
  const hash = createHash("sha256");
  const counts = labels.map((half) => half.length);
  hash.update(JSON.stringify({ channels, height, width, levels, element, classes, counts }));
  for (const half of labels) hash.update(new Uint8Array(Uint16Array.from(half).buffer));
  return hash;
}

/** Records whose elements of `width` bytes come in `order`. */
export function reordered(
  records: Uint8Array,
  size: number,
  order: Uint32Array,
  width: number,
): Uint8Array {
  const out = new Uint8Array(records.length);
  for (let at = 0; at < records.length; at += size)
    for (let p = 0; p < order.length; p++)
      for (let b = 0; b < width; b++)
        out[at + p * width + b] = records[at + order[p]! * width + b]!;
  return out;
}

/** Class numbers below `classes`, in as few bytes as hold them. */
export function labelArray(numbers: ArrayLike<number>, classes: number): Uint8Array | Uint16Array {
  return classes <= 256 ? Uint8Array.from(numbers) : Uint16Array.from(numbers);
}
