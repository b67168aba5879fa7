/** @file Labels as logits and as class numbers. */

/**
 * Beside a 0, the logit at which softmax gives 1 and 0 exactly, in float32 and float64 alike, since
 * exp(-1000) is 0. Such labels have no gradient.
 */
export const EXACT = -1000;

/** Label logits `[N, K]` of hard labels `[N]`: 0 at the class and `off` elsewhere, so that softmax gives almost one 1. */
export function classLogits(
  labels: ArrayLike<number>,
  classes: number,
  off = -20,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(labels.length * classes).fill(off);
  for (let i = 0; i < labels.length; i++) out[i * classes + labels[i]!] = 0;
  return out;
}

/** The likeliest class of each image, `[N]`, by its label logits `[N, K]`; the first of equals. */
export function likeliest(logits: Float32Array, classes: number): number[] {
  return Array.from({ length: logits.length / classes }, (_, i) => {
    const row = logits.subarray(i * classes, (i + 1) * classes);
    return row.indexOf(Math.max(...row));
  });
}
