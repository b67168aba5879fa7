/** @file `potstill distill`: teachers, matching, pictures and results of one recipe in a folder. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { CommandModule } from "yargs";
import { checkData, recordData } from "../data/record.ts";
import type { Gpu } from "../../engine/index.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import type { Probed } from "../probe.ts";
import type { Progress } from "../progress.ts";
import { planMatching } from "../matching/match.ts";
import { recipeToYaml } from "../recipe-file.ts";
import { recipeFlags, resolveRecipe } from "../recipe.ts";
import { distil, openRun, teachersOf, workOf, type Work } from "../run.ts";
import { evaluationOf, recordAccuracy, scoreDistilled } from "../evaluation/score.ts";
import { EventFile } from "../report/tensorboard.ts";
import { resultsJson, type ResultRow } from "../evaluation/table.ts";
import { makerOf, writeAbout, type About } from "../resume/about.ts";
import { recipeId, removeCheckpoints } from "../resume/checkpoint.ts";
import { beginRun, checkNoRun, aloneIn, runState, takeUp } from "../resume/folder.ts";
import { despiteLoss } from "../resume/lost.ts";
import { earlierTeachers } from "../teachers/earlier.ts";
import { checkTeachers, missingTeachers } from "../teachers/teacher.ts";
import {
  checkpointOption,
  commonOptions,
  dataFrom,
  lanesFor,
  progressFor,
  withGpu,
  type CommonArguments,
} from "./options.ts";
import { DataError } from "../data/dataset.ts";
import { dryRun, timeLine } from "./dry-run.ts";
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
import {
  overridesOf,
  recipeFor,
  recipeOptions,
  teachersFlag,
  workFor,
  type RecipeArguments,
} from "./settings.ts";
import { UsageError } from "./usage.ts";

export interface DistillArguments extends CommonArguments, RecipeArguments {
  readonly out: string | undefined;
  readonly resume: string | undefined;
  readonly overwrite: boolean;
  readonly "checkpoint-every": number | undefined;
  readonly tensorboard: boolean;
  readonly "dry-run": boolean;
}

export const flags = recipeFlags();

/** Where runs are by default, and teachers looked for. */
const RUNS = "runs";

/** Where a run's TensorBoard events are; a run that has the folder writes them. */
const eventsIn = (folder: string): string => join(folder, "tensorboard");

export const distillCommand: CommandModule<object, DistillArguments> = {
  command: "distill [dataset]",
  describe: "Make a small synthetic set from a large real one",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs, flags, teachersFlag)
        .option("out", {
          type: "string",
          requiresArg: true,
          describe: "Folder of the run [runs/<dataset>-ipc<ipc>, with a number if that is taken]",
        })
        .option("resume", resumeOption)
        .option("overwrite", overwriteOption)
        .option("checkpoint-every", checkpointOption)
        .option("dry-run", {
          type: "boolean",
          default: false,
          describe: "Say what the run would take of memory, disk and time, and do nothing",
        })
        .option("tensorboard", {
          type: "boolean",
          default: false,
          describe: "Write event files for TensorBoard, too, into tensorboard/ of the run's folder",
        }),
    )
      .example("$0 distill digits --ipc 10", "ten images a class of the handwritten digits")
      .example("$0 distill --recipe my.yaml --seed 7 --out runs/mine", "by a recipe of your own")
      .example("$0 distill --resume runs/mine", "go on with a run that was stopped"),
  handler: async (args) => {
    checkArguments(args);
    if (args["dry-run"]) {
      await tellPlan(args);
      return;
    }
    const rows = await carryThrough(args);
    printResult(args, rows, () => shownTable(rows));
  },
};

