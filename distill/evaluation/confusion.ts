/** @file Which classes a classifier takes for which. */

/** Counts `[K, K]`: row k, column j: images of class k that were taken for class j. */
export type Confusion = readonly (readonly number[])[];

/** The confusion matrix `[K, K]` of true and predicted classes `[N]`. */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): Confusion {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]![predicted[i]!]!++;
  return counts;
}

/** The sum of matrices of the same classes, of at least one. */
export const addConfusions = (matrices: readonly Confusion[]): Confusion =>
  matrices.reduce((sum, next) => sum.map((row, k) => row.map((n, j) => n + next[k]![j]!)));

const total = (row: readonly number[]): number => row.reduce((a, b) => a + b, 0);

/** Share of all images that are on the diagonal, in 0..1. */
export const accuracyOf = (confusion: Confusion): number =>
  total(confusion.map((row, k) => row[k]!)) / total(confusion.map(total));

/** Share of each class's images that are taken for it, `[K]` in 0..1; 0 for a class without images. */
export const classAccuracies = (confusion: Confusion): number[] =>
  confusion.map((row, k) => (total(row) > 0 ? row[k]! / total(row) : 0));

/** The matrix as aligned text, a row a class; `classes` are names. */
export function formatConfusion(confusion: Confusion, classes: readonly string[]): string {
  const accuracies = classAccuracies(confusion);
  const lines = [
    ["true \\ taken for", ...classes, "accuracy"],
    ...confusion.map((row, k) => [
      classes[k]!,
      ...row.map(String),
      `${(100 * accuracies[k]!).toFixed(1)} %`,
    ]),
  ];
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) => line.map((cell, i) => cell[i === 0 ? "padEnd" : "padStart"](widths[i]!)))
    .map((cells) => cells.join("  "))
    .join("\n");
}
