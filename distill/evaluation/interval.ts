/** @file How far the mean of a few accuracies may be from that of very many. */

/** Student's t at 97.5 % for 1, 2, 3 … degrees of freedom; the normal distribution's beyond. */
const T = [
  ...[12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228],
  ...[2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086],
  ...[2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042],
];
const NORMAL = 1.96;

/**
 * The 95 % confidence interval of a mean, by Student's t: of `count` values whose sample has the
 * standard deviation `std`. Nothing for fewer than two.
 */
export function confidenceInterval(
  { mean, std }: { readonly mean: number; readonly std: number },
  count: number,
): [low: number, high: number] | undefined {
  if (count < 2) return undefined;
  const half = ((T[count - 2] ?? NORMAL) * std) / Math.sqrt(count);
  return [mean - half, mean + half];
}
