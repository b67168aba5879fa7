/** @file Settings of recipes as flags, and the recipe that they are laid over. */
import type { Argv } from "yargs";
import { outlineOf } from "../data/known.ts";
import { checkDataset } from "../data/registry.ts";
import { readRecipe, shippedRecipes } from "../recipe-file.ts";
import { RecipeError, type Recipe, type RecipeFlag, type RecipeOverrides } from "../recipe.ts";

/** Which recipe a command follows. */
export interface RecipeArguments {
  readonly dataset: string | undefined;
  readonly recipe: string | undefined;
}

/** Settings that no flag sets: the data set is named by a word of its own. */
const NOT_FLAGS = new Set(["dataset"]);

/** `dataset`, `--recipe`, and a flag for every setting of `flags`, by the same name or by `alias`. */
export function recipeOptions<T>(
  yargs: Argv<T>,
  flags: readonly RecipeFlag[],
  alias: (name: string) => string | undefined,
): Argv<T & RecipeArguments> {
  for (const { name, type } of flags) {
    if (NOT_FLAGS.has(name)) continue;
    const other = alias(name);
    const options = { type, requiresArg: type !== "boolean", group: "Recipe settings:" };
    yargs.option(name, { ...options, ...(other !== undefined && { alias: other }) });
  }
  return yargs
    .positional("dataset", { type: "string", describe: "Name or path of a data set, e.g. digits" })
    .option("recipe", { type: "string", requiresArg: true, describe: "Recipe file (YAML)" });
}

/** What the user set by flags: only names of settings, groups as objects. */
export function overridesOf(
  args: Readonly<Record<string, unknown>>,
  flags: readonly RecipeFlag[],
): RecipeOverrides {
  const overrides: Record<string, unknown> = {};
  const groups: Record<string, Record<string, unknown>> = {};
  for (const { name } of flags) {
    if (NOT_FLAGS.has(name) || args[name] === undefined) continue;
    const [first, key] = name.split(".");
    if (key === undefined) overrides[name] = args[name];
    else (groups[first!] ??= {})[key] = args[name];
  }
  return { ...overrides, ...groups };
}

/**
 * The recipe that the arguments name: a file, or of those shipped for the data set the one whose
 * images a class come nearest to `ipc`, or nothing where none is.
 * @throws RecipeError when neither is named, or the file is for other data; FileError, DataError.
 */
export function namedRecipe(
  { dataset, recipe: file }: RecipeArguments,
  command: string,
  ipc = 1,
): Recipe | undefined {
  if (file === undefined && dataset === undefined)
    throw new RecipeError([
      `${command}: needs a data set or a recipe: potstill ${command} digits, or potstill ${command} --recipe FILE`,
    ]);
  if (file === undefined) return shippedFor(dataset!, ipc);
  const recipe = readRecipe(file);
  if (dataset !== undefined && !isSame(recipe.dataset, dataset))
    throw new RecipeError([`${file}: dataset must be ${dataset}, got ${recipe.dataset}`]);
  return recipe;
}

/** Whether two names are of one data set. */
const isSame = (a: string, b: string): boolean =>
  a === b || (outlineOf(a) !== undefined && outlineOf(a) === outlineOf(b));

function shippedFor(dataset: string, ipc: number): Recipe | undefined {
  checkDataset(dataset);
  const recipes = [...shippedRecipes().values()]
    .map(readRecipe)
    .filter((recipe) => isSame(recipe.dataset, dataset));
  const distance = (recipe: Recipe): number => Math.abs(Math.log(recipe.ipc / ipc));
  const [nearest] = recipes.sort((a, b) => distance(a) - distance(b));
  return nearest;
}
