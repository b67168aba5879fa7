/** @file From raw pixels to a network's input space, and back for pictures. */
import { channelStatistics, type Dataset, type ImageShape } from "./dataset.ts";
import type { Normalisation, Source, Split } from "./dataset.ts";

/** Each channel has its own mean and scale: an input is (raw - mean) / std. */
export interface Normalising extends Normalisation {
  readonly kind: "normalise";
}

/** Pixels flattened to D = C·H·W are made uncorrelated (DATM.md §1): an input is (raw - mean) W. */
export interface Whitening {
  readonly kind: "zca";
  /** `[D]`, of the raw training pixels. */
  readonly mean: Float32Array<ArrayBuffer>;
  /** W = (Σ + eps I)^(-1/2), symmetric `[D, D]`; Σ is the unbiased covariance of the training pixels. */
  readonly whiten: Float32Array<ArrayBuffer>;
  /** W⁻¹ `[D, D]`, symmetric, the way back. */
  readonly colour: Float32Array<ArrayBuffer>;
  readonly eps: number;
}

/** How raw pixels became a network's input. It is stored with everything made from such inputs. */
export type Preprocessing = Normalising | Whitening;

/** A preprocessing in words, the same for the same: what is made from its images carries it. */
export function describePreprocessing(
  preprocessing: Normalising | Pick<Whitening, "kind" | "eps">,
): string {
  if (preprocessing.kind === "zca") return `zca eps ${preprocessing.eps}`;
  const { mean, std } = preprocessing;
  return `normalise mean ${mean.join(" ")} std ${std.join(" ")}`;
}

/**
 * A source in a network's input space, each channel normalised by the published constants, or by
 * the training pixels' own.
 * @throws RangeError when the constants are not one for each channel, or a std is not above 0.
 */
export function normalise(source: Source): Dataset {
  const { normalisation = channelStatistics(source.train, source), ...rest } = source;
  checkNormalisation(normalisation, source.channels);
  const split = (half: Split): Split => normalised(half, normalisation, source);
  return {
    ...rest,
    preprocessing: { kind: "normalise", ...normalisation },
    train: split(source.train),
    test: split(source.test),
  };
}

function normalised(split: Split, { mean, std }: Normalisation, shape: ImageShape): Split {
  const plane = shape.height * shape.width;
  return {
    ...split,
    images(indices, out) {
      const images = split.images(indices, out);
      for (let at = 0, c = 0; at < images.length; at += plane, c = (c + 1) % mean.length)
        for (let i = at; i < at + plane; i++) images[i] = (images[i]! - mean[c]!) / std[c]!;
      return images;
    },
  };
}

/**
 * Images `[N, C, H, W]` of a network's input space as raw pixels, in a new array. Real pictures come
 * back in [0, 1]; learned ones may leave it, and nothing is clamped here.
 * @throws RangeError when the images are not whole, or the preprocessing is of others.
 */
export function toPixels(
  images: Float32Array,
  preprocessing: Preprocessing,
  shape: ImageShape,
): Float32Array<ArrayBuffer> {
  checkFits("toPixels", images, preprocessing, shape);
  if (preprocessing.kind === "zca") {
    const { mean, colour } = preprocessing;
    const raw = timesMatrix(images, colour, mean.length);
    return raw.map((value, i) => value + mean[i % mean.length]!);
  }
  const { mean, std } = preprocessing;
  const plane = shape.height * shape.width;
  return Float32Array.from(images, (value, i) => {
    const c = Math.floor(i / plane) % shape.channels;
    return value * std[c]! + mean[c]!;
  });
}

/**
 * Raw pixels `[N, C, H, W]` as images of a network's input space, in a new array: the way back from
 * {@link toPixels}, and throws as it.
 */
export function fromPixels(
  pixels: Float32Array,
  preprocessing: Preprocessing,
  shape: ImageShape,
): Float32Array<ArrayBuffer> {
  checkFits("fromPixels", pixels, preprocessing, shape);
  if (preprocessing.kind === "zca") {
    const { mean, whiten } = preprocessing;
    const centred = pixels.map((value, i) => value - mean[i % mean.length]!);
    return timesMatrix(centred, whiten, mean.length);
  }
  const { mean, std } = preprocessing;
  const plane = shape.height * shape.width;
  return Float32Array.from(pixels, (value, i) => {
    const c = Math.floor(i / plane) % shape.channels;
    return (value - mean[c]!) / std[c]!;
  });
}

/** Rows `[N, D]` times a symmetric matrix `[D, D]`, a row of it at a time for all of them. */
function timesMatrix(
  rows: Float32Array,
  matrix: Float32Array,
  size: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows.length);
  for (let d = 0; d < size; d++) {
    const row = matrix.subarray(d * size, (d + 1) * size);
    for (let at = 0; at < rows.length; at += size) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += rows[at + k]! * row[k]!;
      out[at + d] = sum;
    }
  }
  return out;
}

function checkFits(
  what: string,
  images: Float32Array,
  preprocessing: Preprocessing,
  { channels, height, width }: ImageShape,
): void {
  const size = channels * height * width;
  if (images.length % size !== 0) {
    throw new RangeError(
      `${what}: images must be [N, ${channels}, ${height}, ${width}], got ${images.length} values`,
    );
  }
  if (preprocessing.kind === "normalise") checkNormalisation(preprocessing, channels);
  else if (preprocessing.mean.length !== size) {
    throw new RangeError(
      `whitening: it must be of images of ${size} values, got one of ${preprocessing.mean.length}`,
    );
  }
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
