/** @file How much of the wanted work a given time allows, from what its parts have been measured to take. */
import { formatTime } from "../distill/progress.ts";

/** Seconds. */
export interface Costs {
  /** What has passed, one teacher included. */
  readonly spent: number;
  readonly teacher: number;
  /** An iteration of each recipe. */
  readonly iterations: readonly number[];
  /** All evaluations of distilled sets and random images. */
  readonly evaluation: number;
  /** The evaluation of the whole training set. */
  readonly whole: number;
}

export interface Wanted {
  readonly experts: number;
  /** Of every recipe. */
  readonly iterations: number;
}

export interface Plan extends Wanted {
  /** Whether there is time for networks of the whole training set, too. */
  readonly whole: boolean;
  /** Seconds that all of it is expected to take. */
  readonly expected: number;
}

/** Less matching than this share of what is wanted shows nothing. */
const LEAST = 0.01;

/**
 * As much as `seconds` allow. Where not all of it fits, the whole set is left out first; then teachers
 * and matching get half of the time each, and what one does not need the other has.
 * @throws RangeError when hardly any matching fits beside one teacher.
 */
export function planFor(seconds: number, wanted: Wanted, costs: Costs): Plan {
  const { spent, teacher, evaluation, whole } = costs;
  const iteration = costs.iterations.reduce((a, b) => a + b, 0);
  const teachers = (wanted.experts - 1) * teacher;
  const matching = wanted.iterations * iteration;
  const fixed = spent + evaluation;
  const left = seconds - fixed;
  if (teachers + matching + whole <= left)
    return { ...wanted, whole: true, expected: fixed + teachers + matching + whole };
  if (LEAST * matching > left)
    throw new RangeError(
      `--time: must be at least ${formatTime(1000 * (fixed + LEAST * matching))} for one teacher and a hundredth of the iterations, got ${formatTime(1000 * seconds)}`,
    );
  const forTeachers = Math.max(left / 2, left - matching);
  const more = Math.min(wanted.experts - 1, Math.floor(forTeachers / teacher));
  const forMatching = left - more * teacher;
  const iterations = Math.min(wanted.iterations, Math.max(1, Math.floor(forMatching / iteration)));
  return {
    experts: 1 + more,
    iterations,
    whole: false,
    expected: fixed + more * teacher + iterations * iteration,
  };
}

/** Seconds of a time like `8h`, `90m` or `1h30m`. Throws `RangeError`. */
export function parseTime(text: string): number {
  const found = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(text);
  const [hours, minutes, rest] = [1, 2, 3].map((i) => Number(found?.[i] ?? 0));
  const seconds = 3600 * hours! + 60 * minutes! + rest!;
  if (!(seconds > 0)) throw new RangeError(`--time: must be a time like 8h or 90m, got "${text}"`);
  return seconds;
}
