/** @file The robust scores of a table's distilled sets, as lines under it. */
import { BASELINES, type Method } from "./baselines.ts";
import { augmentationRobustScore, labelRobustScore } from "./scores.ts";
import type { AugmentationScore, RobustScore } from "./scores.ts";
import { aligned, rowTitle, type ResultRow, type Variant } from "./table.ts";

/** The scores of one distilled set with one network, as far as the rows have what they need. */
export interface RowScores {
  readonly row: ResultRow;
  readonly label?: RobustScore;
  readonly augmentation?: AugmentationScore;
}

/**
 * The label- and augmentation-robust scores of the distilled sets, from the rows' means. The random
 * images have teachers' labels where the set has soft ones, and hard ones where it has hard ones.
 * `hardened` says that sets with soft labels were scored with hard ones, too.
 */
export function robustScores(rows: readonly ResultRow[], hardened: boolean): RowScores[] {
  const distilled = rows.filter(
    ({ method, variant }) => variant === undefined && !BASELINES.some((name) => name === method),
  );
  return distilled.flatMap((row) => {
    const like = (method: Method, variant?: Variant): number | undefined =>
      rows.find(
        (other) =>
          other.method === method &&
          other.variant === variant &&
          other.network === row.network &&
          (method === "full" || other.ipc === row.ipc) &&
          (method !== row.method || other.recipe === row.recipe),
      )?.mean;
    const hard = like(row.method, "hard");
    const drawn = hard === undefined ? "random" : "random-soft";
    const [realHard, random] = [like("full"), like(drawn)];
    const other = like(row.method, "augmented") === undefined ? "plain" : "augmented";
    const [otherSynthetic, otherRandom] = [like(row.method, other), like(drawn, other)];
    const usual = other === "plain" ? "augmented" : "plain";
    const scores = {
      ...(hardened &&
        realHard !== undefined &&
        random !== undefined && {
          label: labelRobustScore({
            ...{ realHard, random, synthetic: row.mean, syntheticHard: hard ?? row.mean },
          }),
        }),
      ...(random !== undefined &&
        otherSynthetic !== undefined &&
        otherRandom !== undefined && {
          augmentation: augmentationRobustScore({
            synthetic: both({ [usual]: row.mean, [other]: otherSynthetic }),
            random: both({ [usual]: random, [other]: otherRandom }),
          }),
        }),
    };
    return Object.keys(scores).length > 0 ? [{ row, ...scores }] : [];
  });
}

const both = ({ augmented = 0, plain = 0 }: { augmented?: number; plain?: number }) => ({
  augmented,
  plain,
});

/** The scores as text with all that they are made of in percent, or nothing where there are none. */
export function formatScores(scores: readonly RowScores[]): string {
  const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;
  const heading = ({ row }: RowScores): string[] => [
    rowTitle(row, row.recipe),
    String(row.ipc),
    row.network,
  ];
  const labels = scores.flatMap((entry) => {
    if (!entry.label) return [];
    const { score, alpha, hardLabelRecovery, improvementOverRandom } = entry.label;
    const parts = [score, alpha, hardLabelRecovery, improvementOverRandom].map(percent);
    return [[...heading(entry), ...parts]];
  });
  const augmentations = scores.flatMap((entry) => {
    if (!entry.augmentation) return [];
    const { score, beta, augmented, plain } = entry.augmentation;
    return [[...heading(entry), ...[score, beta, augmented, plain].map(percent)]];
  });
  const columns = ["images a class", "network"];
  const tables = [];
  if (labels.length > 0)
    tables.push(
      aligned([["label-robust score", ...columns, "LRS", "alpha", "HLR", "IOR"], ...labels]),
    );
  if (augmentations.length > 0)
    tables.push(
      aligned([
        ["augmentation-robust score", ...columns, "ARS", "beta", "augmented", "not augmented"],
        ...augmentations,
      ]),
    );
  return tables.join("\n\n");
}
