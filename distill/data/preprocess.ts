/** @file From raw pixels to a network's input space, and back for pictures. */
import { channelStatistics, type Dataset, type ImageShape } from "./dataset.ts";
import type { Normalisation, Source, Split } from "./dataset.ts";

/** How raw pixels became a network's input. It is stored with everything made from such inputs. */
export interface Preprocessing extends Normalisation {
  readonly kind: "normalise";
}

/**
 * A source in a network's input space: each channel normalised by the published constants, or by
 * the training pixels' own.
 * @throws RangeError when the constants are not one for each channel, or a std is not above 0.
 */
export function preprocess(source: Source): Dataset {
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
 * @throws RangeError when the images are not whole, or the preprocessing is of other channels.
 */
export function toPixels(
  images: Float32Array,
  preprocessing: Preprocessing,
  { channels, height, width }: ImageShape,
): Float32Array<ArrayBuffer> {
  checkNormalisation(preprocessing, channels);
  const { mean, std } = preprocessing;
  const plane = height * width;
  if (images.length % (channels * plane) !== 0) {
    throw new RangeError(
      `toPixels: images must be [N, ${channels}, ${height}, ${width}], got ${images.length} values`,
    );
  }
  const raw = new Float32Array(images.length);
  for (let i = 0; i < raw.length; i++) {
    const c = Math.floor(i / plane) % channels;
    raw[i] = images[i]! * std[c]! + mean[c]!;
  }
  return raw;
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
