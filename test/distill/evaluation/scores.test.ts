/** @file DD-Ranking's robust scores, and which rows of a table give them. */
import { expect, it } from "vitest";

import { formatScores, robustScores } from "../../../distill/evaluation/robust.ts";
import { augmentationRobustScore, labelRobustScore } from "../../../distill/evaluation/scores.ts";
import type { ResultRow } from "../../../distill/evaluation/table.ts";

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

it("has an augmented counterpart, by its definition", () => {
  const accuracies = {
    synthetic: { augmented: 0.7, plain: 0.5 },
    random: { augmented: 0.6, plain: 0.55 },
  };
  const { augmented, plain, beta, score } = augmentationRobustScore(accuracies, 0.25);
  expect([augmented, plain, beta]).toEqual([
    expect.closeTo(0.1, 12),
    expect.closeTo(-0.05, 12),
    expect.closeTo(-0.0125, 12),
  ]);
  expect(score).toBeCloseTo((Math.exp(-0.0125) - 1 / Math.E) / (Math.E - 1 / Math.E), 12);
  expect(() => augmentationRobustScore(accuracies, 2)).toThrow("weight must be in 0..1, got 2");
});

const row = (method: ResultRow["method"], mean: number, variant?: ResultRow["variant"]) => ({
  ...{ method, ipc: 10, network: "MLP", mean, std: 0, seeds: 1, values: [mean] },
  ...{ perClass: [], confusion: [], ...(variant && { variant }) },
});
const rows: ResultRow[] = [
  { ...row("full", 0.85), ipc: 130 },
  row("random", 0.4),
  row("random", 0.35, "augmented"),
  row("random-soft", 0.5),
  row("random-soft", 0.45, "augmented"),
  row("datm", 0.7),
  row("datm", 0.6, "augmented"),
  row("datm", 0.45, "hard"),
];

it("is of a set with soft labels beside random images with soft labels", () => {
  const [scores, ...others] = robustScores(rows, true);
  expect(others).toEqual([]);
  expect(scores!.label).toEqual(
    labelRobustScore({ realHard: 0.85, syntheticHard: 0.45, synthetic: 0.7, random: 0.5 }),
  );
  expect(scores!.augmentation).toEqual(
    augmentationRobustScore({
      synthetic: { augmented: 0.6, plain: 0.7 },
      random: { augmented: 0.45, plain: 0.5 },
    }),
  );
  expect(formatScores([scores!]).split("\n")[1]).toMatch(
    /^distilled \(DATM\) +10 +MLP +22\.8 % +-10\.0 % +40\.0 % +20\.0 %$/,
  );
});

it("is of a set with hard labels beside random images with hard labels", () => {
  const hard = rows.filter(({ variant }) => variant !== "hard");
  expect(robustScores(hard, true)[0]!.label).toEqual(
    labelRobustScore({ realHard: 0.85, syntheticHard: 0.7, synthetic: 0.7, random: 0.4 }),
  );
});

it("is not given where rows are missing", () => {
  expect(robustScores(rows, false)[0]!.label).toBe(undefined);
  expect(robustScores([row("datm", 0.7), row("random", 0.4)], true)).toEqual([]);
});
