/** @file What iterations draw: the range of start epochs, minibatches, teachers, each by its number alone. */

import { describe, expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { ROW } from "../../../distill/training/augment.ts";
import { resolveRecipe, type RecipeOverrides } from "../../../distill/recipe.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import {
  drawIteration,
  maxStartEpoch,
  minibatchStream,
} from "../../../distill/matching/schedule.ts";

const recipeOf = (overrides: RecipeOverrides) =>
  resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc10")!), overrides);

describe("the upper bound of the start epoch", () => {
  const sequential = {
    sequential: true,
    teachers: { epochs: 40 },
    min_start_epoch: 0,
    current_max_start_epoch: 10,
    max_start_epoch: 20,
    expansion_end_epoch: 1000,
  };

  it("grows from T to T⁺ until the end of the expansion, by whole epochs", () => {
    const recipe = recipeOf(sequential);
    const iterations = [0, 1, 99, 100, 199, 500, 999, 1000, 1001, 9999];
    expect(iterations.map((it) => maxStartEpoch(recipe, it))).toEqual([
      10, 10, 10, 11, 11, 15, 19, 20, 20, 20,
    ]);
  });

  it("is T⁺ from the first iteration without sequential generation", () => {
    const recipe = recipeOf({ ...sequential, sequential: false });
    expect([0, 500, 1000].map((it) => maxStartEpoch(recipe, it))).toEqual([20, 20, 20]);
  });
});

describe("minibatches", () => {
  /** The first `count` minibatches, and the permutations that they must be made of. */
  function streamed(images: number, batch: number, count: number) {
    const stream = minibatchStream(images, batch, new Random(5));
    const batches = Array.from({ length: count }, () => [...stream.next().value]);
    const random = new Random(5);
    return { batches, permutation: () => [...random.permutation(images)] };
  }

  it("are chunks of a permutation, the last chunk first, then of a new one", () => {
    const { batches, permutation } = streamed(6, 2, 6);
    const [first, second] = [permutation(), permutation()];
    expect(batches).toEqual(
      [first, second].flatMap((order) => [order.slice(4, 6), order.slice(2, 4), order.slice(0, 2)]),
    );
  });

  it("begin with the short remainder, which is the last chunk, where the size does not divide", () => {
    const { batches, permutation } = streamed(7, 3, 6);
    const [first, second] = [permutation(), permutation()];
    expect(batches).toEqual(
      [first, second].flatMap((order) => [order.slice(6), order.slice(3, 6), order.slice(0, 3)]),
    );
  });

  it("of all images are a new permutation each", () => {
    const { batches, permutation } = streamed(5, 5, 3);
    expect(batches).toEqual([permutation(), permutation(), permutation()]);
  });
});

describe("an iteration", () => {
  const recipe = recipeOf({ batch_syn: 3, syn_steps: 5, sequential: false, max_start_epoch: 4 });
  const shape = { channels: 1, height: 4, width: 4 };
  const options = {
    recipe,
    teachers: 3,
    images: 7,
    shape,
    continuous: false,
    random: new Random(5),
  };
  const draws = Array.from({ length: 60 }, (_, iteration) => drawIteration(options, iteration));

  it("draws by its number and the seed alone", () => {
    const again = { ...options, random: new Random(5) };
    expect(drawIteration(again, 41)).toEqual(draws[41]);
    expect(drawIteration({ ...options, random: new Random(6) }, 41)).not.toEqual(draws[41]);
  });

  it("has every teacher once before any comes again, in orders that differ", () => {
    const turns = Array.from({ length: 20 }, (_, turn) =>
      draws.slice(3 * turn, 3 * turn + 3).map(({ teacher }) => teacher),
    );
    for (const turn of turns) expect([...turn].sort()).toEqual([0, 1, 2]);
    expect(new Set(turns.map(String)).size).toBeGreaterThan(3);
  });

  it("starts at whole epochs of the range, its end left out", () => {
    expect(new Set(draws.map(({ start }) => start))).toEqual(new Set([0, 1, 2, 3]));
  });

  it("starts between them too where teachers are lines, within the same bounds", () => {
    const starts = draws.map((_, i) => drawIteration({ ...options, continuous: true }, i).start);
    expect(starts.every((start) => start >= 0 && start <= 3)).toBe(true);
    expect(Math.max(...starts) - Math.min(...starts)).toBeGreaterThan(2.5);
    expect(starts.some(Number.isInteger)).toBe(false);
  });

  it("begins with a permutation of its own: a short minibatch, then whole ones, then another", () => {
    for (const { minibatches } of draws) {
      expect(minibatches.map(({ length }) => length)).toEqual([1, 3, 3, 1, 3]);
      const first = minibatches.slice(0, 3).flatMap((indices) => [...indices]);
      expect(first.sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    }
    expect(new Set(draws.map(({ minibatches }) => String(minibatches[1]))).size).toBeGreaterThan(
      40,
    );
  });

  it("has rows of an augmentation for each image of each minibatch, where there is one", () => {
    expect(draws[0]!.augmentations).toEqual([]);
    const augmented = { ...options, recipe: { ...recipe, dsa: true } };
    const { augmentations, ...others } = drawIteration(augmented, 8);
    expect(augmentations.map(({ length }) => length)).toEqual(Array(5).fill(3 * ROW));
    expect({ ...others, augmentations: [] }).toEqual(draws[8]);
    expect(drawIteration(augmented, 9).augmentations).not.toEqual(augmentations);
  });
});
