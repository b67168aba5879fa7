/** @file Wrong usage, told in one sentence. */
import type { Argv } from "yargs";
import { closest } from "../spelling.ts";

/** Arguments that no command understands. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What yargs found wrong with `args`, as one sentence of ours; `flags` are the command's. */
function usageMessage(
  problem: string,
  args: readonly string[],
  flags: readonly string[],
  commands: readonly string[],
): string {
  const told = (pattern: RegExp): string[] | undefined => pattern.exec(problem)?.slice(1);
  const word = args.find((arg) => !arg.startsWith("-"));
  if (commands.length > 0 && word !== undefined && !commands.some((name) => args.includes(name)))
    return `the command must be one of ${commands.join(", ")}, got "${word}"${hint(closest(word, commands))}`;
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
    return `${word ?? "potstill"}: the folder of a run must be given, got none (see --help)`;
  return problem.replace(/\s+/g, " ");
}

const hint = (near: string | undefined): string =>
  near === undefined ? " (see --help)" : ` (did you mean ${near}?)`;

/** Makes a parser refuse what it does not know with a {@link UsageError}; it ends no process. */
export function strictly<T>(
  parser: Argv<T>,
  args: readonly string[],
  commands: readonly string[] = [],
): Argv<T> {
  return (
    parser
      .strict()
      .parserConfiguration({ "camel-case-expansion": false, "dot-notation": false })
      .wrap(100)
      .exitProcess(false)
      // Messages are matched, so they must not be translated.
      .locale("en")
      .fail((message: string | null, error: Error | undefined) => {
        if (error && error.name !== "YError") throw error;
        const flags = Object.keys(parser.parsed ? parser.parsed.aliases : {});
        throw new UsageError(usageMessage(message ?? error?.message ?? "", args, flags, commands));
      })
  );
}
