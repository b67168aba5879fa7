/** @file Options that say which rows a table has: networks and baselines. */
import { BASELINES, type Baseline } from "../evaluation/baselines.ts";
import { POOL_LETTERS } from "../evaluation/pool.ts";
import { UsageError } from "./usage.ts";

/** `--networks`. */
export const networksOption = {
  type: "string",
  requiresArg: true,
  default: "SS",
  describe: `Names joined by commas, or letters: ${POOL_LETTERS}`,
} as const;

/** `--baselines`, without what it is by default. */
export const baselinesOption = {
  type: "string",
  requiresArg: true,
  describe: `None, or some of ${BASELINES.join(", ")} joined by commas`,
} as const;

/** The baselines that `text` names; "none" is none. Throws `UsageError`. */
export function baselinesOf(command: string, text: string): Baseline[] {
  if (text === "none") return [];
  const words = text.split(",");
  const unknown = words.find((word) => !BASELINES.some((name) => name === word));
  if (unknown !== undefined)
    throw new UsageError(
      `${command}: --baselines must be none, or some of ${BASELINES.join(", ")} joined by commas, got "${unknown}"`,
    );
  return BASELINES.filter((name) => words.includes(name));
}
