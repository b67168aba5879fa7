/** @file The data set that every source looks like to the rest of the program, and normalisation. */

/** A data set that can't be used as it is; the message is one sentence that names the file. */
export class DataError extends Error {
  override readonly name = "DataError";
}

export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Per channel, on raw pixels in [0, 1]: a normalised value is (raw - mean) / std. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
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
   * The images at `indices`, normalised, `[n, C, H, W]`, written into `out` when given (its length
   * must be n·C·H·W). The same indices give the same bits. Throws RangeError on an index outside
   * 0..count-1 and `DataError` when the source can't deliver.
   */
  images(indices: ArrayLike<number>, out?: Float32Array): Float32Array;
}

export interface Dataset extends ImageShape, Normalisation {
  readonly name: string;
  readonly classes: readonly string[];
  readonly train: Split;
  readonly test: Split;
}

/** What `byteSplit` is made from. */
export interface ByteImages extends ImageShape, Normalisation {
  /** `[N, C, H, W]` planar bytes in 0..levels. */
  readonly pixels: Uint8Array;
  /** `[N]`. */
  readonly labels: Uint8Array | Uint16Array;
  /** The byte that means 1.0: 255 for ordinary pictures, 16 for the digits. */
  readonly levels: number;
}

/**
 * A split over bytes held in memory. Each channel has a table of its 256 normalised values, so an
 * image costs one look-up a pixel. Throws RangeError when lengths disagree or a std is not positive.
 */
export function byteSplit(source: ByteImages): Split {
  const { channels, height, width, pixels, labels } = source;
  checkNormalisation(source, channels);
  const plane = height * width;
  const size = channels * plane;
  const count = labels.length;
  if (pixels.length !== count * size) {
    throw new RangeError(
      `byteSplit: pixels must hold ${count} images of ${size} bytes, got ${pixels.length} bytes`,
    );
  }
  const tables = source.mean.map((mean, c) =>
    Float32Array.from({ length: 256 }, (_, v) => (v / source.levels - mean) / source.std[c]!),
  );
  return {
    count,
    labels,
    images(indices, out = new Float32Array(indices.length * size)) {
      if (out.length !== indices.length * size) {
        throw new RangeError(
          `images: out must hold ${indices.length * size} values, got ${out.length}`,
        );
      }
      for (let n = 0; n < indices.length; n++) {
        const index = indices[n]!;
        if (!Number.isInteger(index) || index < 0 || index >= count) {
          throw new RangeError(`images: every index must be in 0..${count - 1}, got ${index}`);
        }
        for (let c = 0; c < channels; c++) {
          const table = tables[c]!;
          const from = index * size + c * plane;
          const to = n * size + c * plane;
          for (let p = 0; p < plane; p++) out[to + p] = table[pixels[from + p]!]!;
        }
      }
      return out;
    },
  };
}

/**
 * Normalised `images` `[N, C, H, W]` back to raw pixels, x·std + mean, in a new array. Real pictures
 * come back in [0, 1]; learned ones may leave it, and nothing is clamped here.
 */
export function denormalise(
  images: Float32Array,
  like: ImageShape & Normalisation,
): Float32Array<ArrayBuffer> {
  const { channels, height, width, mean, std } = like;
  checkNormalisation(like, channels);
  const plane = height * width;
  if (images.length % (channels * plane) !== 0) {
    throw new RangeError(
      `denormalise: images must be [N, ${channels}, ${height}, ${width}], got ${images.length} values`,
    );
  }
  const raw = new Float32Array(images.length);
  for (let i = 0; i < raw.length; i++) {
    const c = Math.floor(i / plane) % channels;
    raw[i] = images[i]! * std[c]! + mean[c]!;
  }
  return raw;
}

/**
 * Mean and population standard deviation per channel of what `split.images` returns, summed in
 * float64 a few images at a time. For the statistics of raw pixels pass a split made with mean 0 and
 * std 1. Throws RangeError on an empty split.
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

function checkNormalisation({ mean, std }: Normalisation, channels: number): void {
  if (mean.length !== channels || std.length !== channels) {
    throw new RangeError(
      `normalisation: mean and std must have one value for each of ${channels} channels, ` +
        `got ${mean.length} and ${std.length}`,
    );
  }
  const bad = std.find((s) => !(s > 0));
  if (bad !== undefined) throw new RangeError(`normalisation: std must be above 0, got ${bad}`);
}
