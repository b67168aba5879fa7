/** @file Which rows of a results file the page shows. */

import { expect, it } from "vitest";

import { accuraciesIn } from "../../../distill/report/metrics.ts";

const row = { method: "datm", ipc: 10, network: "ConvNetD2", mean: 0.7, std: 0.1, seeds: 2 };

it("are those of the first network, without other labels or augmentation, and of no recipe", () => {
  const rows = [
    row,
    { ...row, network: "MLP", mean: 0.1 },
    { ...row, variant: "hard", mean: 0.2 },
    { ...row, recipe: "mine", mean: 0.3 },
    { ...row, method: "random", mean: 0.4 },
    null,
  ];
  const shown = accuraciesIn(JSON.stringify(rows)).map(({ method, mean }) => [method, mean]);
  expect(shown).toEqual([
    ["datm", 0.7],
    ["random", 0.4],
  ]);
});
