/** @file DD-Ranking's label-robust score. */
import { expect, it } from "vitest";

import { labelRobustScore } from "../../../distill/evaluation/scores.ts";

it("has the components and the score of its definition", () => {
  const accuracies = { realHard: 0.85, syntheticHard: 0.45, synthetic: 0.7, random: 0.5 };
  const { hardLabelRecovery, improvementOverRandom, alpha, score } = labelRobustScore(accuracies);
  expect(hardLabelRecovery).toBeCloseTo(0.4, 12);
  expect(improvementOverRandom).toBeCloseTo(0.2, 12);
  expect(alpha).toBeCloseTo(-0.1, 12);
  // (0.9048374 - 0.3678794) / (2.7182818 - 0.3678794)
  expect(score).toBeCloseTo(0.2284536, 6);
  expect(labelRobustScore(accuracies, 1).alpha).toBeCloseTo(0.2, 12);
});

it("is 0 for the worst and 1 for the best", () => {
  const worst = { realHard: 1, syntheticHard: 0, synthetic: 0, random: 1 };
  expect(labelRobustScore(worst).score).toBe(0);
  const best = { realHard: 0, syntheticHard: 1, synthetic: 1, random: 0 };
  expect(labelRobustScore(best).score).toBe(1);
});

it("refuses percentages", () => {
  const percent = { realHard: 85, syntheticHard: 45, synthetic: 70, random: 50 };
  expect(() => labelRobustScore(percent)).toThrow("realHard must be in 0..1, got 85");
});
