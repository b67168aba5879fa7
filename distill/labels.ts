/** @file Labels: as class numbers, as logits and as probabilities. */

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

/** Row-wise class of the largest of logits `[N, K]`; the first of equal ones. */
export function predictedClasses(logits: Float32Array, classes: number): Uint16Array {
  return Uint16Array.from({ length: logits.length / classes }, (_, i) => {
    let best = 0;
    for (let k = 1; k < classes; k++)
      if (logits[i * classes + k]! > logits[i * classes + best]!) best = k;
    return best;
  });
}

/** Fraction of logits `[N, K]` whose largest is at the label. */
export function accuracy(logits: Float32Array, labels: ArrayLike<number>): number {
  const classes = logits.length / labels.length;
  const predicted = predictedClasses(logits, classes);
  return predicted.filter((k, i) => k === labels[i]).length / labels.length;
}

/** Class numbers as probabilities `[N, K]`: one 1 a row. */
export function hardTargets(labels: ArrayLike<number>, classes: number): Float32Array {
  const out = new Float32Array(labels.length * classes);
  for (let i = 0; i < labels.length; i++) out[i * classes + labels[i]!] = 1;
  return out;
}

/** Softmax of each row of logits `[N, K]`. */
export function softTargets(logits: Float32Array, classes: number): Float32Array {
  const out = new Float32Array(logits.length);
  for (let at = 0; at < logits.length; at += classes) {
    const row = Array.from(logits.subarray(at, at + classes));
    const top = Math.max(...row);
    const powers = row.map((z) => Math.exp(z - top));
    const total = powers.reduce((a, b) => a + b, 0);
    out.set(
      powers.map((p) => p / total),
      at,
    );
  }
  return out;
}
