/** @file What every data set looks like: its source of raw pixels, and the set in a network's input space. */
import type { Preprocessing } from "./preprocess.ts";
import { memoryRows } from "./rows.ts";
import { storedSplit, type StoredSplit } from "./stored.ts";

/** A data set that can't be used as it is; the message is one sentence that names the file. */
export class DataError extends Error {
  override readonly name = "DataError";
}

export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/**
 * One half of a data set. Labels are small and always in memory; images are asked for by index, so
 * that a source may keep bytes, decode files or read from disk when asked.
 */
export interface Split {
  readonly count: number;
  /** `[count]`, class of each image. */
  readonly labels: Uint8Array | Uint16Array;
  /**
   * The images at `indices`, `[n, C, H, W]`, written into `out` when given (its length must be
   * n·C·H·W). The same indices give the same bits. Throws RangeError on an index outside
   * 0..count-1 and `DataError` when the source can't deliver.
   */
  images(indices: ArrayLike<number>, out?: Float32Array): Float32Array;
}

interface Halves extends ImageShape {
  readonly name: string;
  /** SHA-256 of shape, labels and pixels, in hexadecimal: other data have another. */
  readonly id: string;
  readonly classes: readonly string[];
  readonly train: Split;
  readonly test: Split;
}

/** A data set as its files hold it: images are raw pixels in [0, 1]. */
export interface Source extends Halves {
  /** Published constants of the training pixels; without them they are computed. */
  readonly normalisation?: Normalisation | undefined;
  /** What a user should know of it, a sentence each: that some of its files are missing, for one. */
  readonly notes?: readonly string[] | undefined;
}

/** A data set in the input space of networks. */
export interface Dataset extends Halves {
  readonly preprocessing: Preprocessing;
  /** Training images that are not in `train`, for choosing between what was made from it. */
  readonly heldOut?: Split | undefined;
}

/** Per channel, on raw pixels in [0, 1]: a normalised value is (raw - mean) / std. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** What `byteSplit` is made from. */
export interface ByteImages extends ImageShape {
  /** `[N, C, H, W]` planar bytes in 0..levels. */
  readonly pixels: Uint8Array;
  /** `[N]`. */
  readonly labels: Uint8Array | Uint16Array;
  /** The byte that means 1.0: 255 for ordinary pictures, 16 for the digits. */
  readonly levels: number;
}

/** A split over bytes held in memory, as raw pixels. Throws RangeError when lengths disagree. */
export function byteSplit({ pixels, labels, levels, ...shape }: ByteImages): StoredSplit {
  const size = shape.channels * shape.height * shape.width;
  if (pixels.length !== labels.length * size) {
    throw new RangeError(
      `byteSplit: pixels must hold ${labels.length} images of ${size} bytes, got ${pixels.length} bytes`,
    );
  }
  return storedSplit({ ...shape, rows: memoryRows(pixels, size), labels, levels });
}

/** Throws RangeError unless all `indices` are in 0..count-1 and `out` holds as many images of `size`. */
export function checkRequest(
  indices: ArrayLike<number>,
  out: Float32Array,
  count: number,
  size: number,
): void {
  if (out.length !== indices.length * size) {
    throw new RangeError(
      `images: out must hold ${indices.length * size} values, got ${out.length}`,
    );
  }
  for (let n = 0; n < indices.length; n++) {
    const index = indices[n]!;
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw new RangeError(
        `images: every index must be in 0..${count - 1}, got ${index} as number ${n}`,
      );
    }
  }
}

/**
 * Mean and population standard deviation per channel of a split's images, summed in float64 a few
 * images at a time. Throws RangeError on an empty split.
 */
export function channelStatistics(split: Split, shape: ImageShape): Normalisation {
  const { channels, height, width } = shape;
  if (split.count === 0) throw new RangeError("channelStatistics: the split must not be empty");
  const plane = height * width;
  // Sums about the first pixel of each channel: a constant channel gives exactly 0, not rounding.
  const first = split.images([0]);
  const sum = new Float64Array(channels);
  const squares = new Float64Array(channels);
  const chunk = 256;
  for (let start = 0; start < split.count; start += chunk) {
    const length = Math.min(chunk, split.count - start);
    const images = split.images(Array.from({ length }, (_, i) => start + i));
    for (let i = 0; i < images.length; i++) {
      const c = Math.floor(i / plane) % channels;
      const v = images[i]! - first[c * plane]!;
      sum[c]! += v;
      squares[c]! += v * v;
    }
  }
  const pixels = split.count * plane;
  const mean = Array.from(sum, (s, c) => first[c * plane]! + s / pixels);
  const std = Array.from(sum, (s, c) => {
    const variance = squares[c]! / pixels - (s / pixels) ** 2;
    return Math.sqrt(Math.max(0, variance));
  });
  return { mean, std };
}
