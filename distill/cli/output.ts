/** @file What commands print on standard output: text for people, or with --json one JSON document. */
import type { Argv } from "yargs";
import { paint } from "../colours.ts";
import { formatTable, type ResultRow } from "../evaluation/table.ts";

export interface OutputArguments {
  readonly json: boolean;
  readonly quiet: boolean;
}

/** `--json` and `--quiet`. */
export function outputOptions<T>(yargs: Argv<T>): Argv<T & OutputArguments> {
  return yargs
    .option("json", {
      type: "boolean",
      default: false,
      describe: "Print the result as one JSON document; all else goes to standard error",
    })
    .option("quiet", {
      type: "boolean",
      default: false,
      describe: "Print errors and results only",
    });
}

/** Prints a result: `value` as JSON if the arguments ask for it, else as text. */
export function printResult(
  { json }: Pick<OutputArguments, "json">,
  value: unknown,
  text: () => string,
): void {
  console.log(json ? JSON.stringify(value, null, 2) : text());
}

/** Rows as a table for standard output, the best ones in colour where it has colours. */
export const shownTable = (rows: readonly ResultRow[]): string =>
  formatTable(rows, (line) => paint(process.stdout, "green", line));