/** Begins a run or goes on with one, to its rows. Throws as what it is made of does. */
export async function carryThrough(args: DistillArguments): Promise<ResultRow[]> {
  const begun = args.resume === undefined ? await beginning(args) : undefined;
  const folder = begun?.folder ?? args.resume!;
  const go = (again: boolean): Promise<ResultRow[]> =>
    begun && !(again && runState(folder) === "unfinished")
      ? begin(args, begun)
      : resume(args, folder);
  return await despiteLoss(go, goOn("distill", folder), progressFor(args));
}

function checkArguments(args: DistillArguments): void {
  const every = args["checkpoint-every"];
  if (every !== undefined && !(Number.isInteger(every) && every >= 1))
    throw new UsageError(`--checkpoint-every must be an integer from 1, got ${every}`);
  if (args.resume === undefined) return;
  const settings = Object.entries(overridesOf({ ...args }, flags)).flatMap(
    ([key, value]: [string, unknown]) =>
      typeof value === "object" && value !== null
        ? Object.keys(value).map((inner) => `--${key}.${inner}`)
        : [`--${key}`],
  );
  checkAlone([
    ...(args.dataset === undefined ? [] : [args.dataset]),
    ...(args.recipe === undefined ? [] : ["--recipe"]),
    ...(args.out === undefined ? [] : ["--out"]),
    ...(args.overwrite ? ["--overwrite"] : []),
    ...(args["dry-run"] ? ["--dry-run"] : []),
    ...(args.tensorboard ? ["--tensorboard"] : []),
    ...settings,
  ]);
}

/** What a run would take; how long only where its data are here. */
async function tellPlan(args: DistillArguments): Promise<void> {
  const plan = await dryRun(recipeFor({ ...args }, flags, "distill"));
  let time: string;
  try {
    const work = await workFor({ ...args }, flags, "distill");
    time = await withGpu(args, [work], (gpu) => timeLine(gpu, probedOf(args, work, gpu)));
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    time = `time         not measured: ${error.message}`;
  }
  const lines = [...plan.split("\n"), time];
  const told = lines.map((line) => /^(\S+(?: \S+)*) {2,}(.*)$/s.exec(line)!.slice(1));
  printResult(args, Object.fromEntries(told), () => lines.join("\n"));
}

/** What is measured of the work of a run, whose teachers may be in `buffer` already. */
function probedOf(args: DistillArguments, work: Work, gpu: Gpu, buffer?: string): Probed {
  const { recipe, model, source } = work;
  const { folder, experts } = recipe.teachers;
  const own = buffer === undefined ? experts : missingTeachers(recipe, buffer);
  const teachers = folder === undefined ? own : 0;
  const lanes = Math.max(1, Math.min(teachers, lanesFor(args, [work], gpu).most));
  return { model, recipe, count: source.train.count, teachers, lanes };
}

/** What a new run does, and where. */
interface Beginning {
  readonly work: Work;
  readonly folder: string;
}

async function beginning(args: DistillArguments): Promise<Beginning> {
  const work = await workFor({ ...args }, flags, "distill");
  const { recipe, source } = work;
  if (args.out !== undefined) return { work, folder: args.out };
  const usual = join(RUNS, `${source.name}-ipc${recipe.ipc}`);
  return {
    work,
    folder: args.overwrite ? usual : unusedFolder(usual, "distill", progressFor(args)),
  };
}

/** A new run, from its teachers to its results. */
async function begin(args: DistillArguments, { work, folder }: Beginning): Promise<ResultRow[]> {
  const { recipe, source } = work;
  if (!args.overwrite) checkNoRun(folder, "distill");
  return await withGpu(args, [work], async (gpu) => {
    // What cannot fit is told before teachers are trained.
    planMatching(work.model, recipe, recipe.ipc * source.classes.length, gpu.facts);
    return await aloneIn(folder, () => beginIn(folder, args, work, gpu));
  });
}

