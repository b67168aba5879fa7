/** @file Recipes compared: on the same data, beside the baselines, in one table. */
import { join } from "node:path";
import type { Gpu } from "../../engine/index.ts";
import { recordData } from "../data/record.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import type { Progress } from "../progress.ts";
import { recipeToYaml } from "../recipe-file.ts";
import { RecipeError, teachingOf, type Recipe } from "../recipe.ts";
import { beginRun, distil, openRun, teachersOf, type RunContext, type Work } from "../run.ts";
import { recordAccuracy, scoreDistilled, scoreRandom, scoreWhole } from "./score.ts";
import type { ResultRow } from "./table.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";

/** A recipe by the name that it has in the table. */
export interface Entry {
  readonly name: string;
  readonly work: Work;
}

/** What {@link compare} is given. */
export interface CompareOptions {
  /** Devices that work side by side, each on another set; one is enough. */
  readonly gpus: readonly [Gpu, ...Gpu[]];
  readonly entries: readonly [Entry, ...Entry[]];
  /** Each recipe has a run of its own below it, by its name. */
  readonly folder: string;
  readonly progress: Progress;
}

/** Where a job is done, and who is told. */
type Lane = Pick<RunContext, "gpu" | "progress">;
type Job = (lane: Lane) => Promise<void>;

/**
 * Distils by every recipe and returns the table's rows: the whole training set, then for each number
 * of images a class random real images and the distilled sets. Teachers that recipes have in common
 * are trained once. `results.json` in the folder has the rows that are known so far.
 * @throws RecipeError when recipes are not of the same data and network.
 */
export async function compare(options: CompareOptions): Promise<ResultRow[]> {
  const { gpus, entries, progress } = options;
  checkAlike(entries);
  const folder = beginRun(options.folder);
  const [first, ...others] = entries;
  const base = await openRun(gpus[0], first.work, folder, progress);
  const baselines = new Map<number, ResultRow[]>(entries.map(({ work }) => [work.recipe.ipc, []]));
  const distilled = new Map<string, ResultRow>();
  let whole: Promise<ResultRow> | undefined;
  const wholeRows: ResultRow[] = [];

  const rows = (): ResultRow[] => {
    const counts = [...baselines.keys()].sort((a, b) => a - b);
    const of = (ipc: number): ResultRow[] => [
      ...baselines.get(ipc)!,
      ...entries.flatMap(({ name }) => distilled.get(name) ?? []).filter((row) => row.ipc === ipc),
    ];
    return [...wholeRows, ...counts.flatMap(of)];
  };
  const save = (): void => {
    writeAtomic(join(folder, "results.json"), `${JSON.stringify(rows(), null, 2)}\n`);
  };

  const teachers = teachersForAll(base, entries, folder);
  const distilBy =
    (entry: Entry): Job =>
    async (lane) => {
      const { name, work } = entry;
      const run = beginRun(join(folder, name));
      writeAtomic(join(run, "recipe.yaml"), recipeToYaml(work.recipe));
      recordData(run, work.source);
      const context = await openRun(lane.gpu, work, run, lane.progress);
      await distil(context, work.recipe, await teachers(entry, lane));
      const row = await scoreDistilled(context, work.recipe);
      recordAccuracy(run, row);
      distilled.set(name, { ...row, recipe: name });
      save();
    };
  const scoreTheWhole: Job = async (lane) => {
    whole ??= scoreWhole({ ...base, ...lane }, first.work.recipe);
    wholeRows[0] = await whole;
    save();
  };
  const scoreOthers: Job = async (lane) => {
    // Metrics come in one order, whoever is faster.
    await scoreTheWhole(lane);
    const own = await teachers(first, lane);
    for (const ipc of baselines.keys()) {
      const { recipe } = entries.find(({ work }) => work.recipe.ipc === ipc)!.work;
      baselines.set(ipc, await scoreRandom({ ...base, ...lane }, recipe, own));
      save();
    }
  };
  // While one device trains the teachers, another has what needs none.
  await work(gpus, progress, [
    distilBy(first),
    scoreTheWhole,
    ...others.map(distilBy),
    scoreOthers,
  ]);
  return rows();
}

/** Does the jobs, each on the first device that is free. */
async function work(gpus: readonly Gpu[], progress: Progress, jobs: readonly Job[]): Promise<void> {
  const left = [...jobs];
  const lanes = gpus.map(async (gpu, i) => {
    // One device's work is told of as it goes on; the others' when it is done.
    const lane = { gpu, progress: i === 0 ? progress : onlyConclusions(progress) };
    for (let job = left.shift(); job; job = left.shift()) await job(lane);
  });
  await Promise.all(lanes);
}

/** What makes one teacher unlike another. */
const teachersKey = (recipe: Recipe): string => JSON.stringify(teachingOf(recipe));

/** Trains the teachers of an entry when they are first asked for; alike ones share a folder. */
function teachersForAll(base: RunContext, entries: readonly Entry[], folder: string) {
  const keys = [...new Set(entries.map(({ work }) => teachersKey(work.recipe)))];
  const known = new Map<string, Promise<TrajectoryBuffer>>();
  return ({ work }: Entry, lane: Lane): Promise<TrajectoryBuffer> => {
    const key = teachersKey(work.recipe);
    let buffer = known.get(key);
    if (!buffer) {
      const at = keys.indexOf(key);
      const own = at === 0 ? folder : openRunFolder(join(folder, `teachers-${at + 1}`));
      known.set(key, (buffer = teachersOf({ ...base, ...lane, folder: own }, work.recipe)));
    }
    return buffer;
  };
}

/** Says only when work is done: two bars would write over each other. */
function onlyConclusions(progress: Progress): Progress {
  let label = "";
  return {
    start: (next) => void (label = next),
    update: () => undefined,
    stop: () => {
      if (label !== "") progress.log(`${label}: done`);
      label = "";
    },
    log: (line) => progress.log(line),
  };
}

function checkAlike(entries: readonly Entry[]): void {
  const [first, ...others] = entries.map(({ work }) => work.recipe);
  for (const recipe of others)
    for (const key of [
      "dataset",
      "per_class",
      "size",
      "normalisation",
      "zca",
      "network",
      "width",
    ] as const)
      if (recipe[key] !== first![key])
        throw new RecipeError([
          `compare: every recipe's ${key} must be ${first![key]} as the first one's, got ${recipe[key]}`,
        ]);
  const names = entries.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new RecipeError([`compare: recipes must have different names, got ${twice} twice`]);
}
