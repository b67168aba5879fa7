/** @file Recipes: defaults, refusals with line and suggestion, overrides, and a stable text. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

import {
  parseRecipe,
  readRecipe,
  recipeToYaml,
  shippedRecipes,
} from "../../distill/recipe-file.ts";
import { RecipeError, resolveRecipe } from "../../distill/recipe.ts";
import type { RecipeOverrides } from "../../distill/recipe.ts";

const minimal = `dataset: digits
ipc: 1
network: ConvNetD2
teachers:
  experts: 6
  epochs: 15
  batch: 32
  lr: 0.05
syn_steps: 20
expert_epochs: 2
batch_syn: 10
lr_img: 10
lr_y: 2
lr_lr: 1e-4
max_start_epoch: 4
`;

function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(RecipeError);
    expect((error as RecipeError).message).toBe((error as RecipeError).problems.join("\n"));
    return (error as RecipeError).problems;
  }
  throw new Error("the recipe was accepted");
}

const refusal = (text: string) => problemsOf(() => parseRecipe(text, "r.yaml"));

/** The minimal recipe with one line in place of the one that starts alike. */
const withLine = (start: string, line: string) =>
  minimal.replace(new RegExp(`^${start}.*$`, "m"), line);

describe("parseRecipe", () => {
  it("fills in the published defaults", () => {
    expect(parseRecipe(minimal, "r.yaml")).toEqual({
      dataset: "digits",
      normalisation: "published",
      zca: false,
      ipc: 1,
      network: "ConvNetD2",
      width: 128,
      seed: 0,
      method: "datm",
      labels: "soft",
      init: "samples_predicted_correctly",
      teachers: {
        experts: 6,
        epochs: 15,
        optimizer: "gsam",
        batch: 32,
        lr: 0.05,
        momentum: 0,
        weight_decay: 0,
        rho: 0.01,
        alpha: 0.3,
        adaptive: true,
        precision: "float32",
        line: false,
        line_spacing: "distance",
      },
      syn_steps: 20,
      expert_epochs: 2,
      iterations: 10_000,
      trajectories: 1,
      batch_syn: 10,
      gradient: "exact",
      lr_img: 10,
      momentum_img: 0.5,
      lr_y: 2,
      momentum_y: 0.9,
      lr_lr: 1e-4,
      momentum_lr: 0.5,
      lr_teacher: 0.01,
      min_start_epoch: 0,
      max_start_epoch: 4,
      sequential: false,
      dsa: false,
      dsa_strategy: "color_crop_cutout_flip_scale_rotate",
      threshold: 1,
      ema_decay: 0,
      att: false,
      pad_ratio: 0,
      edf_ratio: 0,
      select_on: "held-out",
      keep: "last",
      evaluation: {
        num_eval: 5,
        epoch_eval_train: 1000,
        batch: 128,
        momentum: 0.9,
        weight_decay: 5e-4,
      },
    });
  });

  it.each([
    ["ipc", "ipc: one", 'r.yaml, line 2: ipc must be an integer from 1, got "one"'],
    ["ipc", "ipc: 1.5", "r.yaml, line 2: ipc must be an integer from 1, got 1.5"],
    ["ipc", "ipc: 0", "r.yaml, line 2: ipc must be an integer from 1, got 0"],
    ["ipc", "ipc: 3000000000", "r.yaml, line 2: ipc must be an integer from 1, got 3000000000"],
    ["ipc", "ipc:", "r.yaml, line 2: ipc must be an integer from 1, got null"],
    ["ipc", "seed: -1\nipc: 1", "r.yaml, line 2: seed must be an integer in 0..4294967295, got -1"],
    ["lr_img", "lr_img: .inf", "r.yaml, line 12: lr_img must be a number from 0, got Infinity"],
    ["lr_img", "lr_img: .nan", "r.yaml, line 12: lr_img must be a number from 0, got NaN"],
    [
      "lr_img",
      "lr_img: 1\nmomentum_img: 1",
      "r.yaml, line 13: momentum_img must be a number from 0 and below 1, got 1",
    ],
    [
      "lr_y",
      "labels: hard\nlr_y: 2",
      "r.yaml, line 14: lr_y must be 0 with hard labels, which are not learned, got 2",
    ],
    [
      "dataset",
      "dataset: digits\nmicro_batch: 11",
      "r.yaml, line 2: micro_batch must be at most batch_syn (10), got 11",
    ],
    [
      "dataset",
      "dataset: digits\npad_ratio: 1",
      "r.yaml, line 2: pad_ratio must be a number from 0 and below 1, got 1",
    ],
    ["lr_y", "", "r.yaml: lr_y must be a number from 0, got nothing"],
    ["dataset", "dataset: 7", "r.yaml, line 1: dataset must be a name, got 7"],
    ["dataset", 'dataset: ""', 'r.yaml, line 1: dataset must be a name, got ""'],
    [
      "dataset",
      "dataset: digits\nmethod: dsa",
      'r.yaml, line 2: method must be one of datm, mtt, ftd, tesla, got "dsa"',
    ],
    [
      "dataset",
      "dataset: digits\ninit: best",
      'r.yaml, line 2: init must be one of samples_predicted_correctly, real, noise, got "best"',
    ],
    [
      "dataset",
      "dataset: a\nsequential: 1",
      "r.yaml, line 2: sequential must be true or false, got 1",
    ],
    ["  lr", "  lr: 0", "r.yaml, line 8: teachers.lr must be a number above 0, got 0"],
    ["  epochs", "", "r.yaml, line 4: teachers.epochs must be an integer from 1, got nothing"],
    [
      "  lr",
      "  optimizer: adam",
      'r.yaml, line 8: teachers.optimizer must be one of sgd, gsam, got "adam"',
    ],
    ["  lr", "  rho: 0", "r.yaml, line 8: teachers.rho must be a number above 0, got 0"],
    ["  lr", "  adaptive: 1", "r.yaml, line 8: teachers.adaptive must be true or false, got 1"],
    [
      "  lr",
      "  keep_epochs: 5",
      'r.yaml, line 8: teachers.keep_epochs must be two epochs like "0..60", got 5',
    ],
    [
      "  lr",
      "  keep_epochs: 1-5",
      'r.yaml, line 8: teachers.keep_epochs must be two epochs like "0..60", got "1-5"',
    ],
    [
      "lr_y",
      "lr_y: 1\nevaluation: fast",
      'r.yaml, line 14: evaluation must be a group of keys, got "fast"',
    ],
    [
      "lr_y",
      "lr_y: 1\nevaluation: [1]",
      "r.yaml, line 14: evaluation must be a group of keys, got a list",
    ],
    ["dataset", "", "r.yaml: dataset must be a name, got nothing"],
  ])("refuses %s as in %j", (start, line, sentence) => {
    expect(refusal(withLine(start, line))[0]).toBe(sentence);
  });

  it.each([
    ["momentun_y", "momentum_y"],
    ["Momentum_y", "momentum_y"],
    ["lrImg", "lr_img"],
    ["batch-syn", "batch_syn"],
    ["treshold", "threshold"],
    ["lr", "teachers.lr"],
    ["num_eval", "evaluation.num_eval"],
  ])("suggests a key for %s", (key, meant) => {
    expect(refusal(`${minimal}${key}: 1\n`)).toEqual([
      `r.yaml, line 16: every key must be one of a recipe's, got "${key}" (did you mean "${meant}"?)`,
    ]);
  });

  it("suggests nothing when no key comes near, and looks in groups too", () => {
    expect(refusal(`${minimal}zzzqq: 1\n`)).toEqual([
      'r.yaml, line 16: every key must be one of a recipe\'s, got "zzzqq"',
    ]);
    expect(refusal(withLine("  lr", "  lr: 1\n  wieght_decay: 0"))[0]).toBe(
      'r.yaml, line 9: every key must be one of a recipe\'s, got "teachers.wieght_decay" ' +
        '(did you mean "teachers.weight_decay"?)',
    );
    expect(refusal(`${minimal}__proto__: 1\n`)[0]).toContain('got "__proto__"');
  });

  it("names a mistyped key before the missing one, and every problem at once", () => {
    expect(refusal(withLine("ipc", "ipcs: 1").replace("syn_steps: 20", "syn_steps: 0"))).toEqual([
      'r.yaml, line 2: every key must be one of a recipe\'s, got "ipcs" (did you mean "ipc"?)',
      "r.yaml: ipc must be an integer from 1, got nothing",
      "r.yaml, line 9: syn_steps must be an integer from 1, got 0",
    ]);
  });

  it.each([
    ["", "r.yaml: a recipe must be a group of keys, got null"],
    ["- 1", "r.yaml: a recipe must be a group of keys, got a list"],
    ["ipc: 1\nipc: 2", "r.yaml, line 2: must be YAML, got an error (Map keys must be unique)"],
    ["a:\n  b: [1", /^r\.yaml, line 2: must be YAML, got an error \([^\n]+\)$/],
    ["a: *b", /^r\.yaml: must be plain YAML, got ReferenceError: [^\n]+$/],
    ["\0\0", /^r\.yaml/],
  ])("refuses the text %j", (text, sentence) => {
    const [first] = refusal(text);
    if (typeof sentence === "string") expect(first).toBe(sentence);
    else expect(first).toMatch(sentence);
  });

  it("refuses ever larger aliases", () => {
    const level = (name: string, of: string) =>
      `${name}: &${name} [${Array(10).fill(of).join(", ")}]`;
    const text = [level("a", "1"), level("b", "*a"), level("c", "*b"), level("d", "*c")].join("\n");
    expect(refusal(text)[0]).toContain("must be plain YAML, got ReferenceError");
  });

  it("holds settings against each other", () => {
    expect(refusal(`${minimal}min_start_epoch: 4\n`)).toEqual([
      "r.yaml, line 16: min_start_epoch must be below max_start_epoch (4), got 4",
    ]);
    expect(refusal(withLine("max_start_epoch", "max_start_epoch: 15"))).toEqual([
      "r.yaml, line 6: teachers.epochs must reach the last target, max_start_epoch - 1 + expert_epochs = 16, got 15",
    ]);
    expect(refusal(`${minimal}sequential: true\n`)).toEqual([
      "r.yaml: current_max_start_epoch must be given when sequential, got nothing",
      "r.yaml: expansion_end_epoch must be given when sequential, got nothing",
    ]);
    const sequential = `${minimal}sequential: true\nexpansion_end_epoch: 9\n`;
    for (const current of [5, 1]) {
      const text = `${sequential}min_start_epoch: 1\ncurrent_max_start_epoch: ${current}\n`;
      expect(refusal(text)).toEqual([
        `r.yaml, line 19: current_max_start_epoch must be above min_start_epoch (1) and at most max_start_epoch (4), got ${current}`,
      ]);
    }
    expect(
      parseRecipe(withLine("max_start_epoch", "max_start_epoch: 14"), "").max_start_epoch,
    ).toBe(14);
  });
});

