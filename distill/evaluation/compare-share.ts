/** @file A shard's part of a comparison: what is its own and can be made by now. */
import { join } from "node:path";

import { writeResult, type Result } from "../cluster/results.ts";
import { unitsOf, type Shard } from "../cluster/shard.ts";
import { asTask, type Told } from "../cluster/tasks.ts";
import { recordWork } from "../cluster/work.ts";
import { recordData } from "../data/record.ts";
import { checkPreprocessing } from "../distilled.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import type { Progress } from "../progress.ts";
import { recipeToYaml } from "../recipe-file.ts";
import { hasCheckpoint, removeCheckpoints } from "../resume/checkpoint.ts";
import { aloneIn, takeUp } from "../resume/folder.ts";
import { HeldError } from "../resume/lock.ts";
import {
  beginRun,
  distil,
  distilledFile,
  openRun,
  randomOf,
  teachersOf,
  trainTeachers,
  type RunContext,
} from "../run.ts";
import type { Lanes } from "../teachers/teacher.ts";
import { teacherFile } from "../teachers/trajectory.ts";
import type { Baseline } from "./baselines.ts";
import { checkAlike, teachersHome, type CompareOptions } from "./compare.ts";
import {
  bufferOf,
  isDone,
  isReady,
  setResult,
  setThere,
  unitsOfComparison,
  type SeedUnit,
  type SetUnit,
  type TeacherUnit,
  type Unit,
} from "./compare-units.ts";
import { evaluateSeeds } from "./evaluate.ts";
import { doJobs, type Job } from "./jobs.ts";
import { planOf } from "./plan.ts";
import { networkPool } from "./pool.ts";
import { distilledCandidate, distilledFor, wholeCandidate, type Candidate } from "./score.ts";
import { realSubsets } from "./subsets.ts";

/** How a shard stands after a call. */
export interface ComparedShare {
  /** Units that are its own. */
  readonly own: number;
  /** Of them, those that others' must come before: they are for another call. */
  readonly waiting: number;
  /** Of all shards. */
  readonly all: number;
}

export interface ShareOptions extends CompareOptions {
  /** Where several teachers can be trained at a time. */
  readonly lanes?: Lanes | undefined;
}

/**
 * Does of a shard's units of a comparison those that can be done: its teachers, then the sets whose
 * teachers are all there, then the seeds whose sets are. Results go into the folder, for `gather`. A
 * comparison is complete when every shard was called three times, each time after all others had ended.
 * @throws as `compare`, FileError.
 */
export async function compareShare(options: ShareOptions, shard: Shard): Promise<ComparedShare> {
  const { gpus, entries, progress, signal, networks = "SS" } = options;
  const { baselines = ["full", "random", "random-soft"] } = options;
  checkAlike(entries);
  const { recipe, model } = entries[0].work;
  const models = networkPool(networks, model.task, recipe);
  const folder = openRunFolder(options.folder);
  const units = unitsOfComparison(entries, models, baselines);
  recordWork(folder, { command: "compare", units: units.map(({ name }) => name) });
  const own = unitsOf(units, shard);
  const left = own.filter((unit) => !isDone(folder, entries, unit));
  const counts = { units: own.length, before: own.length - left.length };
  const waiting = await asTask(folder, shard, counts, async (told) => {
    const base = { ...(await openRun(gpus[0], entries[0].work, folder, progress)), signal };
    const tally = new Tally(folder, counts.before, told);
    const sets = units.filter((unit) => unit.kind === "set");
    const share = { options, base, tally, sets };
    const isNow = (unit: Unit): boolean => isReady(folder, entries, sets, unit);
    await trainOwn(
      share,
      left.filter((unit) => unit.kind === "teacher"),
    );
    await distilOwn(share, left.filter((unit) => unit.kind === "set").filter(isNow));
    for (const seeds of byRow(left.filter((unit) => unit.kind === "seed")))
      if (isNow(seeds[0]!)) await evaluateOwn(share, seeds);
    const more = left.length - tally.finished;
    told(counts.before + tally.finished, more);
    return more;
  });
  return { own: own.length, waiting, all: units.length };
}

/** What the units of a shard have in common. */
interface Share {
  readonly options: ShareOptions;
  readonly base: RunContext;
  readonly tally: Tally;
  /** Of all shards. */
  readonly sets: readonly SetUnit[];
}

/** Keeps results, and tells how many units are done, parts included. */
class Tally {
  finished = 0;
  private readonly folder: string;
  private readonly before: number;
  private readonly told: Told;
  private readonly parts = new Map<string, number>();

  constructor(folder: string, before: number, told: Told) {
    this.folder = folder;
    this.before = before;
    this.told = told;
  }

  /** Throws `FileError`. */
  finish(unit: Unit, result: object): void {
    writeResult(this.folder, unit.name, result as Result);
    this.finished++;
    this.parts.delete(unit.name);
    this.tell();
  }

  /** The progress, looked at on the way: so many steps of what is called so are a unit. */
  counted(progress: Progress, unit: Unit, called: string, steps: number): Progress {
    let counts = false;
    return {
      start: (label, total, before) => {
        counts = label.startsWith(called);
        progress.start(label, total, before);
      },
      update: (done, values) => {
        if (counts) this.parts.set(unit.name, done / steps);
        this.tell();
        progress.update(done, values);
      },
      stop: () => progress.stop(),
      log: (line) => progress.log(line),
    };
  }

  private tell(): void {
    this.told([...this.parts.values()].reduce((a, b) => a + b, this.before + this.finished));
  }
}

