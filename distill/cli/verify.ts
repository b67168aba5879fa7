/** @file `potstill verify`: iterations of a run done again, which must have the same bits. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import type { Gpu } from "../../engine/index.ts";
import { checkData } from "../data/record.ts";
import { teachersHome, type Entry } from "../evaluation/compare.ts";
import { FileError } from "../files.ts";
import type { Progress } from "../progress.ts";
import { readRecipe } from "../recipe-file.ts";
import { makerOf, readAbout, unlike, type About } from "../resume/about.ts";
import { earliestCheckpoint } from "../resume/checkpoint.ts";
import { verifyRun, type Verified } from "../resume/verify.ts";
import { openRun, teachersOf, workOf, type Work } from "../run.ts";
import { commonOptions, dataFrom, progressFor, withGpu, type CommonArguments } from "./options.ts";
import { printResult } from "./output.ts";
import { recipeOf } from "./resuming.ts";
import { UsageError } from "./usage.ts";

interface VerifyArguments extends CommonArguments {
  readonly run: string;
  readonly iterations: number;
}

/** A run, or one of those of a comparison. */
interface Part {
  readonly run: string;
  readonly work: Work;
  /** The folder whose `buffer` has the teachers. */
  readonly home: string;
}

/** What there is to verify in a folder. Throws `FileError`, and as `workOf`. */
async function partsOf(
  folder: string,
  { comparison, recipes }: About,
  args: CommonArguments,
): Promise<Part[]> {
  const names = comparison?.entries ?? [""];
  const entries: Entry[] = [];
  for (const name of names) {
    const run = join(folder, name);
    const recipe = comparison
      ? recipeOf(run, recipes[name])
      : readRecipe(join(folder, "recipe.yaml"));
    const work = await workOf(recipe, dataFrom(args));
    checkData(run, work.source);
    entries.push({ name, work });
  }
  return entries.map(({ name, work }) => ({
    run: join(folder, name),
    work,
    home: comparison ? teachersHome(entries, work.recipe, folder) : folder,
  }));
}

interface Checked {
  readonly run: string;
  readonly verified: Verified;
}

async function check(
  gpu: Gpu,
  { run, work, home }: Part,
  count: number,
  progress: Progress,
): Promise<Checked> {
  const context = await openRun(gpu, work, run, progress);
  const teachers = await teachersOf({ ...context, folder: home }, work.recipe);
  const from = earliestCheckpoint(run, work.recipe);
  return { run, verified: await verifyRun(context, work.recipe, teachers, { count, from }) };
}

const rangeOf = ({ first, last, set }: Verified): string =>
  `iterations ${first} to ${last}${set ? " and the set" : ""}`;

const told = ({ run, verified }: Checked): string =>
  verified.differences.length === 0
    ? `${run}: ${rangeOf(verified)} are the same, bit for bit`
    : verified.differences.slice(0, SHOWN).join("\n");

/** Differences that are shown one by one. */
const SHOWN = 10;

export const verifyCommand: CommandModule<object, VerifyArguments> = {
  command: "verify <run>",
  describe: "Do iterations of a run again and compare them bit for bit",
  builder: (yargs) =>
    commonOptions(
      yargs
        .positional("run", {
          type: "string",
          demandOption: true,
          describe: "Folder of a run or a comparison",
        })
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
    const about = readAbout(folder);
    const { made_by: maker, precision } = about;
    const parts = await partsOf(folder, about, args);
    const works = parts.map(({ work }) => work);
    await withGpu({ ...args, precision }, works, async (gpu) => {
      const progress = progressFor(args);
      const changes = unlike(maker, makerOf(gpu.facts));
      if (changes !== undefined) progress.log(`${folder}: ${changes}`);
      const checked: Checked[] = [];
      for (const part of parts) checked.push(await check(gpu, part, count, progress));
      const results = checked.map(({ run, verified }) => ({ run, ...verified }));
      printResult(args, about.comparison ? results : checked[0]!.verified, () =>
        checked.map(told).join("\n"),
      );
      const wrong = checked.find(({ verified }) => verified.differences.length > 0);
      if (wrong)
        throw new FileError(
          `${wrong.run}: ${rangeOf(wrong.verified)} must be the same, bit for bit, got ${wrong.verified.differences.length} differences`,
        );
    });
  },
};
