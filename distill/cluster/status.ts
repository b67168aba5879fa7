/** @file How divided work stands: done, running, failed, and when it will end. */
import { join } from "node:path";

import { unfinishedEpoch } from "../teachers/unfinished.ts";
import { unitsThere } from "./gather.ts";
import { HEARTBEAT, readTasks, type Task } from "./tasks.ts";
import { readWork, type Divided } from "./work.ts";

/** A task that has been silent for so long is not there any more, in ms. */
const SILENCE = 4 * HEARTBEAT;

export interface Status {
  readonly command: Divided;
  readonly units: number;
  readonly done: number;
  /** Tasks that work now. */
  readonly running: readonly Task[];
  /** Tasks that have ended by an error or gone silent, with units left to do. */
  readonly failed: readonly Task[];
  /** Units that tasks which have ended have left, since they needed what was not there yet. */
  readonly waiting: number;
  /** Epochs of teachers that are begun, by their units. */
  readonly begun: Readonly<Record<string, number>>;
  /** Time of the end in ms since 1970, if as many tasks go on at their pace; undefined where none runs. */
  readonly end: number | undefined;
}

/** How the work in a folder stands at the time `now`. Throws `FileError` when it is not known. */
export function statusOf(folder: string, now = Date.now()): Status {
  const { command, units } = readWork(folder);
  const there = unitsThere(folder, { command });
  const left = units.filter((unit) => !there.has(unit));
  const tasks = readTasks(folder);
  const isRunning = ({ state, at }: Task): boolean => state === "running" && now - at < SILENCE;
  const running = tasks.filter(isRunning);
  const failed = left.length === 0 ? [] : tasks.filter((t) => t.state !== "done" && !isRunning(t));
  const ended = left.length === 0 ? [] : tasks.filter(({ state }) => state === "done");
  const waiting = ended.reduce((sum, task) => sum + (task.waiting ?? 0), 0);
  const pace = running.reduce(
    (sum, t) => sum + (t.done - t.before) / Math.max(1, t.at - t.begun),
    0,
  );
  // Parts of units count as done.
  const parts = running.reduce((sum, t) => sum + (t.done % 1), 0);
  const end = pace > 0 && left.length > 0 ? now + (left.length - parts) / pace : undefined;
  const begun: Record<string, number> = {};
  if (command === "teach")
    for (const unit of left) {
      const epoch = unfinishedEpoch(join(folder, `${unit}.safetensors`));
      if (epoch !== undefined) begun[unit] = epoch;
    }
  const done = units.length - left.length;
  return { command, units: units.length, done, running, failed, waiting, begun, end };
}
