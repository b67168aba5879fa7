/**
 * @file Convexified trajectories: the straight line between two snapshots stands for all between them
 * (MCT, Zhong et al. 2024, arXiv 2406.19827). Each tensor of the network has its own place on the line.
 * Letters: P parameters in L tensors of the given sizes, K steps.
 */

/** Euclidean distances `[L]` between the tensors of two snapshots `[P]`. */
export function distances(
  from: Float32Array,
  to: Float32Array,
  sizes: readonly number[],
): number[] {
  let at = 0;
  return sizes.map((size) => {
    let squares = 0;
    for (const end = at + size; at < end; at++) squares += (to[at]! - from[at]!) ** 2;
    return Math.sqrt(squares);
  });
}

/**
 * The share of its way that each tensor has gone after each step, `[K + 1][L]` from 0 to 1, by the
 * distances `[K][L]` of the steps. A tensor that never moves goes evenly.
 */
export function shares(steps: readonly (readonly number[])[]): number[][] {
  const gone = steps[0]!.map(() => 0);
  const sums = [[...gone], ...steps.map((step) => step.map((d, l) => (gone[l]! += d)))];
  return sums.map((row, k) =>
    row.map((sum, l) => (gone[l]! > 0 ? sum / gone[l]! : k / steps.length)),
  );
}

/** The point `[P]` where each tensor has gone its share `[L]` of the way between two snapshots `[P]`. */
export function pointBetween(
  from: Float32Array,
  to: Float32Array,
  share: readonly number[],
  sizes: readonly number[],
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(from.length);
  let at = 0;
  sizes.forEach((size, l) => {
    const w = share[l]!;
    for (const end = at + size; at < end; at++) out[at] = from[at]! + w * (to[at]! - from[at]!);
  });
  return out;
}

/** Shares `[L]` at a fractional number of steps, between those before and after it. */
export function sharesAt(shares: readonly (readonly number[])[], step: number): number[] {
  const before = Math.floor(step);
  const next = shares[before + 1] ?? shares[before]!;
  return shares[before]!.map((share, l) => share + (step - before) * (next[l]! - share));
}
