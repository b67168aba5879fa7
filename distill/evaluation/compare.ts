/** @file Recipes compared: on the same data, beside the baselines, in one table. */
import { join } from "node:path";
import type { Gpu } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { recordData } from "../data/record.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import type { Progress } from "../progress.ts";
import { recipeToYaml } from "../recipe-file.ts";
import { RecipeError, teachingOf, type Recipe } from "../recipe.ts";
import { makerOf } from "../resume/about.ts";
import { hasCheckpoint, removeCheckpoints } from "../resume/checkpoint.ts";
import { UnfinishedEvaluation } from "../resume/evaluation.ts";
import { takeUp } from "../resume/folder.ts";
import { beginRun, distil, openRun, teachersOf, type RunContext, type Work } from "../run.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import type { Baseline } from "./baselines.ts";
import type { Evaluation } from "./evaluate.ts";
import { planOf } from "./plan.ts";
import { networkPool } from "./pool.ts";
import {
  distilledCandidate,
  distilledFor,
  record,
  recordAccuracy,
  score,
  scoreDistilled,
  scoreRow,
  wholeCandidate,
  type Candidate,
} from "./score.ts";
import { realSubsets } from "./subsets.ts";
import { resultsJson, type ResultRow } from "./table.ts";

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
  /** Networks that are trained, by names or letters of pools; the recipes' own when absent. */
  readonly networks?: string | undefined;
  /** The whole set and random images with hard and soft labels when absent. */
  readonly baselines?: readonly Baseline[] | undefined;
  /** Each recipe has a run of its own below it, by its name. */
  readonly folder: string;
  readonly progress: Progress;
  /** Stops the comparison where it can go on later; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Where a job is done, and who is told. */
type Lane = Pick<RunContext, "gpu" | "progress">;
type Job = (lane: Lane) => Promise<void>;

/**
 * Distils by every recipe and returns the table's rows: the whole training set, then for each number
 * of images a class the other baselines and the distilled sets, each with all networks. Teachers that
 * recipes have in common are trained once. `results.json` in the folder has the rows that are known
 * so far. A comparison of the same recipes that was cut off in the folder goes on.
 * @throws RecipeError when recipes are not of the same data and network; ModelError for a network that
 * there is not, or not for these images.
 */
