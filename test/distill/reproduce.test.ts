/** @file Published numbers beside ours: for every published recipe, with an interval, and with what was changed. */
import { describe, expect, it } from "vitest";

import { besidePublished } from "../../distill/cli/reproduce.ts";
import { confidenceInterval } from "../../distill/evaluation/interval.ts";
import { publishedFor, publishedRecipes } from "../../distill/published.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";

describe("published numbers", () => {
  it("are of shipped recipes, those that go by the published settings", () => {
    const shipped = [...shippedRecipes()].filter(([, file]) => readRecipe(file).dsa);
    expect(shipped.map(([name]) => name).sort()).toEqual([...publishedRecipes].sort());
    expect(publishedFor("digits-ipc1")).toBeUndefined();
    expect(publishedFor("constructor")).toBeUndefined();
  });
});

describe("a confidence interval", () => {
  it("is Student's", () => {
    // 2.776 = t(0.975, 4); std 1, n 5.
    const [low, high] = confidenceInterval({ mean: 0.5, std: 0.01 }, 5)!;
    expect([low, high]).toEqual([
      expect.closeTo(0.5 - 0.012415, 6),
      expect.closeTo(0.5 + 0.012415, 6),
    ]);
    expect(confidenceInterval({ mean: 0.5, std: 0 }, 1)).toBeUndefined();
  });
});

describe("the comparison", () => {
  const published = publishedFor("cifar-10-ipc1")!;
  it("has both numbers and the interval", () => {
    expect(besidePublished(published, { mean: 0.462, std: 0.004, seeds: 5 }, [])).toBe(
      "published: 46.9 % (Guo et al., ICLR 2024, arXiv 2310.05773, Table 1)\n" +
        "here:      46.2 ± 0.4 % (95 % interval 45.7 to 46.7, 5 networks)",
    );
  });

  it("says what was not as published", () => {
    const text = besidePublished(published, { mean: 0.2, std: 0, seeds: 1 }, ["iterations 5"]);
    expect(text.split("\n").slice(1)).toEqual([
      "here:      20.0 ± 0.0 % (one network, so without an interval)",
      "not as published, so the two do not compare: iterations 5",
    ]);
  });
});
