/** @file The command line: which commands there are, and how errors end. */
import yargs from "yargs";
import { AdapterError, DeviceLostError } from "../../engine/index.ts";
import { ModelError } from "../../models/index.ts";
import { DataError } from "../data/dataset.ts";
import { FileError } from "../files.ts";
import { DistillError } from "../match.ts";
import { RecipeError } from "../recipe.ts";
import { closest } from "../spelling.ts";
import { distillCommand } from "./distill.ts";
import { evaluateCommand } from "./evaluate.ts";
import { infoCommand } from "./info.ts";

/** Errors that a user can mend: the message says all. Others are ours, and keep their stack. */
const EXPECTED = [
  AdapterError,
  DataError,
  DeviceLostError,
  DistillError,
  FileError,
  ModelError,
  RangeError,
  RecipeError,
];

/** Says what went wrong and returns the exit code: 1 for an error, 2 for wrong usage. */
export function reportError(error: unknown): 1 | 2 {
  if (error instanceof UsageError) {
    console.error(`potstill: ${error.message}`);
    return 2;
  }
  const expected = EXPECTED.some((kind) => error instanceof kind);
  console.error(expected ? (error as Error).message : error);
  return 1;
}

const COMMANDS = ["distill", "evaluate", "info"];

/** Arguments that no command understands. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What yargs found wrong with `args`, as one sentence of ours; `flags` are the command's. */
function usageMessage(problem: string, args: readonly string[], flags: readonly string[]): string {
  const told = (pattern: RegExp): string[] | undefined => pattern.exec(problem)?.slice(1);
  const word = args.find((arg) => !arg.startsWith("-"));
  if (word !== undefined && !COMMANDS.some((command) => args.includes(command)))
    return `the command must be one of ${COMMANDS.join(", ")}, got "${word}"${hint(closest(word, COMMANDS))}`;
  const [unknown] = told(/^Unknown arguments?: ([^,]+)/) ?? [];
  if (unknown !== undefined && args.includes(unknown))
    return `every word must belong to the command, got "${unknown}" (see --help)`;
  if (unknown !== undefined) {
    const near = closest(unknown.slice(unknown.lastIndexOf(".") + 1), flags);
    return `every flag must be one of the command's, got --${unknown}${hint(near && `--${near}`)}`;
  }
  const [valueless] = told(/^Not enough arguments following: (.+)/) ?? [];
  if (valueless !== undefined) return `--${valueless} must have a value, got none`;
  const [flag, given, choices] = told(/Argument: (\S+), Given: (.+), Choices: (.+)/) ?? [];
  if (flag !== undefined) return `--${flag} must be one of ${choices}, got ${given}`;
  if (problem.startsWith("Not enough non-option arguments"))
    return "evaluate: the folder of a run must be given, got none (see --help)";
  return problem.replace(/\s+/g, " ");
}

const hint = (near: string | undefined): string =>
  near === undefined ? " (see --help)" : ` (did you mean ${near}?)`;

/** Runs a command line; resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const parser = yargs([...args])
    .scriptName("potstill")
    .usage("$0 <command>: dataset distillation on any WebGPU adapter")
    .command(distillCommand)
    .command(evaluateCommand)
    .command(infoCommand)
    .demandCommand(1, `a command must be given: ${COMMANDS.join(", ")} (see --help)`)
    .strict()
    .parserConfiguration({ "camel-case-expansion": false, "dot-notation": false })
    .wrap(100)
    .exitProcess(false)
    // Messages are matched, so they must not be translated.
    .locale("en")
    .fail((message: string | null, error: Error | undefined) => {
      if (error && error.name !== "YError") throw error;
      const flags = Object.keys(parser.parsed ? parser.parsed.aliases : {});
      throw new UsageError(usageMessage(message ?? error?.message ?? "", args, flags));
    });
  try {
    await parser.parseAsync();
    return 0;
  } catch (error) {
    return reportError(error);
  }
}
