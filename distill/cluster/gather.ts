/** @file What is there of divided work: which units are missing, which are damaged, and the rest in order. */
import { join } from "node:path";

import { FileError } from "../files.ts";
import { listTeachers, readTrajectory, teacherName } from "../teachers/trajectory.ts";
import { listResults, readResult, type Result } from "./results.ts";
import { readWork, type Divided, type WorkList } from "./work.ts";

export interface DamagedUnit {
  readonly unit: string;
  /** One sentence. */
  readonly problem: string;
}

export interface Gathered {
  readonly command: Divided;
  /** How many there must be. */
  readonly units: number;
  readonly missing: readonly string[];
  readonly damaged: readonly DamagedUnit[];
}

/** Units that are in a folder, by their names alone. Throws `FileError`. */
export function unitsThere(folder: string, { command }: Pick<WorkList, "command">): Set<string> {
  return command === "teach" ? new Set(listTeachers(folder).map(teacherName)) : listResults(folder);
}

/**
 * Reads every unit of a folder's work; `onResult` is given those that are whole, in the order of the
 * list: results, but of teachers, whose files are the result, nothing.
 * @throws FileError when the folder's work is not known.
 */
export function gather(
  folder: string,
  onResult: (unit: string, result: Result) => void = () => undefined,
): Gathered {
  const { command, units } = readWork(folder);
  const there = unitsThere(folder, { command });
  const missing: string[] = [];
  const damaged: DamagedUnit[] = [];
  for (const unit of units) {
    if (!there.has(unit)) {
      missing.push(unit);
      continue;
    }
    try {
      if (command === "teach") {
        readTrajectory(join(folder, `${unit}.safetensors`)).verify();
        onResult(unit, null);
      } else onResult(unit, readResult(folder, unit));
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      damaged.push({ unit, problem: error.message });
    }
  }
  return { command, units: units.length, missing, damaged };
}