/** The same in its folder, which no other process works in. */
async function beginIn(
  folder: string,
  args: DistillArguments,
  work: Work,
  gpu: Gpu,
): Promise<ResultRow[]> {
  if (!args.overwrite) checkNoRun(folder, "distill");
  const context = await openRun(gpu, work, folder, progressFor(args));
  const missing = missingTeachers(work.recipe, join(folder, "buffer")) > 0;
  const earlier = args.out === undefined && missing && earlierTeachers(work.recipe, context, RUNS);
  if (earlier) {
    context.progress.log(`teachers: those in ${earlier} are the recipe's, and are taken`);
    work = {
      ...work,
      recipe: resolveRecipe(work.recipe, { teachers: { folder: resolve(earlier) } }),
    };
  }
  const { recipe, source } = work;
  // Teachers of another kind are refused before anything of an earlier run is replaced.
  if (recipe.teachers.folder === undefined)
    checkTeachers(recipe, context.dataset, join(folder, "buffer"));
  else await teachersOf(context, recipe);
  beginRun(folder);
  writeAtomic(join(folder, "recipe.yaml"), recipeToYaml(recipe));
  recordData(folder, source);
  if (args.tensorboard) openRunFolder(eventsIn(folder));
  writeAbout(folder, {
    command: "distill",
    recipes: { [`${source.name}-ipc${recipe.ipc}`]: recipeId(recipe) },
    seed: recipe.seed,
    precision: args.precision,
    made_by: makerOf(gpu.facts),
    resumed_by: [],
  });
  const plan = await dryRun(recipe, work.model);
  for (const line of [`run          ${folder}`, ...plan.split("\n")]) context.progress.log(line);
  return await carryOut(args, work, context, true);
}

/** The run that is in a folder, from where it stands. */
async function resume(args: DistillArguments, folder: string): Promise<ResultRow[]> {
  const progress = progressFor(args);
  const about = aboutRun(folder, "distill");
  const known = resultsIn(folder, progress);
  if (known) return known;
  return await aloneIn(folder, () => resumeIn(folder, args, about, progress));
}

async function resumeIn(
  folder: string,
  args: DistillArguments,
  about: About,
  progress: Progress,
): Promise<ResultRow[]> {
  const [id] = Object.values(about.recipes);
  const recipe = recipeOf(folder, id);
  const work = await workOf(recipe, dataFrom(args));
  checkData(folder, work.source);
  const { precision } = about;
  return await withGpu({ ...args, precision }, [work], async (gpu) => {
    tellChanges(folder, about, makerOf(gpu.facts), progress);
    const context = await openRun(gpu, work, folder, progress);
    return await carryOut(args, work, context, false);
  });
}

/** What is left to do of the run in a context's folder. */
function carryOut(
  args: DistillArguments,
  work: Work,
  given: Awaited<ReturnType<typeof openRun>>,
  anew: boolean,
): Promise<ResultRow[]> {
  const { recipe } = work;
  const { gpu, folder, progress } = given;
  return interruptible(goOn("distill", folder), async (signal) => {
    const context = { ...given, signal };
    if (anew && !args.quiet && !args.json) {
      const probed = probedOf(args, work, gpu, join(folder, "buffer"));
      progress.log(await timeLine(gpu, { ...probed, signal }));
    }
    const teachers = await teachersOf({ ...context, lanes: lanesFor(args, [work], gpu) }, recipe);
    const checkpoint = anew ? undefined : takeUp(folder, recipe, progress);
    const from = checkpoint ? checkpoint.state.iteration + 1 : 0;
    const events = existsSync(eventsIn(folder))
      ? new EventFile(eventsIn(folder), { from })
      : undefined;
    const keeping = { resume: checkpoint, checkpointEvery: args["checkpoint-every"] };
    await distil({ ...context, events }, recipe, teachers, keeping);
    const unfinished = evaluationOf(context, recipe);
    const rows = [await scoreDistilled({ ...context, events, unfinished }, recipe)];
    recordAccuracy(folder, rows[0]!);
    unfinished.finish();
    writeAtomic(join(folder, "results.json"), resultsJson(rows));
    removeCheckpoints(folder, recipe);
    return rows;
  });
}
