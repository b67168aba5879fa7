/** @file The golden case of ZCA whitening: correlated images, whitened and brought back. */
import type { Gpu } from "../../engine/index.ts";
import type { Split } from "../../distill/data/dataset.ts";
import { toPixels } from "../../distill/data/preprocess.ts";
import { fitWhitening, Whitener } from "../../distill/data/zca.ts";
import type { Check, Outcome } from "./cases.ts";
import { digestError, fill, worstError, type Digest } from "./fill.ts";

interface WhiteningCase {
  readonly seed: number;
  readonly mixSeed: number;
  readonly count: number;
  readonly shape: readonly [number, number, number];
  readonly eps: number;
  readonly whitened: Digest;
  /** The first image whitened, and brought back. */
  readonly first: readonly number[];
  readonly inverseFirst: readonly number[];
}

/** A split of images `[count, …]` held in memory. */
function splitOf(images: Float32Array, size: number): Split {
  const count = images.length / size;
  return {
    count,
    labels: new Uint8Array(count),
    images: (indices, out = new Float32Array(indices.length * size)) => {
      Array.from(indices).forEach((index, n) =>
        out.set(images.subarray(index * size, (index + 1) * size), n * size),
      );
      return out;
    },
  };
}

/** X (I + M) in float64, rounded once. */
function mixed({ seed, mixSeed, count }: WhiteningCase, size: number): Float32Array {
  const x = fill([count, size], seed, 0, 1);
  const mix = fill([size, size], mixSeed, -0.2, 0.2);
  return Float32Array.from({ length: count * size }, (_, i) => {
    const [row, column] = [Math.floor(i / size) * size, i % size];
    let sum = x[i]!;
    for (let k = 0; k < size; k++) sum += x[row + k]! * mix[k * size + column]!;
    return sum;
  });
}

export async function whiteningCase(gpu: Gpu, c: WhiteningCase): Promise<Outcome> {
  const [channels, height, width] = c.shape;
  const shape = { channels, height, width };
  const size = channels * height * width;
  const split = splitOf(mixed(c, size), size);
  const whitening = await fitWhitening(gpu, split, shape, { eps: c.eps });
  using whitener = await Whitener.compile(gpu, whitening);
  const whitened = new Float32Array(c.count * size);
  let at = 0;
  for await (const piece of whitener.pieces(split)) {
    whitened.set(piece, at);
    at += piece.length;
  }
  const first = whitened.subarray(0, size);
  const check = (what: string, error: number): Check => ({ what, error, tolerance: 1e-4 });
  return {
    checks: [
      check("whitened", digestError(whitened, [c.count, size], c.seed + 910, c.whitened)),
      check("first", worstError(first, c.first)),
      check("first and back", worstError(toPixels(first, whitening, shape), c.inverseFirst)),
    ],
  };
}
