/** @file What recipes say of teachers: which epochs are kept, and settings for teachers alone. */
import { describe, expect, it } from "vitest";

import { parseRecipe } from "../../distill/recipe-file.ts";
import { keptEpochs, RecipeError, resolveTeaching } from "../../distill/recipe.ts";

const text = (teachers = "", more = ""): string => `dataset: digits
ipc: 1
network: ConvNetD2
teachers:
  experts: 6
  epochs: 15
  batch: 32
  ${teachers}
syn_steps: 20
expert_epochs: 2
batch_syn: 10
lr_img: 10
lr_y: 2
lr_lr: 1e-4
max_start_epoch: 4
${more}`;

function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof RecipeError) return error.problems;
    throw error;
  }
  throw new Error("the recipe was accepted");
}

describe("kept epochs", () => {
  it("are all, unless the recipe says otherwise", () => {
    const { teachers } = parseRecipe(text(), "r.yaml");
    expect(keptEpochs(teachers)).toEqual([0, 15]);
    const { teachers: some } = parseRecipe(text("keep_epochs: 0..5"), "r.yaml");
    expect(keptEpochs(some)).toEqual([0, 5]);
    const late = text("keep_epochs: 2..15", "min_start_epoch: 2");
    expect(keptEpochs(parseRecipe(late, "r.yaml").teachers)).toEqual([2, 15]);
  });

  it.each([
    ["keep_epochs: 0..16", "must end at the last epoch (15) at most, got 0..16"],
    ["keep_epochs: 5..4", "must not go backwards, got 5..4"],
    ["keep_epochs: 0..4", "must include the epochs that are matched (0..5), got 0..4"],
    ["keep_epochs: 1..15", "must include the epochs that are matched (0..5), got 1..15"],
    ["keep_epochs: 5..5\n  line: true", "must be two epochs, got 5..5"],
  ])("are refused where they do not fit: %j", (line, sentence) => {
    expect(problemsOf(() => parseRecipe(text(line), "r.yaml"))).toEqual([
      `r.yaml, line 8: teachers.keep_epochs ${sentence}`,
    ]);
  });
});

describe("resolveTeaching", () => {
  const base = parseRecipe(text(), "r.yaml");

  it("is what a recipe says of its teachers, with flags over it", () => {
    const { dataset, normalisation, zca, network, width, seed, teachers } = base;
    const { dsa, dsa_strategy } = base;
    const same = { dataset, normalisation, zca, network, width, dsa, dsa_strategy };
    expect(resolveTeaching(base, {})).toEqual({ ...same, seed, teachers });
    expect(resolveTeaching(base, { seed: 4, teachers: { lr: 0.2 } })).toEqual({
      ...{ ...same, seed: 4 },
      teachers: { ...teachers, lr: 0.2 },
    });
  });

  it("need not suit the matching, but itself", () => {
    expect(resolveTeaching(base, { teachers: { epochs: 1 } }).teachers.epochs).toBe(1);
    const wrong = { teachers: { epochs: 1, keep_epochs: "0..2" } };
    expect(problemsOf(() => resolveTeaching(base, wrong))).toEqual([
      "command line: teachers.keep_epochs must end at the last epoch (1) at most, got 0..2",
    ]);
  });

  it("stands alone where enough is given", () => {
    const given = { dataset: "digits", network: "ConvNetD2" };
    const { teachers, width } = resolveTeaching(undefined, {
      ...given,
      teachers: { experts: 2, epochs: 3 },
    });
    expect(width).toBe(128);
    expect(teachers).toMatchObject({ batch: 256, lr: 0.01, momentum: 0, weight_decay: 0 });
    expect(problemsOf(() => resolveTeaching(undefined, given))).toEqual([
      "command line: teachers.experts must be an integer from 1, got nothing",
      "command line: teachers.epochs must be an integer from 1, got nothing",
    ]);
  });
});
