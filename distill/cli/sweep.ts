/** @file Sweeps: recipes with some settings each at several values, all combinations of them. */
import { RecipeError, recipeFlags, resolveRecipe, type Recipe } from "../recipe.ts";
import { closest } from "../spelling.ts";
import { overridesOf } from "./settings.ts";
import { UsageError } from "./usage.ts";

/** A setting, and the values that it takes. */
export interface Swept {
  readonly key: string;
  readonly values: readonly (string | number | boolean)[];
}

/** Names of settings that recipes to be compared have in common, and so can't differ. */
const COMMON = new Set(["dataset"]);

/**
 * Settings of `key=value,value` texts.
 * @throws UsageError where one is none, or is there twice.
 */
export function sweepsOf(texts: readonly string[]): Swept[] {
  const sweeps = texts.map(sweptOf);
  const keys = sweeps.map(({ key }) => key);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined)
    throw new UsageError(`--sweep: every setting must be there once, got ${twice} twice`);
  return sweeps;
}

function sweptOf(text: string): Swept {
  const [, key = "", list = ""] = /^([\w.]+)=(.+)$/.exec(text) ?? [];
  const words = list.split(",");
  if (key === "" || words.includes(""))
    throw new UsageError(`--sweep must be setting=value,value like lr_img=10,100, got "${text}"`);
  const flags = recipeFlags().filter(({ name }) => !COMMON.has(name));
  const flag = flags.find(({ name }) => name === key);
  if (!flag) {
    const near = closest(
      key,
      flags.map(({ name }) => name),
    );
    const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
    throw new UsageError(`--sweep: ${key} must be a setting of recipes${hint}`);
  }
  const values = words.map((word) => valueOf(word, flag.type));
  const again = values.find((value, i) => values.indexOf(value) !== i);
  if (again !== undefined)
    throw new UsageError(`--sweep: every value of ${key} must be there once, got ${again} twice`);
  return { key, values };
}

/** As a recipe's file would say it; what is of another type is for the recipe to refuse. */
function valueOf(word: string, type: "string" | "number" | "boolean"): string | number | boolean {
  if (type === "number" && word.trim() !== "" && !Number.isNaN(Number(word))) return Number(word);
  if (type === "boolean" && (word === "true" || word === "false")) return word === "true";
  return word;
}

/**
 * The recipe at every point of the grid, the last setting's values fastest, by the name of the point:
 * `name,lr_img=10,syn_steps=20`; without sweeps itself by its own name.
 * @throws RecipeError where settings do not fit together.
 */
export function pointsOf(
  name: string,
  recipe: Recipe,
  sweeps: readonly Swept[],
): { readonly name: string; readonly recipe: Recipe }[] {
  let points: { name: string; set: Record<string, unknown> }[] = [{ name, set: {} }];
  for (const { key, values } of sweeps)
    points = points.flatMap((point) =>
      values.map((value) => ({
        name: `${point.name},${key}=${String(value).replace(/[^\w.+-]/g, "-")}`,
        set: { ...point.set, [key]: value },
      })),
    );
  if (sweeps.length === 0) return [{ name, recipe }];
  const problems: string[] = [];
  const resolved = points.flatMap((point) => {
    try {
      const overrides = overridesOf(point.set, recipeFlags());
      return [{ name: point.name, recipe: resolveRecipe(recipe, overrides, point.name) }];
    } catch (error) {
      if (!(error instanceof RecipeError)) throw error;
      problems.push(...error.problems);
      return [];
    }
  });
  if (problems.length > 0) throw new RecipeError(problems);
  return resolved;
}
