/** @file The comparison as text. */
import type { Result } from "./compare.ts";

const NAME = 34;
const WIDTHS = [11, 9, 10, 10, 10, 11] as const;

const line = (name: string, cells: readonly string[]): string =>
  (name.padEnd(NAME) + cells.map((cell, i) => cell.padStart(WIDTHS[i]!)).join("")).trimEnd();

export const heading = line("", ["ms", "x ours", "GFLOP/s", "first s", "peak MiB", "error"]);

const MOST = 160;

/** A message in one line of bounded length. */
function brief(text: string): string {
  const flat = text.replace(/\s+/g, " ").trim();
  return flat.length > MOST ? `${flat.slice(0, MOST)}…` : flat;
}

/** One line for a peer: its figures, or what became of it. */
export function resultLine(result: Result): string {
  const { peer, status, medianMs, ratio, gflops, firstMs, peakMiB, error, note } = result;
  const name = `  ${peer}`;
  const shown = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? "";
  if (status === "timed")
    return line(name, [
      shown(medianMs, 2),
      shown(ratio, 2),
      shown(gflops, 2),
      firstMs === undefined ? "" : (firstMs / 1000).toFixed(1),
      shown(peakMiB, 0),
      error === undefined ? "" : error.toExponential(1),
    ]);
  const what = {
    wrong: `wrong: relative error ${((error ?? NaN) * 100).toFixed(1)} %`,
    absent: `absent: ${brief(note ?? "")}`,
    failed: `failed: ${brief(note ?? "")}`,
  }[status];
  return `${name.padEnd(NAME)}  ${what}`;
}

/** A row's name and a line for every peer. */
export const table = (name: string, results: readonly Result[]): string =>
  [name, ...results.map(resultLine)].join("\n");
