/** @file `potstill distill`: teachers, matching, pictures and results of one recipe in a folder. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { recordData } from "../data/record.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import { planMatching } from "../matching/match.ts";
import { recipeToYaml } from "../recipe-file.ts";
import { recipeFlags } from "../recipe.ts";
import { beginRun, distil, openRun, teachersOf } from "../run.ts";
import { recordAccuracy, scoreDistilled } from "../evaluation/score.ts";
import { EventFile } from "../report/tensorboard.ts";
import { formatTable } from "../evaluation/table.ts";
import { commonOptions, lanesFor, progressFor, withGpu, type CommonArguments } from "./options.ts";
import { dryRun } from "./dry-run.ts";
import {
  recipeFor,
  recipeOptions,
  teachersFlag,
  workFor,
  type RecipeArguments,
} from "./settings.ts";

interface DistillArguments extends CommonArguments, RecipeArguments {
  readonly out: string | undefined;
  readonly tensorboard: boolean;
  readonly "dry-run": boolean;
}

const flags = recipeFlags();

export const distillCommand: CommandModule<object, DistillArguments> = {
  command: "distill [dataset]",
  describe: "Make a small synthetic set from a large real one",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs, flags, teachersFlag)
        .option("out", {
          type: "string",
          requiresArg: true,
          describe: "Folder of the run [runs/<dataset>-ipc<ipc>]",
        })
        .option("dry-run", {
          type: "boolean",
          default: false,
          describe: "Say what the run would take of memory and disk, and do nothing",
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
    if (args["dry-run"]) {
      console.log(await dryRun(recipeFor({ ...args }, flags, "distill")));
      return;
    }
    const work = await workFor({ ...args }, flags, "distill");
    const { recipe } = work;
    await withGpu(args, [work], async (gpu) => {
      // What cannot fit is told before teachers are trained.
      planMatching(work.model, recipe, recipe.ipc * work.source.classes.length, gpu.facts);
      const out = args.out ?? join("runs", `${work.source.name}-ipc${recipe.ipc}`);
      const context = await openRun(gpu, work, openRunFolder(out), progressFor(args));
      const lanes = lanesFor(args, [work], gpu);
      // Teachers of another kind are refused before anything of an earlier run is replaced.
      const teachers = await teachersOf({ ...context, lanes }, recipe);
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
