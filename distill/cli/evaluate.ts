/** @file `potstill evaluate`: what the distilled sets of a run are worth beside random real images. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { checkData } from "../data/record.ts";
import { FileError, writeAtomic } from "../files.ts";
import { readRecipes } from "../recipe-file.ts";
import { distilledFile, openRun, teachersOf, workOf } from "../run.ts";
import { distilledFor, scoreDistilled, scoreRandom, scoreWhole } from "../evaluation/score.ts";
import { formatTable } from "../evaluation/table.ts";
import { printResult } from "./output.ts";
import { commonOptions, dataFrom, progressFor, withGpu, type CommonArguments } from "./options.ts";

interface EvaluateArguments extends CommonArguments {
  readonly run: string;
}

export const evaluateCommand: CommandModule<object, EvaluateArguments> = {
  command: "evaluate <run>",
  describe: "Train fresh networks on a run's distilled sets and test them",
  builder: (yargs) =>
    commonOptions(
      yargs.positional("run", {
        type: "string",
        demandOption: true,
        describe: "Folder of a run",
      }),
    ).example("$0 evaluate runs/demo", "the table of the demo once more"),
  handler: async (args) => {
    const folder = args.run;
    const recipes = readRecipes(join(folder, "recipe.yaml"));
    const works = await Promise.all(recipes.map((recipe) => workOf(recipe, dataFrom(args))));
    // Whatever is missing or damaged is told before anything is trained.
    for (const work of works) {
      const path = distilledFile(folder, work.recipe.ipc);
      if (!existsSync(path))
        throw new FileError(`${path}: the run must be finished, got no such file`);
      checkData(folder, work.source);
      distilledFor(folder, work);
    }
    await withGpu(args, works, async (gpu) => {
      const progress = progressFor(args);
      const runs = [];
      for (const work of works) {
        const context = await openRun(gpu, work, folder, progress);
        runs.push({ context, teachers: await teachersOf(context, work.recipe) });
      }
      const rows = [await scoreWhole(runs[0]!.context, recipes[0]!)];
      for (const [i, { context, teachers }] of runs.entries()) {
        const recipe = recipes[i]!;
        rows.push(...(await scoreRandom(context, recipe, teachers)));
        rows.push(await scoreDistilled(context, recipe));
      }
      writeAtomic(join(folder, "results.json"), `${JSON.stringify(rows, null, 2)}\n`);
      printResult(args, rows, () => formatTable(rows));
    });
  },
};
