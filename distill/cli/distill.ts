/** @file `potstill distill`: teachers, matching, pictures and results of one recipe in a folder. */
import { join } from "node:path";
import type { Argv, CommandModule } from "yargs";
import type { Source } from "../data/dataset.ts";
import { outlineOf } from "../data/known.ts";
import { recordData } from "../data/record.ts";
import { checkDataset } from "../data/registry.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import { readRecipe, recipeToYaml, shippedRecipes } from "../recipe-file.ts";
import {
  recipeFlags,
  RecipeError,
  resolveRecipe,
  type Recipe,
  type RecipeOverrides,
} from "../recipe.ts";
import {
  beginRun,
  distil,
  openRun,
  recordAccuracy,
  scoreDistilled,
  teachersOf,
  workOf,
  type Work,
} from "../run.ts";
import { EventFile } from "../report/tensorboard.ts";
import { formatTable } from "../table.ts";
import { commonOptions, dataFrom, progressFor, withGpu, type CommonArguments } from "./options.ts";

interface DistillArguments extends CommonArguments {
  readonly dataset: string | undefined;
  readonly recipe: string | undefined;
  readonly out: string | undefined;
  readonly tensorboard: boolean;
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
  const overrides: Record<string, unknown> = {};
  const groups: Record<string, Record<string, unknown>> = {};
  for (const { name } of recipeFlags()) {
    if (NOT_FLAGS.has(name) || args[name] === undefined) continue;
    const [first, key] = name.split(".");
    if (key === undefined) overrides[name] = args[name];
    else (groups[first!] ??= {})[key] = args[name];
  }
  return { ...overrides, ...groups };
}

/** Whether two names are of one data set. */
const isSame = (a: string, b: string): boolean =>
  a === b || (outlineOf(a) !== undefined && outlineOf(a) === outlineOf(b));

/** The shipped recipe of a data set whose images a class come nearest to `ipc`. */
function shippedFor(dataset: string, ipc: number): Recipe {
  checkDataset(dataset);
  const recipes = [...shippedRecipes()]
    .filter(([name]) => isSame(name.replace(/-ipc\d+.*$/, ""), dataset))
    .map(([, file]) => readRecipe(file));
  const distance = (recipe: Recipe): number => Math.abs(Math.log(recipe.ipc / ipc));
  const [nearest] = recipes.sort((a, b) => distance(a) - distance(b));
  if (!nearest)
    throw new RecipeError([`recipe: none is shipped for ${dataset}; name one with --recipe FILE`]);
  return nearest;
}

/**
 * The recipe that the arguments ask for, with its work: a file or a shipped one, the flags over it.
 * @throws RecipeError when settings do not fit together or the data, FileError when the file cannot
 * be read, DataError, ModelError.
 */
async function workFor(args: DistillArguments & Readonly<Record<string, unknown>>): Promise<Work> {
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
  if (dataset !== undefined && !isSame(base.dataset, dataset))
    throw new RecipeError([`${file!}: dataset must be ${dataset}, got ${base.dataset}`]);
  const work = await workOf(resolveRecipe(base, overrides), dataFrom(args));
  // A recipe for more images a class has larger minibatches than a smaller set can fill.
  const count = work.recipe.ipc * work.source.classes.length;
  const fits = overrides.batch_syn !== undefined || work.recipe.batch_syn <= count;
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

export const distillCommand: CommandModule<object, DistillArguments> = {
  command: "distill [dataset]",
  describe: "Make a small synthetic set from a large real one",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs)
        .positional("dataset", {
          type: "string",
          describe: "Name or path of a data set, e.g. digits",
        })
        .option("recipe", { type: "string", requiresArg: true, describe: "Recipe file (YAML)" })
        .option("out", {
          type: "string",
          requiresArg: true,
          describe: "Folder of the run [runs/<dataset>-ipc<ipc>]",
        })
        .option("tensorboard", {
          type: "boolean",
          default: false,
          describe: "Write event files for TensorBoard, too, into tensorboard/ of the run's folder",
        }),
    )
      .example("$0 distill digits --ipc 10", "ten images a class of the handwritten digits")
      .example("$0 distill --recipe my.yaml --seed 7 --out runs/mine", "by a recipe of your own"),
  handler: async (args) => {
    const work = await workFor({ ...args });
    const { recipe } = work;
    await withGpu(args, [work], async (gpu) => {
      const out = args.out ?? join("runs", `${work.source.name}-ipc${recipe.ipc}`);
      const context = openRun(gpu, work, openRunFolder(out), progressFor(args));
      // Teachers of another kind are refused before anything of an earlier run is replaced.
      const teachers = await teachersOf(context, recipe);
      const folder = beginRun(out);
      writeAtomic(join(folder, "recipe.yaml"), recipeToYaml(recipe));
      recordData(folder, work.source);
      const events = args.tensorboard ? new EventFile(join(folder, "tensorboard")) : undefined;
      await distil({ ...context, events }, recipe, teachers);
      const rows = [await scoreDistilled({ ...context, events }, recipe)];
      recordAccuracy(folder, rows[0]!);
      writeAtomic(join(folder, "results.json"), `${JSON.stringify(rows, null, 2)}\n`);
      console.log(formatTable(rows));
    });
  },
};
