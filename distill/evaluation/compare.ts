/** @file Recipes compared: on the same data, beside the baselines, in one table. */
import { join } from "node:path";
import type { Gpu } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { recordData } from "../data/record.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import type { Progress } from "../progress.ts";
import { recipeToYaml } from "../recipe-file.ts";
import { RecipeError, teachingOf, type Recipe } from "../recipe.ts";
import { makerOf, writeAbout } from "../resume/about.ts";
import { recipeId, removeCheckpoints } from "../resume/checkpoint.ts";
import { UnfinishedEvaluation } from "../resume/evaluation.ts";
import { takeUp } from "../resume/folder.ts";
import { beginRun, distil, openRun, teachersOf, type RunContext, type Work } from "../run.ts";
import { checkTeachers } from "../teachers/teacher.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import type { Baseline } from "./baselines.ts";
import type { Evaluation } from "./evaluate.ts";
import { doJobs, type Job, type Lane } from "./jobs.ts";
import { planOf } from "./plan.ts";
import { networkPool } from "./pool.ts";
import {
  distilledCandidate,
  distilledFor,
  evaluationOf,
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
  /** Whether the same comparison that was cut off in the folder goes on; else one that is there is replaced. */
  readonly resume?: boolean | undefined;
}

/**
 * Distils by every recipe and returns the table's rows: the whole training set, then for each number
 * of images a class the other baselines and the distilled sets, each with all networks. Teachers that
 * recipes have in common are trained once, and kept where they are. `results.json` in the folder has
 * the rows when all are known.
 * @throws FileError when teachers in the folder are of another kind; RecipeError when recipes are not of
 * the same data and network; ModelError for a network that there is not, or not for these images.
 */
export async function compare(options: CompareOptions): Promise<ResultRow[]> {
  const { gpus, entries, progress, folder, resume = false, networks: pool = "SS" } = options;
  const { baselines: wanted = ["full", "random", "random-soft"] } = options;
  checkAlike(entries);
  const [first, ...others] = entries;
  const { recipe: own, model } = first.work;
  const networks = networkPool(pool, model.task, own);
  const ended = new AbortController();
  const signals = [ended.signal, ...(options.signal ? [options.signal] : [])];
  const signal = AbortSignal.any(signals);
  const opened = await openRun(gpus[0], first.work, openRunFolder(folder), progress);
  if (!resume) begin(options, opened, { networks: pool, baselines: [...wanted] });
  const what = [makerOf(gpus[0].facts), opened.dataset.id, entries.map(({ work }) => work.recipe)];
  const unfinished = new UnfinishedEvaluation(folder, what);
  const evaluations = [unfinished];
  const base = { ...opened, signal, unfinished };
  const counts = [...new Set(entries.map(({ work }) => work.recipe.ipc))].sort((a, b) => a - b);
  const real = new Ordered<ResultRow[]>(1 + counts.length);
  const distilled = new Map<string, ResultRow[]>();

  const rows = (): ResultRow[] => {
    const of = (ipc: number, at: number): ResultRow[] => [
      ...(real.known[1 + at] ?? []),
      ...entries.flatMap(({ name }) => distilled.get(name) ?? []).filter((row) => row.ipc === ipc),
    ];
    return [...(real.known[0] ?? []), ...counts.flatMap(of)];
  };

  const teachers = teachersForAll(base, entries, folder);
  const distilBy =
    (entry: Entry): Job =>
    async (lane) => {
      const { name, work } = entry;
      const { recipe } = work;
      const run = openRunFolder(join(folder, name));
      const context = { ...(await openRun(lane.gpu, work, run, lane.progress)), signal };
      const followed = await teachers(entry, lane);
      const checkpoint = resume ? takeUp(run, recipe, lane.progress) : undefined;
      await distil(context, recipe, followed, { resume: checkpoint });
      const file = distilledFor(run, work);
      const bench = { ...context, unfinished: evaluationOf(context, recipe) };
      evaluations.push(bench.unfinished);
      const scored: ResultRow[] = [];
      for (const network of networks) {
        if (network.name === recipe.network) {
          scored.push(await scoreDistilled(bench, recipe));
          recordAccuracy(run, scored.at(-1)!);
        } else {
          const candidate = distilledCandidate(file, { method: recipe.method });
          scored.push(await scoreRow(bench, planOf(recipe), network, candidate, recipe.network));
        }
      }
      distilled.set(
        name,
        scored.map((row) => ({ ...row, recipe: name })),
      );
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
  await doJobs(gpus, progress, jobs, ended);
  for (const evaluation of evaluations) evaluation.finish();
  writeAtomic(join(folder, "results.json"), resultsJson(rows()));
  for (const { name, work } of entries) removeCheckpoints(join(folder, name), work.recipe);
  return rows();
}

/** Replaces what is in the folder by the comparison's beginning: its recipes, and `run.json`. */
function begin(
  { gpus, entries, folder }: CompareOptions,
  { dataset }: RunContext,
  table: { readonly networks: string; readonly baselines: Baseline[] },
): void {
  // Teachers of another kind are refused before anything of an earlier comparison is replaced.
  for (const { work } of entries)
    if (work.recipe.teachers.folder === undefined)
      checkTeachers(
        work.recipe,
        dataset,
        join(teachersHome(entries, work.recipe, folder), "buffer"),
      );
  beginRun(folder);
  for (const { name, work } of entries) {
    const run = beginRun(join(folder, name));
    writeAtomic(join(run, "recipe.yaml"), recipeToYaml(work.recipe));
    recordData(run, work.source);
  }
  const { facts } = gpus[0];
  writeAbout(folder, {
    command: "compare",
    recipes: Object.fromEntries(entries.map(({ name, work }) => [name, recipeId(work.recipe)])),
    comparison: { entries: entries.map(({ name }) => name), ...table },
    seed: entries[0].work.recipe.seed,
    precision: facts.precision,
    made_by: makerOf(facts),
    resumed_by: [],
  });
}

/** Results of numbered work, made one after the other whatever is done first. */
class Ordered<T> {
  readonly known: T[] = [];
  private readonly waiting: (() => T)[];

  constructor(count: number) {
    this.waiting = new Array<() => T>(count);
  }

  put(at: number, make: () => T): void {
    this.waiting[at] = make;
    for (let next; (next = this.waiting[this.known.length]);) this.known.push(next());
  }
}

/** What makes one teacher unlike another. */
const teachersKey = (recipe: Recipe): string => JSON.stringify(teachingOf(recipe));

/** The folder in which the teachers of a comparison's recipe are in `buffer`; alike ones share it. */
export function teachersHome(entries: readonly Entry[], recipe: Recipe, folder: string): string {
  const keys = [...new Set(entries.map(({ work }) => teachersKey(work.recipe)))];
  const at = keys.indexOf(teachersKey(recipe));
  return at === 0 ? folder : join(folder, `teachers-${at + 1}`);
}

/** Trains the teachers of an entry when they are first asked for. */
function teachersForAll(base: RunContext, entries: readonly Entry[], folder: string) {
  const known = new Map<string, Promise<TrajectoryBuffer>>();
  return ({ work: { recipe } }: Entry, lane: Lane): Promise<TrajectoryBuffer> => {
    const home = teachersHome(entries, recipe, folder);
    let buffer = known.get(home);
    if (!buffer) {
      const own = openRunFolder(home);
      known.set(home, (buffer = teachersOf({ ...base, ...lane, folder: own }, recipe)));
    }
    return buffer;
  };
}

export function checkAlike(entries: readonly Entry[]): void {
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
