/** @file Verification: iterations of a run done again must have the same bits. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readDistilled } from "../distilled.ts";
import { fileError, FileError } from "../files.ts";
import { match, type IterationRecord, type Matched } from "../matching/match.ts";
import type { Recipe } from "../recipe.ts";
import { distilledFile, randomOf, startOf, type RunContext } from "../run.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** What came of a verification. */
export interface Verified {
  /** The first and the last iteration that were done again. */
  readonly first: number;
  readonly last: number;
  /** Whether the set that the run ended with was compared, too. */
  readonly set: boolean;
  /** What was otherwise, first to last, in words; nothing where all bits are the same. */
  readonly differences: readonly string[];
}

/** Ends the loop after the iterations that are wanted. */
class Enough extends Error {}

/**
 * Does up to `count` iterations of the run in the context's folder again, from a checkpoint or from its
 * beginning, and compares what `metrics.jsonl` has of them: loss and learning rate depend on every bit of
 * the images, labels and parameters. A finished run that is done to its end is compared by its set, too.
 * @throws FileError when the metrics are not there or damaged.
 */
export async function verifyRun(
  { folder, ...context }: RunContext,
  recipe: Recipe,
  teachers: TrajectoryBuffer,
  { count, from }: { readonly count: number; readonly from?: Checkpoint | undefined },
): Promise<Verified> {
  const { gpu, model, progress } = context;
  const { ipc, iterations } = recipe;
  const recorded = recordsOf(folder, ipc);
  const before = from?.state.iteration ?? 0;
  const last = Math.min(before + count, recorded.length);
  if (last <= before)
    throw new FileError(
      `${join(folder, "metrics.jsonl")}: must have iterations after ${before}, got ${recorded.length} in all`,
    );
  const random = randomOf(recipe, `distil ipc ${ipc}`);
  const start =
    from?.state ??
    (await startOf({ folder, ...context }, recipe, teachers, random.stream("start")));
  const differences: string[] = [];
  const onIteration = (record: IterationRecord): void => {
    differences.push(...unlike(record, recorded[record.iteration - 1]!));
    progress.update(record.iteration - before, { differences: differences.length });
    // The set is complete only where the loop ends by itself.
    if (record.iteration === last && last < iterations) throw new Enough();
  };
  progress.start(`verify ipc ${ipc}`, last - before);
  let matched: Matched | undefined;
  try {
    const { line: continuous } = recipe.teachers;
    const resume = from?.state;
    const what = { gpu, model, recipe, teachers, continuous, start, random, resume, onIteration };
    matched = await match(what);
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  } finally {
    progress.stop();
  }
  // The best set by evaluations is not known from here.
  const set = matched !== undefined && !(recipe.keep === "best" && recipe.eval_every !== undefined);
  if (set) differences.push(...unlikeSets(matched!.kept, distilledFile(folder, ipc)));
  return { first: before + 1, last, set, differences };
}

/** The iterations that a run's metrics tell of, in order. */
function recordsOf(folder: string, ipc: number): IterationRecord[] {
  const path = join(folder, "metrics.jsonl");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fileError(path, "readable", error);
  }
  const records: IterationRecord[] = [];
  for (const [i, line] of text.trimEnd().split("\n").entries()) {
    let value: { event?: unknown; ipc?: unknown; iteration?: unknown };
    try {
      value = JSON.parse(line) as typeof value;
    } catch {
      throw new FileError(`${path}, line ${i + 1}: must be JSON, got something else`);
    }
    if (value.event !== "iteration" || value.ipc !== ipc) continue;
    if (value.iteration !== records.length + 1)
      throw new FileError(
        `${path}, line ${i + 1}: must be of iteration ${records.length + 1}, got ${String(value.iteration)}`,
      );
    records.push(value as IterationRecord);
  }
  return records;
}

function unlike(record: IterationRecord, recorded: IterationRecord): string[] {
  // As they were written: what JSON has no number for is null there.
  const now = JSON.parse(JSON.stringify(record)) as Record<string, unknown>;
  const then = recorded as unknown as Record<string, unknown>;
  return Object.keys(now)
    .filter((key) => now[key] !== then[key])
    .map(
      (key) =>
        `iteration ${record.iteration}: ${key} was ${String(then[key])} and is ${String(now[key])}`,
    );
}

function unlikeSets(set: Matched["kept"], path: string): string[] {
  const file = readDistilled(path);
  const bits = (values: Float32Array): Uint32Array =>
    new Uint32Array(values.buffer, values.byteOffset, values.length);
  const others = (["images", "labels"] as const).flatMap((key) => {
    const [now, then] = [bits(set[key]), bits(file[key])];
    const count = now.filter((value, i) => value !== then[i]).length;
    return count > 0 ? [`${path}: ${count} of ${now.length} values of ${key} are others`] : [];
  });
  if (set.lr !== file.lr) others.push(`${path}: lr was ${file.lr} and is ${set.lr}`);
  return others;
}