export async function compare(options: CompareOptions): Promise<ResultRow[]> {
  const { gpus, entries, progress, networks: pool = "SS" } = options;
  const { baselines: wanted = ["full", "random", "random-soft"] } = options;
  checkAlike(entries);
  const [first, ...others] = entries;
  const { recipe: own, model } = first.work;
  const networks = networkPool(pool, model.task, own);
  const folder = beginRun(options.folder);
  const ended = new AbortController();
  const signals = [ended.signal, ...(options.signal ? [options.signal] : [])];
  const signal = AbortSignal.any(signals);
  const opened = await openRun(gpus[0], first.work, folder, progress);
  const what = [makerOf(gpus[0].facts), opened.dataset.id, entries.map(({ work }) => work.recipe)];
  const unfinished = new UnfinishedEvaluation(folder, what);
  const base = { ...opened, signal, unfinished };
  const counts = [...new Set(entries.map(({ work }) => work.recipe.ipc))].sort((a, b) => a - b);
  const real = new Ordered<ResultRow[]>(1 + counts.length, () => save());
  const distilled = new Map<string, ResultRow[]>();

  const rows = (): ResultRow[] => {
    const of = (ipc: number, at: number): ResultRow[] => [
      ...(real.known[1 + at] ?? []),
      ...entries.flatMap(({ name }) => distilled.get(name) ?? []).filter((row) => row.ipc === ipc),
    ];
    return [...(real.known[0] ?? []), ...counts.flatMap(of)];
  };
  const save = (): void => {
    writeAtomic(join(folder, "results.json"), resultsJson(rows()));
  };

  const teachers = teachersForAll(base, entries, folder);
  const distilBy =
    (entry: Entry): Job =>
    async (lane) => {
      const { name, work } = entry;
      const { recipe } = work;
      const run = openRunFolder(join(folder, name));
      const cut = hasCheckpoint(run, recipe);
      if (!cut) beginRun(run);
      writeAtomic(join(run, "recipe.yaml"), recipeToYaml(recipe));
      recordData(run, work.source);
      const context = { ...(await openRun(lane.gpu, work, run, lane.progress)), signal };
      const followed = await teachers(entry, lane);
      const resume = cut ? takeUp(run, recipe, lane.progress) : undefined;
      await distil(context, recipe, followed, { resume });
      const file = distilledFor(run, work);
      const scored: ResultRow[] = [];
      for (const network of networks) {
        if (network.name === recipe.network) {
          scored.push(await scoreDistilled(context, recipe));
          recordAccuracy(run, scored.at(-1)!);
        } else {
          const candidate = distilledCandidate(file, { method: recipe.method });
          scored.push(await scoreRow(context, planOf(recipe), network, candidate, recipe.network));
        }
      }
      distilled.set(
        name,
        scored.map((row) => ({ ...row, recipe: name })),
      );
      save();
    };
  /** Scores candidates with all networks; what is written comes in one order, whoever is faster. */
  const scoreReal = async (
    at: number,
    { recipe }: Work,
    lane: Lane,
    candidates: readonly Candidate[],
  ): Promise<void> => {
    const bench = { ...base, ...lane };
    const plan = planOf(recipe);
    const results: [Model, Candidate, Evaluation][] = [];
    for (const candidate of candidates)
      for (const network of networks)
        results.push([network, candidate, await score(bench, plan, network, candidate)]);
    real.put(at, () =>
      results.map(([network, candidate, result]) =>
        record(bench, plan, network, candidate, own.network, result),
      ),
    );
  };
  const scoreTheWhole: Job = (lane) =>
    scoreReal(0, first.work, lane, wanted.includes("full") ? [wholeCandidate(base, own)] : []);
  const scoreSubsets =
    (ipc: number, at: number): Job =>
    async (lane) => {
      const { work } = entries.find((entry) => entry.work.recipe.ipc === ipc)!;
      const advisers = { gpu: lane.gpu, model, teachers: () => teachers(first, lane) };
      const subsets = await realSubsets(base.dataset, advisers, planOf(work.recipe), ipc, wanted);
      await scoreReal(
        1 + at,
        work,
        lane,
        subsets.map(({ method, setOf }) => ({ key: { method, ipc }, setOf })),
      );
    };
  // While one device trains the teachers, another has what needs none.
  const jobs = [
    distilBy(first),
    scoreTheWhole,
    ...others.map(distilBy),
    ...counts.map(scoreSubsets),
  ];
  await work(gpus, progress, jobs, ended);
  for (const { name, work } of entries) removeCheckpoints(join(folder, name), work.recipe);
  unfinished.finish();
  return rows();
}

/** Results of numbered work, made one after the other whatever is done first. */
class Ordered<T> {
  readonly known: T[] = [];
  private readonly waiting: (() => T)[];
  private readonly told: () => void;

  constructor(count: number, told: () => void) {
    this.waiting = new Array<() => T>(count);
    this.told = told;
  }

  put(at: number, make: () => T): void {
    this.waiting[at] = make;
    for (let next; (next = this.waiting[this.known.length]);) this.known.push(next());
    this.told();
  }
}

/** Does the jobs, each on the first device that is free; the first error ends all by `ended`. */
async function work(
  gpus: readonly Gpu[],
  progress: Progress,
  jobs: readonly Job[],
  ended: AbortController,
): Promise<void> {
  const left = [...jobs];
  const lanes = gpus.map(async (gpu, i) => {
    // One device's work is told of as it goes on; the others' when it is done.
    const lane = { gpu, progress: i === 0 ? progress : onlyConclusions(progress) };
    try {
      for (let job = left.shift(); job; job = left.shift()) {
        ended.signal.throwIfAborted();
        await job(lane);
      }
    } catch (error) {
      ended.abort(error);
    }
  });
  await Promise.all(lanes);
  ended.signal.throwIfAborted();
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