describe("resolveRecipe", () => {
  const base = parseRecipe(minimal, "r.yaml");

  it("replaces what is given, in groups too, and leaves the base alone", () => {
    const before = structuredClone(base);
    const overrides: RecipeOverrides = {
      ipc: 10,
      seed: undefined,
      teachers: { experts: 2, lr: undefined },
      evaluation: { num_eval: 1 },
    };
    expect(resolveRecipe(base, overrides)).toEqual({
      ...base,
      ipc: 10,
      teachers: { ...base.teachers, experts: 2 },
      evaluation: { ...base.evaluation, num_eval: 1 },
    });
    expect(base).toEqual(before);
  });

  it("checks the result again", () => {
    expect(problemsOf(() => resolveRecipe(base, { max_start_epoch: 40 }))).toEqual([
      "command line: teachers.epochs must reach the last target, max_start_epoch - 1 + expert_epochs = 41, got 15",
    ]);
    expect(problemsOf(() => resolveRecipe(base, { ipc: NaN }, "--ipc"))).toEqual([
      "--ipc: ipc must be an integer from 1, got NaN",
    ]);
    const unknown = { ipcc: 3 } as RecipeOverrides;
    expect(problemsOf(() => resolveRecipe(base, unknown))).toEqual([
      'command line: every key must be one of a recipe\'s, got "ipcc" (did you mean "ipc"?)',
    ]);
  });
});