/** Trains a shard's teachers, some at a time where there are lanes. */
async function trainOwn({ options, base, tally }: Share, units: readonly TeacherUnit[]) {
  const { entries, lanes } = options;
  for (const entry of new Set(units.map((unit) => unit.entry))) {
    const buffer = bufferOf(entries, entry);
    const path = openRunFolder(join(base.folder, buffer));
    const own = units.filter((unit) => unit.entry === entry);
    const { epochs } = entry.work.recipe.teachers;
    // As many at a time as there are devices: the results of those that are done are kept.
    for (let at = 0; at < own.length; at += lanes?.most ?? 1) {
      const some = own.slice(at, at + (lanes?.most ?? 1));
      const progress = tally.counted(base.progress, some[0]!, "teachers", epochs);
      const numbers = some.map(({ number }) => number);
      await trainTeachers({ ...base, lanes, progress }, entry.work.recipe, path, numbers);
      for (const unit of some) tally.finish(unit, { teacher: teacherFile(buffer, unit.number) });
    }
  }
}

/** Distils by a shard's recipes, side by side where there are devices. */
async function distilOwn({ options, base, tally }: Share, units: readonly SetUnit[]) {
  const { gpus, entries, progress, signal } = options;
  const { folder } = base;
  const ended = new AbortController();
  const signals = AbortSignal.any([ended.signal, ...(signal ? [signal] : [])]);
  const distilBy =
    (unit: SetUnit): Job =>
    async ({ gpu, progress: told }) => {
      const { name, work } = unit.entry;
      const { recipe } = work;
      const run = openRunFolder(join(folder, name));
      const made = async (): Promise<void> => {
        const cut = hasCheckpoint(run, recipe);
        if (!cut) beginRun(run);
        writeAtomic(join(run, "recipe.yaml"), recipeToYaml(recipe));
        recordData(run, work.source);
        const counted = tally.counted(told, unit, "distil ", recipe.iterations);
        const context = { ...(await openRun(gpu, work, run, counted)), signal: signals };
        const home = teachersHome(entries, recipe, folder);
        const teachers = await teachersOf({ ...context, folder: home }, recipe);
        await distil(context, recipe, teachers, {
          resume: cut ? takeUp(run, recipe, told) : undefined,
        });
        tally.finish(unit, setResult(unit.entry, distilledFor(run, work)));
        removeCheckpoints(run, recipe);
      };
      try {
        await aloneIn(run, made);
      } catch (error) {
        // Two tasks that are one shard by accident.
        if (!(error instanceof HeldError)) throw error;
        told.log(`${error.message}: it is left to that`);
      }
    };
  await doJobs(gpus, progress, units.map(distilBy), ended);
}

/** Seeds of the same row together, in order. */
function byRow(units: readonly SeedUnit[]): SeedUnit[][] {
  const rows = new Map<unknown, SeedUnit[]>();
  for (const unit of units) {
    const row = rows.get(unit.row) ?? [];
    rows.set(unit.row, [...row, unit]);
  }
  return [...rows.values()];
}

/** Trains a network for each of a row's seeds that are a shard's own. */
async function evaluateOwn(share: Share, units: readonly SeedUnit[]): Promise<void> {
  const { options, tally } = share;
  const { gpus, progress, signal } = options;
  const { network, entry, distilled } = units[0]!.row;
  const { recipe } = entry.work;
  const plan = planOf(recipe);
  const { candidate, dataset } = await candidateOf(share, units[0]!);
  const settings = { ...plan, ...candidate.own };
  const passes = settings.epochs + 1;
  const told = tally.counted(progress, units[0]!, "evaluate", passes);
  told.start(`evaluate ${units[0]!.name.replace(/\.seed.*/, "")}`, units.length * passes);
  try {
    await evaluateSeeds(gpus, network, candidate.setOf, {
      ...{ dataset, settings, random: randomOf(plan, "evaluation") },
      seeds: units.map(({ seed }) => seed),
      report: (done) => {
        signal?.throwIfAborted();
        told.update(done);
      },
      onSeed: (seed, confusion) => {
        const key = { ...candidate.key, network: network.name };
        const of = {
          ...(distilled && { recipe: entry.name }),
          usual: network.name === recipe.network,
        };
        tally.finish(
          units.find((unit) => unit.seed === seed)!,
          {
            ...{ key, ...of, lr: settings.lr, confusion },
          },
        );
      },
    });
  } finally {
    told.stop();
  }
}

/** The sets of a unit's row, and the data that networks are tested on. */
async function candidateOf(
  { options, base, sets }: Share,
  { row }: SeedUnit,
): Promise<{ candidate: Candidate; dataset: RunContext["dataset"] }> {
  const { method, ipc, entry, distilled } = row;
  const [first] = options.entries;
  const { recipe } = entry.work;
  if (distilled) {
    const run = join(base.folder, entry.name);
    const { dataset } = await openRun(base.gpu, entry.work, run, base.progress);
    const file = setThere(
      base.folder,
      sets.find((set) => set.entry === entry)!,
    )!;
    checkPreprocessing(file, dataset, distilledFile(run, recipe.ipc));
    return { candidate: distilledCandidate(file, { method: recipe.method }), dataset };
  }
  const { dataset } = base;
  if (ipc === undefined) return { candidate: wholeCandidate(base, first.work.recipe), dataset };
  const teachers = () => teachersOf(base, first.work.recipe);
  const advisers = { gpu: base.gpu, model: first.work.model, teachers };
  const wanted = [method as Baseline];
  const [subset] = await realSubsets(dataset, advisers, planOf(recipe), ipc, wanted);
  return { candidate: { key: { method, ipc }, setOf: subset!.setOf }, dataset };
}
