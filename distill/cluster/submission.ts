/** @file What is submitted to a cluster: a divided command in so many tasks, and what each of them needs. */
import { DIVIDED, type Divided } from "./work.ts";

/** Work that can't be submitted as asked; the message is one sentence. */
export class SubmissionError extends Error {
  override readonly name = "SubmissionError";
}

export interface Submission {
  /** How often the tasks run, one after the other. */
  readonly passes: number;
  /** The command with its arguments, as after `potstill`. */
  readonly command: readonly string[];
  /** Folder that all tasks write to. */
  readonly folder: string;
  /** Name of the job. */
  readonly name: string;
  readonly tasks: number;
  /** How many run at a time at most. */
  readonly most?: number | undefined;
  /** Of a task. */
  readonly cpus: number;
  readonly gpus: number;
  /** Bytes as schedulers write them: 8G. */
  readonly memory: string;
}

/** How often the tasks of a command run, each time after all have ended: later units are made of earlier ones. */
export const PASSES: Readonly<Record<Divided, number>> = { teach: 1, evaluate: 1, compare: 3 };

/** Splits arguments of `submit` from the command that is submitted, which begins with its name. */
export function splitSubmission(args: readonly string[]): [own: string[], command: string[]] {
  const at = args.findIndex((arg, i) => i > 0 && isDivided(arg));
  return at < 0 ? [[...args], []] : [args.slice(0, at), args.slice(at)];
}

export const isDivided = (word: string): word is Divided =>
  (DIVIDED as readonly string[]).includes(word);

/**
 * The folder that a command's tasks share: `--out`, or the run that evaluate is given.
 * @throws SubmissionError when it is not said.
 */
export function sharedFolder(command: readonly string[]): string {
  const [name, ...args] = command;
  if (name === undefined)
    throw new SubmissionError(
      `submit: needs a command (${DIVIDED.join(", ")}) after its own flags, got none: potstill submit slurm --tasks 8 teach digits --out runs/teachers`,
    );
  const equals = args.find((arg) => arg.startsWith("--out="))?.slice("--out=".length);
  const after = args.includes("--out") ? args[args.indexOf("--out") + 1] : undefined;
  const run = name === "evaluate" ? args.find((arg) => !arg.startsWith("-")) : undefined;
  const folder = equals ?? after ?? run;
  if (folder === undefined)
    throw new SubmissionError(
      `submit: ${name} must say by ${name === "evaluate" ? "its first word" : "--out"} which folder its tasks share, got none`,
    );
  if (name === "compare" && args.some((arg) => /^--(?:resume|overwrite)\b/.test(arg)))
    throw new SubmissionError(
      "submit: compare in shards goes on by itself, so it must be without --resume and --overwrite, got one",
    );
  if (args.some((arg) => arg === "--shard" || arg.startsWith("--shard=")))
    throw new SubmissionError("submit: --shard must be left to the tasks, got one");
  return folder;
}

/** A word as a POSIX shell reads it back. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
