/** @file Shards: which part of a command's units a process does, as a flag or a cluster's scheduler says. */

/** Part `index` (from 0) of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** A shard that can't be; the message is one sentence. */
export class ShardError extends Error {
  override readonly name = "ShardError";
}

/** How many tasks a Kubernetes Job has: Kubernetes itself tells each one its index only. */
export const COMPLETIONS = "JOB_COMPLETIONS";

/**
 * The shard of `--shard i/n`, counted from 1; without it that of Slurm's array task or of
 * Kubernetes' Indexed Job that `environment` tells of; undefined where nothing divides the work.
 * @throws ShardError.
 */
export function shardOf(
  flag: string | undefined,
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): Shard | undefined {
  if (flag !== undefined) return parseShard(flag);
  if (isGiven(environment["SLURM_ARRAY_TASK_ID"])) return slurmShard(environment);
  if (isGiven(environment["JOB_COMPLETION_INDEX"])) return kubernetesShard(environment);
  return undefined;
}

const isGiven = (value: string | undefined): value is string => value !== undefined && value !== "";

function parseShard(text: string): Shard {
  const [, part, count] = /^(\d{1,9})\/(\d{1,9})$/.exec(text)?.map(Number) ?? [];
  if (part === undefined || count === undefined || part < 1 || part > count)
    throw new ShardError(`--shard must be i/n with i in 1..n, like 3/8, got ${text}`);
  return { index: part - 1, count };
}

/** Tasks of an array are counted from its least number in steps; gaps would leave units undone. */
function slurmShard(environment: Readonly<NodeJS.ProcessEnv>): Shard {
  const id = wholeNumber(environment, "SLURM_ARRAY_TASK_ID");
  const count = wholeNumber(environment, "SLURM_ARRAY_TASK_COUNT");
  const least = wholeNumber(environment, "SLURM_ARRAY_TASK_MIN");
  const step = isGiven(environment["SLURM_ARRAY_TASK_STEP"])
    ? wholeNumber(environment, "SLURM_ARRAY_TASK_STEP")
    : 1;
  const index = (id - least) / step;
  if (!Number.isInteger(index) || index < 0 || index >= count)
    throw new ShardError(
      `SLURM_ARRAY_TASK_ID: an array must be a whole range like 0-7, got task ${id} of ${count} from ${least} in steps of ${step}; say --shard i/n`,
    );
  return { index, count };
}

function kubernetesShard(environment: Readonly<NodeJS.ProcessEnv>): Shard {
  const index = wholeNumber(environment, "JOB_COMPLETION_INDEX");
  const count = wholeNumber(environment, COMPLETIONS);
  if (index >= count)
    throw new ShardError(
      `JOB_COMPLETION_INDEX must be below ${COMPLETIONS} (${count}), got ${index}`,
    );
  return { index, count };
}

function wholeNumber(environment: Readonly<NodeJS.ProcessEnv>, name: string): number {
  const text = environment[name] ?? "";
  if (!/^\d{1,9}$/.test(text))
    throw new ShardError(
      `${name} must be a whole number, got ${text === "" ? "nothing" : text}; or say --shard i/n`,
    );
  return Number(text);
}

/**
 * The units of a shard: every `count`-th from the `index`-th on, so that dear and cheap ones, which
 * lie side by side, are spread evenly.
 */
export function unitsOf<T>(units: readonly T[], { index, count }: Shard): T[] {
  const own: T[] = [];
  for (let i = index; i < units.length; i += count) own.push(units[i]!);
  return own;
}

/** `shard 3/8`, as `--shard` counts. */
export const shownShard = ({ index, count }: Shard): string => `shard ${index + 1}/${count}`;
