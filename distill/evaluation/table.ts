/** @file Results: rows of accuracies, as a file and as a table to read. */
import type { Method } from "./baselines.ts";
import type { Accuracies } from "./evaluate.ts";

/** One row; accuracies in 0..1. */
export interface ResultRow {
  readonly method: Method;
  /** The recipe's name, where several are compared. */
  readonly recipe?: string;
  readonly ipc: number;
  readonly network: string;
  readonly mean: number;
  readonly std: number;
  readonly seeds: number;
}

export function resultRow(
  method: Method,
  ipc: number,
  network: string,
  { mean, std, values }: Accuracies,
): ResultRow {
  return { method, ipc, network, mean, std, seeds: values.length };
}

const titles: Record<Method, string> = {
  full: "whole training set",
  random: "random real images",
  "random-soft": "random real, teacher's soft labels",
  datm: "distilled (DATM)",
  mtt: "distilled (MTT)",
  ftd: "distilled (FTD)",
  tesla: "distilled (TESLA)",
};

/** What a method is called in tables; one that is not known, as it is. */
export const methodTitle = (method: string): string =>
  Object.hasOwn(titles, method) ? titles[method as Method] : method;

/** The rows as aligned text: accuracy in percent, mean ± standard deviation. */
export function formatTable(rows: readonly ResultRow[]): string {
  const percent = (x: number): string => (100 * x).toFixed(1);
  const alike = (a: ResultRow): number =>
    rows.filter((b) => b.method === a.method && b.ipc === a.ipc).length;
  const cells = rows.map((row) => [
    titles[row.method] + (row.recipe !== undefined && alike(row) > 1 ? `, ${row.recipe}` : ""),
    row.method === "full" ? "all" : String(row.ipc),
    row.network,
    `${percent(row.mean)} ± ${percent(row.std)} %`,
    String(row.seeds),
  ]);
  return aligned([["method", "images a class", "network", "test accuracy", "seeds"], ...cells]);
}

/** Lines of equally many cells as text, each column as wide as its widest cell. */
export function aligned(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
