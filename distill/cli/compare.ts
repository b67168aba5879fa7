/** @file `potstill compare`: several recipes on the same data, beside the baselines, in one table. */
import { basename, join } from "node:path";
import type { CommandModule } from "yargs";
import { checkData } from "../data/record.ts";
import { compare, type CompareOptions, type Entry } from "../evaluation/compare.ts";
import { FileError } from "../files.ts";
import { readRecipe, recipeFile } from "../recipe-file.ts";
import { workOf } from "../run.ts";
import type { ResultRow } from "../evaluation/table.ts";
import {
  commonOptions,
  dataFrom,
  progressFor,
  shardFor,
  shardOption,
  withLanes,
  type CommonArguments,
  type ShardArguments,
} from "./options.ts";
import { aboutFile, makerOf, type About } from "../resume/about.ts";
import { aloneIn, checkNoRun, runState } from "../resume/folder.ts";
import { despiteLoss } from "../resume/lost.ts";
import { workOnShare } from "./compare-share.ts";
import { interruptible } from "./interruption.ts";
import { printResult, shownTable } from "./output.ts";
import {
  aboutRun,
  checkAlone,
  goOn,
  overwriteOption,
  recipeOf,
  resultsIn,
  resumeOption,
  tellChanges,
  unusedFolder,
} from "./resuming.ts";
import { pointsOf, sweepsOf, type Swept } from "./sweep.ts";
import { baselinesOf, baselinesOption, networksOption } from "./table-options.ts";
import { UsageError } from "./usage.ts";

interface CompareArguments extends CommonArguments, ShardArguments {
  readonly recipes: string[];
  readonly out: string | undefined;
  readonly resume: string | undefined;
  readonly overwrite: boolean;
  readonly networks: string | undefined;
  readonly baselines: string | undefined;
  readonly sweep: string[];
}

/** What is compared, and where. */
type Comparison = Pick<CompareOptions, "entries" | "networks" | "baselines" | "folder">;

/** The recipe of a shipped name or a file at the points of a sweep, named as the table names them. */
async function entriesOf(
  recipe: string,
  sweeps: readonly Swept[],
  args: CommonArguments,
): Promise<Entry[]> {
  const file = recipeFile(recipe);
  const entries: Entry[] = [];
  for (const point of pointsOf(basename(file, ".yaml"), readRecipe(file), sweeps))
    entries.push({ name: point.name, work: await workOf(point.recipe, dataFrom(args)) });
  return entries;
}

async function beginning(args: CompareArguments): Promise<Comparison> {
  const baselines =
    args.baselines === undefined ? undefined : baselinesOf("compare", args.baselines);
  const entries: Entry[] = [];
  const sweeps = sweepsOf(args.sweep);
  for (const recipe of args.recipes) entries.push(...(await entriesOf(recipe, sweeps, args)));
  const [first, ...others] = entries;
  if (!first) throw new UsageError("compare: needs one recipe or more, got none");
  const usual = join("runs", "compare");
  // Shards share a folder.
  const folder =
    args.out ??
    (args.overwrite || shardFor(args) ? usual : unusedFolder(usual, "compare", progressFor(args)));
  return { entries: [first, ...others], networks: args.networks, baselines, folder };
}

function checkArguments({ recipes, resume, ...args }: CompareArguments): void {
  if (shardFor(args) && (resume !== undefined || args.overwrite))
    throw new UsageError(
      "compare: shards go on by themselves, so they must be without --resume and --overwrite, got one",
    );
  if (resume === undefined) return;
  const flags = (["out", "overwrite", "networks", "baselines", "sweep"] as const).filter(
    (name) => args[name] !== undefined && args[name] !== false && String(args[name]) !== "",
  );
  checkAlone([...recipes, ...flags.map((name) => `--${name}`)]);
}

/** Does a comparison that begins, or what is left of one. */
function work(
  args: CompareArguments,
  { entries, ...comparison }: Comparison,
  begun?: About,
): Promise<ResultRow[]> {
  const { folder } = comparison;
  const progress = progressFor(args);
  const works = entries.map((entry) => entry.work);
  return aloneIn(folder, () => {
    if (!begun && !args.overwrite) checkNoRun(folder, "compare");
    return interruptible(goOn("compare", folder), (signal) =>
      withLanes(args, works, (gpus) => {
        if (begun) tellChanges(folder, begun, makerOf(gpus[0].facts), progress);
        const resume = begun !== undefined;
        return compare({ ...comparison, gpus, entries, progress, signal, resume });
      }),
    );
  });
}

/** Goes on with the comparison in a folder. */
async function resume(args: CompareArguments, folder: string): Promise<ResultRow[]> {
  const about = aboutRun(folder, "compare");
  const known = resultsIn(folder, progressFor(args));
  if (known) return known;
  const { precision, recipes, comparison } = about;
  const entries: Entry[] = [];
  for (const name of comparison?.entries ?? []) {
    const run = join(folder, name);
    entries.push({ name, work: await workOf(recipeOf(run, recipes[name]), dataFrom(args)) });
    checkData(run, entries.at(-1)!.work.source);
  }
  const [first, ...others] = entries;
  if (!first || !comparison)
    throw new FileError(
      `${aboutFile(folder)}: must name what is compared, got nothing; begin the comparison anew with --overwrite`,
    );
  const given = { ...comparison, entries: [first, ...others] as const, folder };
  return await work({ ...args, precision }, given, about);
}

/** Begins a comparison or goes on with one, to its rows. */
async function carryThrough(args: CompareArguments): Promise<ResultRow[]> {
  const begun = args.resume === undefined ? await beginning(args) : undefined;
  const folder = begun?.folder ?? args.resume!;
  if (begun && !args.overwrite) checkNoRun(folder, "compare");
  const go = (again: boolean): Promise<ResultRow[]> =>
    begun && !(again && runState(folder) === "unfinished")
      ? work(args, begun)
      : resume(args, folder);
  return await despiteLoss(go, goOn("compare", folder), progressFor(args));
}

export const compareCommand: CommandModule<object, CompareArguments> = {
  command: "compare [recipes..]",
  describe: "Distil by several recipes on the same data and compare them in one table",
  builder: (yargs) =>
    shardOption(
      commonOptions(
        yargs
          .positional("recipes", {
            type: "string",
            array: true,
            default: [],
            describe: "Recipe files, or names of shipped recipes",
          })
          .option("out", {
            type: "string",
            requiresArg: true,
            describe: "Folder of the comparison [runs/compare, with a number if that is taken]",
          })
          .option("resume", resumeOption)
          .option("overwrite", overwriteOption)
          .option("sweep", {
            type: "string",
            array: true,
            default: [],
            describe:
              "A setting at several values, lr_img=10,100; once for each setting: all combinations",
          })
          .option("networks", {
            ...networksOption,
            default: undefined,
            describe: `${networksOption.describe} [SS]`,
          })
          .option("baselines", {
            ...baselinesOption,
            describe: `${baselinesOption.describe} [full,random,random-soft]`,
          }),
      ),
    )
      .example("$0 compare digits-ipc1 digits-ipc10", "the table of the demo")
      .example("$0 compare digits-ipc1 --sweep lr_img=1,10 --sweep syn_steps=10,20", "a sweep")
      .example("$0 compare --resume runs/compare", "go on with one that was stopped"),
  handler: async (args) => {
    checkArguments(args);
    const shard = shardFor(args);
    if (shard) {
      await workOnShare(args, await beginning(args), shard);
      return;
    }
    const rows = await carryThrough(args);
    printResult(args, rows, () => shownTable(rows));
  },
};
