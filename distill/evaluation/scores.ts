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
  for (const [name, value] of Object.entries({ ...accuracies, weight }))
    if (!(value >= 0 && value <= 1))
      throw new RangeError(`labelRobustScore: ${name} must be in 0..1, got ${value}`);
  const { realHard, syntheticHard, synthetic, random } = accuracies;
  const hardLabelRecovery = realHard - syntheticHard;
  const improvementOverRandom = synthetic - random;
  const alpha = weight * improvementOverRandom - (1 - weight) * hardLabelRecovery;
  const score = (Math.exp(alpha) - Math.exp(-1)) / (Math.E - Math.exp(-1));
  return { hardLabelRecovery, improvementOverRandom, alpha, score };
}
