/** @file Recipes compared: on the same data, beside the baselines, in one table. */
import { join } from "node:path";
import type { Gpu } from "../engine/index.ts";
import { recordData } from "./data/record.ts";
import { openRunFolder, writeAtomic } from "./files.ts";
import type { Progress } from "./progress.ts";
import { recipeToYaml } from "./recipe-file.ts";
import { RecipeError, teachingOf, type Recipe } from "./recipe.ts";
import {
  beginRun,
  distil,
  openRun,
  recordAccuracy,
  scoreDistilled,
  scoreRandom,
  scoreWhole,
  teachersOf,
  type RunContext,
  type Work,
} from "./run.ts";
import type { ResultRow } from "./table.ts";
import type { TrajectoryBuffer } from "./trajectory.ts";

/** A recipe by the name that it has in the table. */
export interface Entry {
  readonly name: string;
  readonly work: Work;
}

export interface CompareOptions {
  /** Trains the teachers and distils. */
  readonly gpu: Gpu;
  /** Scores the baselines meanwhile; when absent `gpu` does, before the distilled sets. */
  readonly beside?: Gpu | undefined;
  readonly entries: readonly [Entry, ...Entry[]];
  /** Each recipe has a run of its own below it, by its name. */
  readonly folder: string;
  readonly progress: Progress;
}

/**
 * Distils by every recipe and returns the table's rows: the whole training set, then for each number
 * of images a class random real images and the distilled sets. Teachers that recipes have in common
 * are trained once. `results.json` in the folder has the rows that are known so far.
 * @throws RecipeError when recipes are not of the same data and network.
 */
export async function compare(options: CompareOptions): Promise<ResultRow[]> {
  const { gpu, beside, entries, progress } = options;
  checkAlike(entries);
  const folder = beginRun(options.folder);
  const [first] = entries;
  const base = await openRun(gpu, first.work, folder, progress);
  const baselines = new Map<number, ResultRow[]>();
  const distilled: ResultRow[] = [];
  const whole: ResultRow[] = [];

  const rows = (): ResultRow[] => {
    const counts = [...new Set(entries.map(({ work }) => work.recipe.ipc))].sort((a, b) => a - b);
    const of = (ipc: number): ResultRow[] => [
      ...(baselines.get(ipc) ?? []),
      ...distilled.filter((row) => row.ipc === ipc),
    ];
    return [...whole, ...counts.flatMap(of)];
  };
  const save = (): void => {
    writeAtomic(join(folder, "results.json"), `${JSON.stringify(rows(), null, 2)}\n`);
  };

  const teachers = teachersForAll(base, entries, folder);
  const scoreBaselines = async (context: RunContext): Promise<void> => {
    whole.push(await scoreWhole(context, first.work.recipe));
    for (const { work } of entries) {
      const { recipe } = work;
      if (baselines.has(recipe.ipc)) continue;
      baselines.set(recipe.ipc, []);
      const own = await teachers(first);
      baselines.set(recipe.ipc, await scoreRandom(context, recipe, own));
      save();
    }
  };
  const distilAll = async (): Promise<void> => {
    for (const entry of entries) {
      const { recipe } = entry.work;
      const run = beginRun(join(folder, entry.name));
      writeAtomic(join(run, "recipe.yaml"), recipeToYaml(recipe));
      recordData(run, entry.work.source);
      const context = await openRun(gpu, entry.work, run, progress);
      await distil(context, recipe, await teachers(entry));
      const row = await scoreDistilled(context, recipe);
      recordAccuracy(run, row);
      distilled.push({ ...row, recipe: entry.name });
      save();
    }
  };
  if (beside) {
    // One device's work is told of as it goes on; the other's when it is done.
    const context = { ...base, gpu: beside, progress: onlyConclusions(progress) };
    await Promise.all([scoreBaselines(context), distilAll()]);
  } else {
    await scoreBaselines(base);
    await distilAll();
  }
  return rows();
}

/** What makes one teacher unlike another. */
const teachersKey = (recipe: Recipe): string => JSON.stringify(teachingOf(recipe));

/** Trains the teachers of an entry when they are first asked for; alike ones share a folder. */
function teachersForAll(base: RunContext, entries: readonly Entry[], folder: string) {
  const keys = [...new Set(entries.map(({ work }) => teachersKey(work.recipe)))];
  const known = new Map<string, Promise<TrajectoryBuffer>>();
  return ({ work }: Entry): Promise<TrajectoryBuffer> => {
    const key = teachersKey(work.recipe);
    let buffer = known.get(key);
    if (!buffer) {
      const at = keys.indexOf(key);
      const own = at === 0 ? folder : openRunFolder(join(folder, `teachers-${at + 1}`));
      known.set(key, (buffer = teachersOf({ ...base, folder: own }, work.recipe)));
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
