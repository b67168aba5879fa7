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

/** Arguments that no command understands. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** yargs names a dotted or dashed flag in several spellings; the first is what the user typed. */
function usageMessage(message: string, flags: readonly string[]): string {
  const unknown = /^Unknown arguments?: ([^,]+)/.exec(message)?.[1];
  if (unknown === undefined) return message.replace(/\n/g, " ");
  const near = closest(unknown, flags);
  const hint = near === undefined ? "see --help" : `did you mean --${near}?`;
  return `every flag must be one of the command's, got --${unknown} (${hint})`;
}

/** Runs a command line; resolves to the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const parser = yargs([...args])
    .scriptName("potstill")
    .usage("$0 <command>: dataset distillation on any WebGPU adapter")
    .command(distillCommand)
    .command(evaluateCommand)
    .command(infoCommand)
    .demandCommand(1, "a command must be given: distill, evaluate or info (see --help)")
    .strict()
    .recommendCommands()
    .parserConfiguration({ "camel-case-expansion": false })
    .wrap(100)
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined, y) => {
      if (error) throw error;
      const flags = Object.keys((y.parsed ? y.parsed.aliases : {}) as Record<string, unknown>);
      throw new UsageError(usageMessage(message ?? "", flags));
    });
  try {
    await parser.parseAsync();
    return 0;
  } catch (error) {
    return reportError(error);
  }
}
