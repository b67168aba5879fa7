/** @file A comparison that was divided, put together: its table, and what one process would have left in its runs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

import type { Result } from "../cluster/results.ts";
import { readDistilled } from "../distilled.ts";
import { FileError, readBytes, writeAtomic } from "../files.ts";
import { METRICS } from "../resume/folder.ts";
import { readTrajectory } from "../teachers/trajectory.ts";
import { checksumOfSet } from "./compare-units.ts";
import { RowGatherer, type GatheredRow } from "./divided.ts";
import { metricsOf, recordAccuracy } from "./score.ts";
import { resultsJson, type ResultRow } from "./table.ts";

const teacherResult = z.strictObject({ teacher: z.string() });
const setResult = z.strictObject({ set: z.string(), checksum: z.number() });

/** Takes the results of a comparison's units, in their order. */
export class ComparisonGatherer {
  private readonly folder: string;
  private readonly seeds = new RowGatherer();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Adds a unit's result and reads what it names. Throws `FileError` where that is not there or damaged. */
  add(unit: string, result: Result): void {
    const teacher = teacherResult.safeParse(result);
    const set = setResult.safeParse(result);
    if (teacher.success) readTrajectory(join(this.folder, teacher.data.teacher)).verify();
    else if (set.success) {
      const path = join(this.folder, set.data.set);
      if (checksumOfSet(readDistilled(path)) !== set.data.checksum)
        throw new FileError(`${path}: must be the set of ${unit}, got another`);
    } else this.seeds.add(unit, result);
  }

  /**
   * Writes the table of a comparison that is complete and what metrics and sets say of it, and returns
   * the rows. Done again, it is the same. Throws `FileError`.
   */
  finish(): ResultRow[] {
    const all = this.seeds.rows();
    for (const place of new Set(["", ...all.map(({ recipe = "" }) => recipe)])) {
      const own = all.filter(({ recipe = "" }) => recipe === place);
      const run = join(this.folder, place);
      if (place !== "")
        for (const { row } of own.filter(({ usual }) => usual)) recordAccuracy(run, row);
      replaceMetrics(join(run, METRICS), own);
    }
    const rows = all.map(({ row, recipe }) => ({
      ...row,
      ...(recipe !== undefined && { recipe }),
    }));
    writeAtomic(join(this.folder, "results.json"), resultsJson(rows));
    return rows;
  }
}

/** Puts the rows of a run behind its iterations, in place of those that were there. */
function replaceMetrics(path: string, rows: readonly GatheredRow[]): void {
  const lines = rows.map(({ row, usual = false, lr = NaN }) => metricsOf(row, { usual, lr }));
  const text = existsSync(path) ? new TextDecoder().decode(readBytes(path)) : "";
  const before = text.split(/(?<=\n)/);
  const kept = before.filter((line) => !/^\{"event":"(?:evaluation|transfer)"/.test(line));
  writeAtomic(path, [...kept, ...lines.map((line) => `${JSON.stringify(line)}\n`)].join(""));
}
