/** @file `potstill compare`: several recipes on the same data, beside the baselines, in one table. */
import { basename, join } from "node:path";
import type { CommandModule } from "yargs";
import { compare, type Entry } from "../evaluation/compare.ts";
import { readRecipe, recipeFile } from "../recipe-file.ts";
import { workOf } from "../run.ts";
import { formatTable } from "../evaluation/table.ts";
import {
  commonOptions,
  dataFrom,
  progressFor,
  withLanes,
  type CommonArguments,
} from "./options.ts";
import { aloneIn } from "../resume/folder.ts";
import { interruptible } from "./interruption.ts";
import { printResult } from "./output.ts";
import { baselinesOf, baselinesOption, networksOption } from "./table-options.ts";
import { UsageError } from "./usage.ts";

interface CompareArguments extends CommonArguments {
  readonly recipes: string[];
  readonly out: string | undefined;
  readonly networks: string;
  readonly baselines: string | undefined;
}

/** The recipe of a shipped name or a file, named as the table names it. */
async function entryOf(recipe: string, args: CommonArguments): Promise<Entry> {
  const file = recipeFile(recipe);
  const work = await workOf(readRecipe(file), dataFrom(args));
  return { name: basename(file, ".yaml"), work };
}

export const compareCommand: CommandModule<object, CompareArguments> = {
  command: "compare <recipes..>",
  describe: "Distil by several recipes on the same data and compare them in one table",
  builder: (yargs) =>
    commonOptions(
      yargs
        .positional("recipes", {
          type: "string",
          array: true,
          demandOption: true,
          describe: "Recipe files, or names of shipped recipes",
        })
        .option("out", {
          type: "string",
          requiresArg: true,
          describe: "Folder of the comparison [runs/compare]",
        })
        .option("networks", networksOption)
        .option("baselines", {
          ...baselinesOption,
          describe: `${baselinesOption.describe} [full,random,random-soft]`,
        }),
    ).example("$0 compare digits-ipc1 digits-ipc10", "the table of the demo"),
  handler: async (args) => {
    const baselines =
      args.baselines === undefined ? undefined : baselinesOf("compare", args.baselines);
    const entries: Entry[] = [];
    for (const recipe of args.recipes) entries.push(await entryOf(recipe, args));
    const [first, ...others] = entries;
    if (!first) throw new UsageError("compare: needs one recipe or more, got none");
    const works = entries.map(({ work }) => work);
    const folder = args.out ?? join("runs", "compare");
    const rows = await aloneIn(folder, () =>
      interruptible("go on by the same command", (signal) =>
        withLanes(args, works, (gpus) =>
          compare({
            gpus,
            entries: [first, ...others],
            networks: args.networks,
            baselines,
            folder,
            progress: progressFor(args),
            signal,
          }),
        ),
      ),
    );
    printResult(args, rows, () => formatTable(rows));
  },
};
