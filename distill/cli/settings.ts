/** @file Settings of recipes as flags, and the recipe that they are laid over. */
import type { Argv } from "yargs";
import type { Source } from "../data/dataset.ts";
import { outlineOf } from "../data/known.ts";
import { checkDataset } from "../data/registry.ts";
import { readRecipe, recipeFile, shippedRecipes } from "../recipe-file.ts";
import { recipeFlags, RecipeError, resolveRecipe } from "../recipe.ts";
import type { Recipe, RecipeFlag, RecipeOverrides } from "../recipe.ts";
import { withGivenTeachers, workOf, type Work } from "../run.ts";
import { dataFrom, type CommonArguments } from "./options.ts";

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
    .option("recipe", {
      type: "string",
      requiresArg: true,
      describe: "Recipe file (YAML), or name of a shipped recipe",
    });
}

/** Arguments with the names of settings as recipes write them, where `--per-class` stands for `--per_class`. */
export function underscored(args: readonly string[]): string[] {
  const names = new Set(recipeFlags().flatMap(({ name }) => [name, name.split(".").at(-1)!]));
  return args.map((arg) => {
    const [, name = "", rest = ""] = /^--([a-z.-]+)(=.*)?$/s.exec(arg) ?? [];
    const usual = name.replaceAll("-", "_");
    return usual !== name && names.has(usual) ? `--${usual}${rest}` : arg;
  });
}

/** `--teachers DIR` for the setting `teachers.folder`. */
export const teachersFlag = (name: string): string | undefined =>
  name === "teachers.folder" ? "teachers" : undefined;

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
 * The recipe that the arguments name: a file or a shipped one, or of those shipped for the data set the one whose
 * images a class come nearest to `ipc`, or nothing where none is.
 * @throws RecipeError when neither is named, or the recipe is for other data; FileError, DataError.
 */
export function namedRecipe(
  { dataset, recipe: name }: RecipeArguments,
  command: string,
  ipc = 1,
): Recipe | undefined {
  if (name === undefined && dataset === undefined)
    throw new RecipeError([
      `${command}: needs a data set or a recipe: potstill ${command} digits, or potstill ${command} --recipe FILE`,
    ]);
  if (name === undefined) return shippedFor(dataset!, ipc);
  const recipe = readRecipe(recipeFile(name));
  if (dataset !== undefined && !isSame(recipe.dataset, dataset))
    throw new RecipeError([`${name}: dataset must be ${dataset}, got ${recipe.dataset}`]);
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

/**
 * The recipe that the arguments ask for: a file or a shipped one, the flags over it.
 * @throws RecipeError when settings do not fit together, FileError when the file cannot be read.
 */
export function recipeFor(
  args: RecipeArguments & Readonly<Record<string, unknown>>,
  flags: readonly RecipeFlag[],
  command: string,
): Recipe {
  const overrides = overridesOf(args, flags);
  const { ipc } = overrides;
  const base = namedRecipe(args, command, typeof ipc === "number" && ipc >= 1 ? ipc : 1);
  if (!base)
    throw new RecipeError([
      `recipe: none is shipped for ${args.dataset!}; name one with --recipe FILE`,
    ]);
  return resolveRecipe(base, overrides);
}

/**
 * The same with its work: its data, and its network.
 * @throws RecipeError when settings do not fit together or the data, FileError when the file cannot
 * be read, DataError, ModelError.
 */
export async function workFor(
  args: CommonArguments & RecipeArguments & Readonly<Record<string, unknown>>,
  flags: readonly RecipeFlag[],
  command: string,
): Promise<Work> {
  const given = withGivenTeachers(recipeFor(args, flags, command));
  const work = await workOf(given, dataFrom(args));
  // A recipe for more images a class has larger minibatches than a smaller set can fill.
  const count = work.recipe.ipc * work.source.classes.length;
  const fits = args["batch_syn"] !== undefined || work.recipe.batch_syn <= count;
  const recipe = fits ? work.recipe : resolveRecipe(work.recipe, { batch_syn: count });
  checkFits(recipe, work.source);
  return { ...work, recipe };
}

/**
 * Checks against the data what a recipe alone cannot tell, before anything is written or trained.
 * @throws RecipeError.
 */
function checkFits(recipe: Recipe, { train, classes }: Source): void {
  const counts = new Uint32Array(classes.length);
  for (const label of train.labels) counts[label]!++;
  const least = Math.min(...counts);
  const problems: string[] = [];
  if (recipe.ipc > least)
    problems.push(
      `ipc: must be at most the images of every class, got ${recipe.ipc} for ${least} of class ${classes[counts.indexOf(least)]!}`,
    );
  const images = recipe.ipc * classes.length;
  if (recipe.batch_syn > images)
    problems.push(
      `batch_syn: must be at most the ${images} synthetic images, got ${recipe.batch_syn}`,
    );
  if (problems.length > 0) throw new RecipeError(problems);
}
