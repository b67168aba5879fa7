/** @file The command line: which commands there are, and how errors end. */
import yargs, { type Argv } from "yargs";
import { AdapterError, DeviceLostError, OutOfMemoryError } from "../../engine/index.ts";
import { ModelError } from "../../models/index.ts";
import { ShardError } from "../cluster/shard.ts";
import { splitSubmission, SubmissionError } from "../cluster/submission.ts";
import { paint } from "../colours.ts";
import { DataError } from "../data/dataset.ts";
import { FileError } from "../files.ts";
import { Interrupted } from "../interruption.ts";
import { DistillError } from "../matching/match.ts";
import { RecipeError } from "../recipe.ts";
import { checkGradientCommand } from "./check-gradient.ts";
import { compareCommand } from "./compare.ts";
import { convertCommand } from "./convert.ts";
import { dataCommand } from "./data.ts";
import { distillCommand } from "./distill.ts";
import { evaluateCommand } from "./evaluate.ts";
import { gatherCommand } from "./gather.ts";
import { infoCommand } from "./info.ts";
import { underscored } from "./settings.ts";
import { teachCommand } from "./teach.ts";
import { rangeCommand } from "./range.ts";
import { statusCommand } from "./status.ts";
import { submitCommand } from "./submit.ts";
import { reproduceCommand } from "./reproduce.ts";
import { strictly, UsageError } from "./usage.ts";
import { verifyCommand } from "./verify.ts";
import { viewCommand } from "./view.ts";

/** Errors that a user can mend: the message says all. Others are ours, and keep their stack. */
const EXPECTED = [
  AdapterError,
  DataError,
  DeviceLostError,
  DistillError,
  FileError,
  ModelError,
  OutOfMemoryError,
  RangeError,
  RecipeError,
];

/** Errors of usage. */
const MISUSE = [UsageError, ShardError, SubmissionError];

/** Says what went wrong and returns the exit code: 1 for an error, 2 for wrong usage, 128 and more for a signal. */
export function reportError(error: unknown): Interrupted["exitCode"] | 1 | 2 {
  if (error instanceof Interrupted) return error.exitCode;
  if (MISUSE.some((kind) => error instanceof kind)) {
    console.error(paint(process.stderr, "red", `potstill: ${(error as Error).message}`));
    return 2;
  }
  const expected = EXPECTED.some((kind) => error instanceof kind);
  console.error(expected ? paint(process.stderr, "red", (error as Error).message) : error);
  return 1;
}

/** All commands of this layer, in the order of the help. */
export const COMMANDS = [
  ...["teach", "distill", "compare", "reproduce", "range", "check-gradient", "evaluate", "verify"],
  ...["convert", "data", "info", "view", "submit", "status", "gather", "completion"],
];

const EPILOGUE = `Exit codes: 0 all is done, 1 it failed, 2 wrong usage, 130 stopped by Ctrl-C, 143 by SIGTERM.
Results go to standard output, all else to standard error. potstill COMMAND --help has examples.
Completion: potstill completion >> ~/.bashrc`;

/** Commands of a layer above. */
export interface MoreCommands {
  readonly names: readonly string[];
  readonly add: (parser: Argv) => Argv;
}

/** Runs a command line; resolves to the exit code. */
export async function main(
  words: readonly string[],
  more: MoreCommands = { names: [], add: (parser) => parser },
): Promise<number> {
  const commands = [...COMMANDS, ...more.names];
  // Flags of a command that is submitted are none of submit's.
  const [own, submitted] = words[0] === "submit" ? splitSubmission(words) : [words, []];
  const args = underscored(own);
  const parser = yargs([...args])
    .scriptName("potstill")
    .usage("$0 <command>: dataset distillation on any WebGPU adapter")
    .command(teachCommand)
    .command(distillCommand)
    .command(compareCommand)
    .command(reproduceCommand)
    .command(rangeCommand)
    .command(checkGradientCommand)
    .command(evaluateCommand)
    .command(verifyCommand)
    .command(convertCommand)
    .command(dataCommand)
    .command(infoCommand)
    .command(viewCommand)
    .command(submitCommand(submitted))
    .command(statusCommand)
    .command(gatherCommand);
  more
    .add(parser)
    .completion("completion", "Print a script for bash or zsh that completes commands and flags")
    .epilogue(EPILOGUE)
    .demandCommand(1, `a command must be given: ${commands.join(", ")} (see --help)`);
  try {
    await strictly(parser, args, commands).parseAsync();
    return 0;
  } catch (error) {
    return reportError(error);
  }
}
