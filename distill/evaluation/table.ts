/** @file Results: rows of accuracies, as a file and as a table to read. */
import type { Method } from "./baselines.ts";
import { classAccuracies, formatConfusion, type Confusion } from "./confusion.ts";
import type { Evaluation } from "./evaluate.ts";

/** How a row departs from the plan: hard labels for soft ones, images augmented or not where others are not or are. */
export type Variant = "hard" | "augmented" | "plain";

/** What a row is of. */
export interface RowKey {
  readonly method: Method;
  /** The recipe's name, where several are compared. */
  readonly recipe?: string;
  readonly ipc: number;
  readonly network: string;
  readonly variant?: Variant;
  /** Which images the set was chosen on, where evaluations chose the best of a run. */
  readonly chosenOn?: "held-out" | "test";
}

/** One row; accuracies in 0..1. */
export interface ResultRow extends RowKey {
  readonly mean: number;
  readonly std: number;
  readonly seeds: number;
  /** One a seed. */
  readonly values: readonly number[];
  /** Of each class, over all seeds, `[K]`. */
  readonly perClass: readonly number[];
  /** Over all seeds, `[K, K]`: row k, column j: images of class k taken for class j. */
  readonly confusion: Confusion;
}

export function resultRow(key: RowKey, { mean, std, values, confusion }: Evaluation): ResultRow {
  const seeds = values.length;
  return { ...key, mean, std, seeds, values, perClass: classAccuracies(confusion), confusion };
}

/** Rows as JSON, lists of numbers in one line each. */
export function resultsJson(rows: readonly ResultRow[]): string {
  const text = JSON.stringify(rows, null, 2);
  return `${text.replace(/\[[\d\s,.e+-]+\]/g, (list) =>
    list.replace(/\s+/g, "").replaceAll(",", ", "),
  )}\n`;
}

const titles: Record<Method, string> = {
  full: "whole training set",
  random: "random real images",
  "random-soft": "random real, teacher's soft labels",
  herding: "herding",
  "k-center": "k-center",
  datm: "distilled (DATM)",
  mtt: "distilled (MTT)",
  ftd: "distilled (FTD)",
  tesla: "distilled (TESLA)",
};

/** What a method is called in tables; one that is not known, as it is. */
export const methodTitle = (method: string): string =>
  Object.hasOwn(titles, method) ? titles[method as Method] : method;

const variants: Record<Variant, string> = {
  hard: "hard labels",
  augmented: "augmented",
  plain: "not augmented",
};

/** What a row is called in a table; the recipe's name is given where others are alike. */
export function rowTitle(row: RowKey, recipe: string | undefined): string {
  const parts = [titles[row.method]];
  if (recipe !== undefined) parts.push(recipe);
  if (row.variant !== undefined) parts.push(variants[row.variant]);
  if (row.chosenOn !== undefined)
    parts.push(`chosen on ${row.chosenOn === "test" ? "the test set" : "held-out images"}`);
  return parts.join(", ");
}

/** Whether a row has the highest accuracy of several with as many images a class, for the same network. */
function isBest(row: ResultRow, rows: readonly ResultRow[]): boolean {
  const rivals = rows.filter(
    ({ method, ipc, network }) => method !== "full" && ipc === row.ipc && network === row.network,
  );
  return row.method !== "full" && rivals.length > 1 && rivals.every(({ mean }) => mean <= row.mean);
}

/** The rows as aligned text: accuracy in percent, mean ± standard deviation; the lines of the best by `best`. */
export function formatTable(
  rows: readonly ResultRow[],
  best: (line: string) => string = (line) => line,
): string {
  const alike = (a: ResultRow): boolean =>
    rows.some((b) => b.recipe !== a.recipe && b.method === a.method && b.ipc === a.ipc);
  const cells = rows.map((row) => [
    rowTitle(row, alike(row) ? row.recipe : undefined),
    row.method === "full" ? "all" : String(row.ipc),
    row.network,
    percent(row),
    String(row.seeds),
  ]);
  const heading = ["method", "images a class", "network", "test accuracy", "seeds"];
  const [first, ...lines] = aligned([heading, ...cells]).split("\n");
  return [first, ...lines.map((line, i) => (isBest(rows[i]!, rows) ? best(line) : line))].join(
    "\n",
  );
}

/** Mean ± standard deviation in percent. */
export const percent = ({ mean, std }: Pick<ResultRow, "mean" | "std">): string =>
  `${(100 * mean).toFixed(1)} ± ${(100 * std).toFixed(1)} %`;

/** Every row with its confusion matrix and the accuracies of the classes, whose names are given. */
export function formatDetails(rows: readonly ResultRow[], classes: readonly string[]): string {
  return rows
    .map((row) => {
      const ipc = row.method === "full" ? "" : `, ${row.ipc} a class`;
      const title = `${rowTitle(row, row.recipe)}${ipc}, ${row.network}: ${percent(row)}`;
      return `${title}\n${formatConfusion(row.confusion, classes)}`;
    })
    .join("\n\n");
}

/** The rows as a table of Markdown: a line for each set, a column for each network. */
export function markdownResults(rows: readonly ResultRow[]): string {
  const networks = [...new Set(rows.map(({ network }) => network))];
  const lines = new Map<string, string[]>();
  for (const row of rows) {
    const key = `${row.method === "full" ? "all" : row.ipc}\n${rowTitle(row, undefined)}`;
    const line = lines.get(key) ?? [...key.split("\n"), ...networks.map(() => "")];
    line[2 + networks.indexOf(row.network)] = percent(row).replace(" %", "");
    lines.set(key, line);
  }
  return markdownTable([["images a class", "set", ...networks], ...lines.values()]);
}

/** Lines of equally many cells, the first the heading, as an aligned table of Markdown. */
export function markdownTable(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, i) => Math.max(3, ...lines.map((line) => line[i]!.length)));
  const rule = widths.map((width) => "-".repeat(width));
  const [heading, ...rest] = lines;
  return [heading!, rule, ...rest]
    .map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`)
    .join("\n");
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
