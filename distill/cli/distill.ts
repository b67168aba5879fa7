/** @file `potstill distill`: teachers, matching, pictures and results of one recipe in a folder. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import type { Source } from "../data/dataset.ts";
import { recordData } from "../data/record.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import { recipeToYaml } from "../recipe-file.ts";
import { recipeFlags, RecipeError, resolveRecipe, type Recipe } from "../recipe.ts";
import {
  beginRun,
  distil,
  openRun,
  recordAccuracy,
  scoreDistilled,
  teachersOf,
  withGivenTeachers,
  workOf,
  type Work,
} from "../run.ts";
import { EventFile } from "../report/tensorboard.ts";
import { formatTable } from "../table.ts";
import { commonOptions, dataFrom, progressFor, withGpu, type CommonArguments } from "./options.ts";
import { namedRecipe, overridesOf, recipeOptions, type RecipeArguments } from "./settings.ts";

interface DistillArguments extends CommonArguments, RecipeArguments {
  readonly out: string | undefined;
  readonly tensorboard: boolean;
}

const flags = recipeFlags();

/**
 * The recipe that the arguments ask for, with its work: a file or a shipped one, the flags over it.
 * @throws RecipeError when settings do not fit together or the data, FileError when the file cannot
 * be read, DataError, ModelError.
 */
async function workFor(args: DistillArguments & Readonly<Record<string, unknown>>): Promise<Work> {
  const overrides = overridesOf(args, flags);
  const { ipc } = overrides;
  const base = namedRecipe(args, "distill", typeof ipc === "number" && ipc >= 1 ? ipc : 1);
  if (!base)
    throw new RecipeError([
      `recipe: none is shipped for ${args.dataset!}; name one with --recipe FILE`,
    ]);
  const given = withGivenTeachers(resolveRecipe(base, overrides));
  const work = await workOf(given, dataFrom(args));
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
      recipeOptions(yargs, flags, (name) => (name === "teachers.folder" ? "teachers" : undefined))
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
