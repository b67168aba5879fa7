/** @file `potstill verify`: iterations of a run done again, which must have the same bits. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { checkData } from "../data/record.ts";
import { FileError } from "../files.ts";
import { readRecipe } from "../recipe-file.ts";
import { makerOf, readAbout, unlike } from "../resume/about.ts";
import { earliestCheckpoint } from "../resume/checkpoint.ts";
import { verifyRun } from "../resume/verify.ts";
import { openRun, teachersOf, workOf } from "../run.ts";
import { commonOptions, dataFrom, progressFor, withGpu, type CommonArguments } from "./options.ts";
import { printResult } from "./output.ts";
import { UsageError } from "./usage.ts";

interface VerifyArguments extends CommonArguments {
  readonly run: string;
  readonly iterations: number;
}

/** Differences that are shown one by one. */
const SHOWN = 10;

export const verifyCommand: CommandModule<object, VerifyArguments> = {
  command: "verify <run>",
  describe: "Do iterations of a run again and compare them bit for bit",
  builder: (yargs) =>
    commonOptions(
      yargs
        .positional("run", { type: "string", demandOption: true, describe: "Folder of a run" })
        .option("iterations", {
          type: "number",
          requiresArg: true,
          default: 20,
          describe: "How many, from the last checkpoint but one, or from the beginning",
        }),
    )
      .example("$0 verify runs/digits-ipc10", "its first 20 iterations")
      .example("$0 verify runs/digits-ipc10 --iterations 300", "all of it, and the set"),
  handler: async (args) => {
    const { run: folder, iterations: count } = args;
    if (!(Number.isInteger(count) && count >= 1))
      throw new UsageError(`--iterations must be an integer from 1, got ${count}`);
    const { made_by: maker, precision } = readAbout(folder);
    const recipe = readRecipe(join(folder, "recipe.yaml"));
    const work = await workOf(recipe, dataFrom(args));
    checkData(folder, work.source);
    await withGpu({ ...args, precision }, [work], async (gpu) => {
      const progress = progressFor(args);
      const changes = unlike(maker, makerOf(gpu.facts));
      if (changes !== undefined) progress.log(`${folder}: ${changes}`);
      const context = await openRun(gpu, work, folder, progress);
      const teachers = await teachersOf(context, recipe);
      const from = earliestCheckpoint(folder, recipe);
      const { first, last, set, differences } = await verifyRun(context, recipe, teachers, {
        ...{ count, from },
      });
      const what = `iterations ${first} to ${last}${set ? " and the set" : ""}`;
      printResult(args, { first, last, set, differences }, () =>
        differences.length === 0
          ? `${folder}: ${what} are the same, bit for bit`
          : differences.slice(0, SHOWN).join("\n"),
      );
      if (differences.length === 0) return;
      throw new FileError(
        `${folder}: ${what} must be the same, bit for bit, got ${differences.length} differences`,
      );
    });
  },
};
