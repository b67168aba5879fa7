/** @file Which parameters are matched: weights 1 or 0 `[P]` in the matching loss. */

/** Weights that leave out the first `ratio` of all parameters, the shallow layers (PAD, Li et al. 2024, arXiv 2408.03360). */
export function depthMask(parameters: number, ratio: number): Float32Array<ArrayBuffer> {
  return new Float32Array(parameters).fill(1).fill(0, 0, Math.floor(ratio * parameters));
}

/**
 * `mask` without the `ratio` of its parameters that are nearest to their targets: common patterns,
 * which are learned first, would drown the others (EDF's Common Pattern Dropout, Wang et al. 2024,
 * arXiv 2410.17193). Of equally near ones the first are left out.
 */
export function withoutNearest(
  mask: Float32Array<ArrayBuffer>,
  theta: Float32Array,
  target: Float32Array,
  ratio: number,
): Float32Array<ArrayBuffer> {
  const distances = theta.map((value, i) =>
    mask[i] === 0 ? Infinity : Math.abs(value - target[i]!),
  );
  const sorted = distances.toSorted();
  const matched = mask.reduce((sum, weight) => sum + weight, 0);
  const dropped = Math.floor(ratio * matched);
  if (dropped === 0) return mask;
  const bound = sorted[dropped - 1]!;
  // As many of those at the bound itself as complete the number.
  let atBound = dropped - sorted.findIndex((distance) => distance === bound);
  return mask.map((weight, i) => {
    if (weight === 0 || distances[i]! > bound) return weight;
    return distances[i]! < bound || atBound-- > 0 ? 0 : weight;
  });
}
