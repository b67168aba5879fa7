/** @file What the tasks of divided work say of themselves: a small file for each shard, which status reads. */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";

import { fileError, readBytes, writeAtomic } from "../files.ts";
import type { Shard } from "./shard.ts";

const schema = z.object({
  /** As `--shard` counts, from 1. */
  shard: z.number(),
  of: z.number(),
  state: z.enum(["running", "done", "failed"]),
  host: z.string(),
  /** Units that are the shard's, and how many of them were done when it began and are now; parts count. */
  units: z.number(),
  before: z.number(),
  done: z.number(),
  /** Units that it has left, since others' must be there first. */
  waiting: z.number().optional(),
  /** Time in ms since 1970. */
  begun: z.number(),
  at: z.number(),
  /** Why it failed. */
  problem: z.string().optional(),
});

/** One task, by its latest word. */
export type Task = Readonly<z.infer<typeof schema>>;

/** A task says something at least this often, in ms. */
export const HEARTBEAT = 15_000;

const folderOf = (folder: string): string => join(folder, "tasks");

/** Tells a task how many of its units are done, parts included, and how many it leaves for later. */
export type Told = (done: number, waiting?: number) => void;

/**
 * Does a shard's share of the work in `folder`, of which `before` units are done, and writes how it goes; without
 * a shard it only works. Throws what `work` throws, `FileError`.
 */
export async function asTask<T>(
  folder: string,
  shard: Shard | undefined,
  { units, before }: Pick<Task, "units" | "before">,
  work: (told: Told) => Promise<T>,
): Promise<T> {
  if (!shard) return await work(() => undefined);
  const begun = Date.now();
  const { index, count } = shard;
  const path = join(folderOf(folder), `shard-${index + 1}-of-${count}.json`);
  try {
    mkdirSync(folderOf(folder), { recursive: true });
  } catch (cause) {
    throw fileError(folderOf(folder), "writable", cause);
  }
  let done = before;
  let waiting = 0;
  const say = (state: Task["state"], problem?: string): void => {
    const task: Task = {
      ...{ shard: index + 1, of: count, state, host: hostname(), units, before, done, begun },
      at: Date.now(),
      ...(waiting > 0 && { waiting }),
      ...(problem !== undefined && { problem }),
    };
    writeAtomic(path, `${JSON.stringify(task)}\n`);
  };
  say("running");
  const timer = setInterval(() => {
    try {
      say("running");
    } catch {
      // The work itself meets the same disk, and stops for it.
    }
  }, HEARTBEAT);
  try {
    const result = await work((now, left = 0) => void ([done, waiting] = [now, left]));
    done = units - waiting;
    say("done");
    return result;
  } catch (error) {
    try {
      say("failed", error instanceof Error ? error.message : String(error));
    } catch {
      // The first error is the one to report.
    }
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** What tasks have said in a folder, each shard's latest word; what can't be read is left out. */
export function readTasks(folder: string): Task[] {
  const tasks = folderOf(folder);
  if (!existsSync(tasks)) return [];
  return readdirSync(tasks)
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => {
      try {
        return [schema.parse(JSON.parse(Buffer.from(readBytes(join(tasks, name))).toString()))];
      } catch {
        return [];
      }
    })
    .sort((a, b) => a.of - b.of || a.shard - b.shard);
}

/** Removes what tasks have said, when all is done. Throws `FileError`. */
export function forgetTasks(folder: string): void {
  try {
    rmSync(folderOf(folder), { recursive: true, force: true });
  } catch (cause) {
    throw fileError(folderOf(folder), "writable", cause);
  }
}
