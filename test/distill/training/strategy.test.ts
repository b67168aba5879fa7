/** @file Strategies by their text, and those that a recipe asks for. */
import { describe, expect, it } from "vitest";

import { resolveRecipe } from "../../../distill/recipe.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import {
  DSA_STRATEGY,
  isStrategy,
  OPERATORS,
  parseStrategy,
  strategiesOf,
  strategyText,
} from "../../../distill/training/strategy.ts";

describe("a strategy", () => {
  it("is operators joined by _, in any order", () => {
    expect(parseStrategy(DSA_STRATEGY)).toEqual(OPERATORS);
    expect(parseStrategy("flip_color")).toEqual(["flip", "color"]);
  });

  it("has a text that it comes back from", () => {
    for (const text of ["none", "flip_color", DSA_STRATEGY])
      expect(strategyText(parseStrategy(text))).toBe(text);
  });

  it.each([
    ["", 'got ""'],
    ["color_flop", 'got "flop" (did you mean flip?)'],
    ["color-crop", 'got "color-crop"'],
    ["crop_color_crop", "got crop twice"],
    ["None", 'got "None"'],
  ])("is refused in one sentence otherwise: %j", (text, got) => {
    expect(isStrategy(text)).toBe(false);
    expect(() => parseStrategy(text)).toThrow(
      `must be none, or some of color, crop, cutout, flip, scale, rotate joined by _, ${got}`,
    );
  });
});

describe("a recipe's strategies", () => {
  const digits = readRecipe(shippedRecipes().get("digits-ipc1")!);
  const crop = ["crop"];

  it("are none unless it asks for them", () => {
    expect(strategiesOf(digits)).toEqual({ student: [], teachers: [], evaluation: [] });
  });

  it("are the published one for student, teachers and evaluation alike", () => {
    const all = OPERATORS;
    const recipe = resolveRecipe(digits, { dsa: true });
    expect(strategiesOf(recipe)).toEqual({ student: all, teachers: all, evaluation: all });
  });

  it("may be another, or none for some", () => {
    const recipe = resolveRecipe(digits, {
      ...{ dsa: true, dsa_strategy: "crop" },
      evaluation: { augment: false },
    });
    expect(strategiesOf(recipe)).toEqual({ student: crop, teachers: crop, evaluation: [] });
    const teachers = resolveRecipe(digits, { dsa_strategy: "crop", teachers: { augment: true } });
    expect(strategiesOf(teachers)).toEqual({ student: [], teachers: crop, evaluation: [] });
  });

  it("are refused where they are none", () => {
    expect(() => resolveRecipe(digits, { dsa_strategy: "colour_crop" })).toThrow(
      'command line: dsa_strategy must be none, or some of color, crop, cutout, flip, scale, rotate joined by _, got "colour_crop"',
    );
  });
});
