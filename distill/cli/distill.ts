/** @file `potstill distill`: teachers, matching, pictures and results of one recipe in a folder. */
import { join } from "node:path";
import type { Argv, CommandModule } from "yargs";
import { loadDataset } from "../data/registry.ts";
import { writeAtomic } from "../files.ts";
import {
  readRecipe,
  recipeFlags,
  recipeToYaml,
  RecipeError,
  resolveRecipe,
  shippedRecipes,
  type Recipe,
  type RecipeOverrides,
} from "../recipe.ts";
import { beginRun, distil, scoreDistilled, teachersOf } from "../run.ts";
import { formatTable } from "../table.ts";
import { commonOptions, openGpu, progressFor, type CommonArguments } from "./options.ts";

interface DistillArguments extends CommonArguments {
  readonly dataset: string | undefined;
  readonly recipe: string | undefined;
  readonly out: string | undefined;
}

/** Settings that a recipe file decides alone: they name what a flag cannot rename. */
const NOT_FLAGS = new Set(["dataset"]);

/** A flag for every setting of a recipe, by the same name. */
function recipeOptions<T>(yargs: Argv<T>): Argv<T> {
  for (const { name, type } of recipeFlags())
    if (!NOT_FLAGS.has(name))
      yargs.option(name, { type, requiresArg: type !== "boolean", group: "Recipe settings:" });
  return yargs;
}

/** What the user set by flags: only names of settings, groups as objects. */
function overridesOf(args: Readonly<Record<string, unknown>>): RecipeOverrides {
  const names = recipeFlags().map(({ name }) => name.split(".")[0]!);
  const given = names.filter((name) => !NOT_FLAGS.has(name) && args[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, args[name]]));
}

/** The shipped recipe of a data set whose images a class come nearest to `ipc`. */
function shippedFor(dataset: string, ipc: number): Recipe {
  loadDataset(dataset);
  const recipes = [...shippedRecipes()]
    .filter(([name]) => name.startsWith(`${dataset}-`))
    .map(([, file]) => readRecipe(file));
  const distance = (recipe: Recipe): number => Math.abs(Math.log(recipe.ipc / ipc));
  const [nearest] = recipes.sort((a, b) => distance(a) - distance(b));
  if (!nearest)
    throw new RecipeError([`recipe: none is shipped for ${dataset}; name one with --recipe FILE`]);
  return nearest;
}

/**
 * The recipe that the arguments ask for: a file or a shipped one, with the flags over it.
 * @throws RecipeError when settings do not fit together, FileError when the file cannot be read.
 */
export function recipeOf(args: DistillArguments & Readonly<Record<string, unknown>>): Recipe {
  const overrides = overridesOf(args);
  const { dataset, recipe: file } = args;
  const { ipc } = overrides;
  if (file === undefined && dataset === undefined)
    throw new RecipeError([
      "distill: needs a data set or a recipe: potstill distill digits, or potstill distill --recipe FILE",
    ]);
  const base =
    file === undefined
      ? shippedFor(dataset!, typeof ipc === "number" && ipc >= 1 ? ipc : 1)
      : readRecipe(file);
  if (dataset !== undefined && base.dataset !== dataset)
    throw new RecipeError([`${file!}: dataset must be ${dataset}, got ${base.dataset}`]);
  const recipe = resolveRecipe(base, overrides);
  // A recipe for more images a class has larger minibatches than a smaller set can fill.
  const count = recipe.ipc * loadDataset(recipe.dataset).classes.length;
  return overrides.batch_syn === undefined && recipe.batch_syn > count
    ? resolveRecipe(recipe, { batch_syn: count })
    : recipe;
}

export const distillCommand: CommandModule<object, DistillArguments> = {
  command: "distill [dataset]",
  describe: "Make a small synthetic set from a large real one",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs)
        .positional("dataset", { type: "string", describe: "Data set, e.g. digits" })
        .option("recipe", { type: "string", requiresArg: true, describe: "Recipe file (YAML)" })
        .option("out", {
          type: "string",
          requiresArg: true,
          describe: "Folder of the run [runs/<dataset>-ipc<ipc>]",
        }),
    )
      .example("$0 distill digits --ipc 10", "ten images a class of the handwritten digits")
      .example("$0 distill --recipe my.yaml --seed 7 --out runs/mine", "by a recipe of your own"),
  handler: async (args) => {
    const recipe = recipeOf({ ...args });
    const folder = beginRun(args.out ?? join("runs", `${recipe.dataset}-ipc${recipe.ipc}`));
    writeAtomic(join(folder, "recipe.yaml"), recipeToYaml(recipe));
    using gpu = await openGpu(args, recipe);
    const context = { gpu, folder, progress: progressFor(args) };
    const teachers = await teachersOf(context, recipe);
    await distil(context, recipe, teachers);
    const rows = [await scoreDistilled(context, recipe)];
    writeAtomic(join(folder, "results.json"), `${JSON.stringify(rows, null, 2)}\n`);
    console.log(formatTable(rows));
  },
};
