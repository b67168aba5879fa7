/** @file `potstill teach`: teachers alone, for any number of runs that follow them. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { summarise } from "../evaluation/evaluate.ts";
import { resolveTeaching, teachingFlags } from "../recipe.ts";
import { openRun, trainTeachers, workOf } from "../run.ts";
import {
  commonOptions,
  dataFrom,
  lanesFor,
  progressFor,
  withGpu,
  type CommonArguments,
} from "./options.ts";
import { namedRecipe, overridesOf, recipeOptions, type RecipeArguments } from "./settings.ts";

interface TeachArguments extends CommonArguments, RecipeArguments {
  readonly out: string | undefined;
}

/** The folder is named by `--out`. */
const flags = teachingFlags().filter(({ name }) => name !== "teachers.folder");

/** Flags of every command: what they mean, they mean here. */
const TAKEN = new Set(["precision"]);

/** `--epochs` for `--teachers.epochs`. */
function shortName(name: string): string | undefined {
  const [group, key] = name.split(".");
  return group === "teachers" && key !== undefined && !TAKEN.has(key) ? key : undefined;
}

export const teachCommand: CommandModule<object, TeachArguments> = {
  command: "teach [dataset]",
  describe: "Train teachers on the real data, or go on with some",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs, flags, shortName).option("out", {
        type: "string",
        requiresArg: true,
        describe: "Folder of the teachers [runs/<dataset>-teachers]",
      }),
    )
      .example("$0 teach digits --experts 20 --epochs 30", "twenty teachers of the digits")
      .example("$0 distill digits --teachers runs/digits-teachers", "a run that follows them"),
  handler: async (args) => {
    const base = namedRecipe(args, "teach");
    const dataset = args.dataset ?? base?.dataset;
    const overrides = overridesOf({ ...args }, flags);
    const recipe = resolveTeaching(base, { ...overrides, dataset });
    const work = await workOf(recipe, dataFrom(args));
    const folder =
      args.out ?? recipe.teachers.folder ?? join("runs", `${work.source.name}-teachers`);
    await withGpu(args, [work], async (gpu) => {
      const lanes = lanesFor(args, [work], gpu);
      const context = { ...(await openRun(gpu, work, folder, progressFor(args))), lanes };
      const { teachers } = await trainTeachers(context, recipe, folder);
      const last = teachers.map(({ meta }) => meta.testAccuracy.at(-1)!);
      const { mean, std } = summarise(last);
      const percent = (x: number): string => (100 * x).toFixed(1);
      console.log(
        `${teachers.length} teacher${teachers.length === 1 ? "" : "s"} in ${folder}, test accuracy ${percent(mean)} ± ${percent(std)} %`,
      );
    });
  },
};
