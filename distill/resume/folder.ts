/** @file A run's folder: whether there is a run in it already, a new one begun, one taken up after a stop. */
import { appendFileSync, existsSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";

import { FileError, fileError, openRunFolder, writeAtomic } from "../files.ts";
import type { Progress } from "../progress.ts";
import type { Recipe } from "../recipe.ts";
import { beginRecording, TIMING } from "../report/recording.ts";
import { removeSnapshots } from "../report/snapshot.ts";
import { aboutFile } from "./about.ts";
import { lastCheckpoint, writeCheckpoint, type Checkpoint } from "./checkpoint.ts";
import { locked } from "./lock.ts";

export const METRICS = "metrics.jsonl";
/** Files that grow, which a checkpoint knows the length of. */
const LOGS = [METRICS, TIMING];
/** What a run leaves besides its logs, snapshots and teachers. */
const MADE =
  /^(?:results\.json|run\.json|evaluation\.json|teachers\.json|tensorboard|(?:checkpoint|distilled|images|evolution|comparison)-ipc\d+[\w.-]*)$/;
export const RESULTS = "results.json";

/** How far a folder's run is. */
export type RunState = "none" | "unfinished" | "finished";

export function runState(folder: string): RunState {
  if (existsSync(join(folder, RESULTS))) return "finished";
  if (existsSync(aboutFile(folder))) return "unfinished";
  // A run of the library, which ends with its set.
  return namesIn(folder).some((name) => /^distilled-ipc\d+\.safetensors$/.test(name))
    ? "finished"
    : "none";
}

/** Throws `FileError` where the folder has a run already; `command` is the one that made it. */
export function checkNoRun(folder: string, command: string): void {
  const state = runState(folder);
  if (state === "none") return;
  const advice =
    state === "finished"
      ? "use another --out, or replace it with --overwrite"
      : `go on with potstill ${command} --resume ${folder}, or replace it with --overwrite`;
  throw new FileError(
    `${folder}: must be a folder without a run, got ${state === "finished" ? "a finished one" : "an unfinished one"}; ${advice}`,
  );
}

/** Does work on a run's folder, made where it is missing, alone. Throws `FileError` when another process does. */
export const aloneIn = <T>(folder: string, work: () => Promise<T>): Promise<T> =>
  locked(join(openRunFolder(folder), "run.lock"), folder, work);

/** Opens a run's folder for a new run: removes what an earlier one made, but its teachers. Throws `FileError`. */
export function beginRun(folder: string): string {
  const path = openRunFolder(folder);
  for (const name of namesIn(path).filter((name) => MADE.test(name))) {
    try {
      rmSync(join(path, name), { recursive: true });
    } catch (cause) {
      throw fileError(join(path, name), "writable", cause);
    }
  }
  beginLogs(path);
  return path;
}

function beginLogs(folder: string): void {
  writeAtomic(join(folder, METRICS), "");
  beginRecording(folder);
}

/**
 * Takes a run up again: cuts its logs and snapshots back to its last good checkpoint, which it returns,
 * or to nothing where there is none. Throws as {@link lastCheckpoint}.
 */
export function takeUp(folder: string, recipe: Recipe, progress: Progress): Checkpoint | undefined {
  const { checkpoint, damage } = lastCheckpoint(folder, recipe);
  const { ipc } = recipe;
  const next = checkpoint ? `goes on after iteration ${checkpoint.state.iteration}` : "begins anew";
  for (const sentence of damage) progress.log(`${sentence}; distil ipc ${ipc} ${next}`);
  if (!checkpoint) {
    beginLogs(folder);
    return undefined;
  }
  if (damage.length === 0) progress.log(`distil ipc ${ipc} ${next} of ${recipe.iterations}`);
  for (const [name, bytes] of Object.entries(checkpoint.logs)) {
    try {
      truncateSync(join(folder, name), bytes);
    } catch (cause) {
      throw fileError(join(folder, name), "writable", cause);
    }
  }
  removeSnapshots(folder, { ipc, after: checkpoint.state.iteration });
  return checkpoint;
}

/** Writes a checkpoint of the run in the folder. Throws `FileError`. */
export const saveCheckpoint = (
  folder: string,
  recipe: Recipe,
  now: Pick<Checkpoint, "state" | "skipped">,
): void => writeCheckpoint(folder, recipe, now, LOGS);

/** Adds a line to `metrics.jsonl`. */
export function appendMetrics(folder: string, record: object): void {
  const path = join(folder, METRICS);
  try {
    appendFileSync(path, `${JSON.stringify(record)}\n`);
  } catch (error) {
    throw fileError(path, "writable", error);
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // What is no folder, or cannot be read, is refused where it is opened.
    return [];
  }
}