describe("recipeToYaml", () => {
  const base = parseRecipe(minimal, "r.yaml");

  it("puts the keys in the schema's order, whatever order they came in", () => {
    const reversed = Object.fromEntries(Object.entries(base).reverse()) as typeof base;
    expect(recipeToYaml(reversed)).toBe(recipeToYaml(base));
    expect(Object.keys(parse(recipeToYaml(base)) as object).slice(0, 5)).toEqual([
      "dataset",
      "normalisation",
      "zca",
      "ipc",
      "network",
    ]);
  });

  it("comes back as the same recipe", () => {
    const rate = fc.double({ min: 0, max: 1e9, noNaN: true });
    const recipes = fc.record({
      dataset: fc.string({ minLength: 1, unit: "grapheme" }),
      ipc: fc.integer({ min: 1, max: 1000 }),
      seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      lr_img: rate,
      lr_lr: fc.double({ min: 0, max: 1e-5, noNaN: true }),
      init: fc.constantFrom("samples_predicted_correctly", "real", "noise"),
      evaluation: fc
        .record({ lr: fc.option(fc.double({ min: 1e-9, max: 1, noNaN: true })) })
        .map(({ lr }) => ({ lr: lr ?? undefined })),
    });
    fc.assert(
      fc.property(recipes, (overrides) => {
        const recipe = resolveRecipe(base, overrides);
        const text = recipeToYaml(recipe);
        expect(parseRecipe(text, "again")).toEqual(recipe);
        expect(recipeToYaml(parseRecipe(text, "again"))).toBe(text);
      }),
      { numRuns: 200, seed: 3 },
    );
  });
});

describe("the recipes of the package", () => {
  it("are there and can be followed", () => {
    const shipped = shippedRecipes();
    expect([...shipped.keys()]).toEqual(expect.arrayContaining(["digits-ipc1", "digits-ipc10"]));
    for (const [name, file] of shipped) {
      const recipe = readRecipe(file);
      expect(name).toBe(`${recipe.dataset}-ipc${recipe.ipc}`);
    }
  });
});

describe("readRecipe", () => {
  it("names the file", () => {
    const folder = mkdtempSync(join(tmpdir(), "potstill-recipe-"));
    try {
      const file = join(folder, "r.yaml");
      expect(() => readRecipe(file)).toThrow(`${file}: must exist, got no such file (ENOENT)`);
      writeFileSync(file, withLine("ipc", "ipc: 0"));
      expect(() => readRecipe(file)).toThrow(
        `${file}, line 2: ipc must be an integer from 1, got 0`,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
