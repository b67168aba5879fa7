/**
 * @file Scores of a distilled set that its soft labels alone cannot win: DD-Ranking (Li et al. 2025,
 * arXiv 2505.13300).
 */

/** Test accuracies as fractions in 0..1, of the same network by the same protocol. */
export interface ScoredAccuracies {
  /** Trained on the whole real training set. */
  readonly realHard: number;
  /** Trained on the distilled images with hard labels. */
  readonly syntheticHard: number;
  /** Trained on the distilled set as it is. */
  readonly synthetic: number;
  /** Trained on as many random real images, labelled the way the distilled ones are. */
  readonly random: number;
}

/** A label-robust score with its parts, all fractions. */
export interface RobustScore {
  /** HLR = acc(real, hard) - acc(synthetic, hard): what is not recovered; less is better. */
  readonly hardLabelRecovery: number;
  /** IOR = acc(synthetic) - acc(random): more is better. */
  readonly improvementOverRandom: number;
  /** w · IOR - (1 - w) · HLR, in -1..1. */
  readonly alpha: number;
  /** LRS = (e^α - e^-1) / (e - e^-1), in 0..1. */
  readonly score: number;
}

/**
 * The label-robust score. The published program puts percentages into the exponential; these are
 * fractions, as the definition has them.
 * @throws RangeError when an accuracy or the weight is outside 0..1.
 */
export function labelRobustScore(accuracies: ScoredAccuracies, weight = 0.5): RobustScore {
  checkFractions("labelRobustScore", { ...accuracies, weight });
  const { realHard, syntheticHard, synthetic, random } = accuracies;
  const hardLabelRecovery = realHard - syntheticHard;
  const improvementOverRandom = synthetic - random;
  const alpha = weight * improvementOverRandom - (1 - weight) * hardLabelRecovery;
  return { hardLabelRecovery, improvementOverRandom, alpha, score: scaled(alpha) };
}

/** Test accuracies as fractions in 0..1: of networks whose images were augmented, and were not. */
export interface AugmentedAccuracies {
  /** Trained on the distilled set. */
  readonly synthetic: { readonly augmented: number; readonly plain: number };
  /** Trained on as many random real images, labelled the way the distilled ones are. */
  readonly random: { readonly augmented: number; readonly plain: number };
}

/** An augmentation-robust score with its parts, all fractions. */
export interface AugmentationScore {
  /** acc(synthetic) - acc(random), both augmented; more is better. */
  readonly augmented: number;
  /** The same without augmentation. */
  readonly plain: number;
  /** γ · augmented + (1 - γ) · plain, in -1..1. */
  readonly beta: number;
  /** ARS = (e^β - e^-1) / (e - e^-1), in 0..1. */
  readonly score: number;
}

/**
 * The augmentation-robust score; `weight` is γ.
 * @throws RangeError when an accuracy or the weight is outside 0..1.
 */
export function augmentationRobustScore(
  { synthetic, random }: AugmentedAccuracies,
  weight = 0.5,
): AugmentationScore {
  const what = "augmentationRobustScore";
  checkFractions(what, { ...synthetic, weight });
  checkFractions(what, { ...random });
  const augmented = synthetic.augmented - random.augmented;
  const plain = synthetic.plain - random.plain;
  const beta = weight * augmented + (1 - weight) * plain;
  return { augmented, plain, beta, score: scaled(beta) };
}

/** -1..1 to 0..1, steeper to the end. */
const scaled = (x: number): number => (Math.exp(x) - Math.exp(-1)) / (Math.E - Math.exp(-1));

function checkFractions(what: string, values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values))
    if (!(value >= 0 && value <= 1))
      throw new RangeError(`${what}: ${name} must be in 0..1, got ${value}`);
}
