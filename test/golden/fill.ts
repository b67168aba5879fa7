/** @file The tensors that golden values were computed from: mulberry32 with a seed, and digests of results. */
import { sizeOf, type Shape } from "../../engine/index.ts";

/** The i-th draw of mulberry32, as a fraction in [0, 1). */
function draw(seed: number, i: number): number {
  const a = (seed + Math.imul(i + 1, 0x6d2b79f5)) >>> 0;
  let t = Math.imul(a ^ (a >>> 15), a | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
}

/** Row-major draws lo + (hi - lo)·u, rounded to float32. */
export function fill(
  shape: Shape,
  seed: number,
  lo: number,
  hi: number,
): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: sizeOf(shape) }, (_, i) => lo + (hi - lo) * draw(seed, i));
}

/** A large tensor's norm, and its product with draws of a known seed. */
export interface Digest {
  readonly l2: number;
  readonly dot: number;
}

/** Error of a digest relative to its norm; `floor` is the size below which the value is rounding. */
export function digestError(
  x: ArrayLike<number>,
  shape: Shape,
  seed: number,
  want: Digest,
  floor = 0,
): number {
  const weights = fill(shape, seed, -1, 1);
  let [squares, dot] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    squares += x[i]! * x[i]!;
    dot += x[i]! * weights[i]!;
  }
  const error = Math.max(Math.abs(Math.sqrt(squares) - want.l2), Math.abs(dot - want.dot));
  return error / Math.max(want.l2, floor);
}

/** L2 distance of two vectors, relative to the norm of `want`. */
export function relativeError(x: ArrayLike<number>, want: ArrayLike<number>): number {
  let [distance, norm] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    distance += (x[i]! - want[i]!) ** 2;
    norm += want[i]! ** 2;
  }
  return Math.sqrt(distance / norm);
}

/** Largest error of a list relative to its largest value. */
export function worstError(x: ArrayLike<number>, want: ArrayLike<number>): number {
  const values = Array.from(want);
  const scale = Math.max(...values.map(Math.abs));
  return Math.max(...values.map((v, i) => Math.abs(x[i]! - v))) / scale;
}
