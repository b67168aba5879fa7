/** @file Lines of a run's metrics and times as messages: columns of numbers, an evaluation each. */
import { summarise } from "../evaluation/evaluate.ts";
import { methodTitle } from "../evaluation/table.ts";
import type { Accuracy, Message } from "./messages.ts";

type Columns = Record<string, (number | null)[]>;

/** Values that the page draws need no more digits. */
const DIGITS = 6;

const isNumber = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value);
const rounded = (value: unknown): number | null =>
  isNumber(value) ? Number(value.toPrecision(DIGITS)) : null;
const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 0;

/** What one kind of line puts into which columns, besides its iteration. */
const COLUMNS = {
  iterations: {
    loss: (line: Line) => rounded(line["loss"]),
    lr: (line: Line) => rounded(line["lr"]),
    start: (line: Line) => rounded(line["start"]),
    skipped: (line: Line) => (line["accepted"] === false ? 1 : 0),
  },
  times: {
    seconds: (line: Line) => rounded(line["seconds"]),
    rss: (line: Line) => (isNumber(line["rss"]) ? line["rss"] : null),
  },
} as const;

type Line = Readonly<Record<string, unknown>>;

/**
 * Lines as messages in their order, iterations of a set that follow each other as one. `times` says
 * that the lines are of the file of times. Lines that tell nothing known are left out: a newer version
 * may have written them.
 */
export function messagesOf(lines: readonly string[], times: boolean): Message[] {
  const messages: Message[] = [];
  const kind = times ? "times" : "iterations";
  let last: { ipc: number; columns: Columns } | undefined;
  for (const text of lines) {
    const line = parsed(text);
    const ipc = line?.["ipc"];
    if (!line || !isCount(ipc)) continue;
    if (line["event"] === "iteration" && isCount(line["iteration"])) {
      if (last?.ipc !== ipc) {
        const columns: Columns = { iteration: [] };
        for (const name of Object.keys(COLUMNS[kind])) columns[name] = [];
        last = { ipc, columns };
        messages.push({ kind, ipc, ...columns } as unknown as Message);
      }
      last.columns["iteration"]!.push(line["iteration"]);
      for (const [name, value] of Object.entries(COLUMNS[kind]))
        last.columns[name]!.push(value(line));
      continue;
    }
    last = undefined;
    const message = times ? memoryOf(line, ipc) : accuracyIn(line, ipc);
    if (message) messages.push(message);
  }
  return messages;
}

function parsed(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Line) : undefined;
  } catch {
    return undefined;
  }
}

function memoryOf(line: Line, ipc: number): Message | undefined {
  const { variables, slots, total } = line;
  return line["event"] === "memory" && isCount(variables) && isCount(slots) && isCount(total)
    ? { kind: "memory", ipc, variables, slots, total }
    : undefined;
}

function accuracyIn(line: Line, ipc: number): Message | undefined {
  const { event, method, accuracies, iteration } = line;
  const values = Array.isArray(accuracies) ? accuracies.filter(isNumber) : [];
  if (values.length === 0) return undefined;
  const { mean, std } = summarise(values);
  if (event === "choice" && isCount(iteration)) return { kind: "choice", ipc, iteration, mean };
  return event === "evaluation" && typeof method === "string"
    ? { kind: "evaluation", ...accuracyOf(method, ipc, mean, std, values) }
    : undefined;
}

/** An accuracy with the title of its method. */
export function accuracyOf(
  method: string,
  ipc: number,
  mean: number,
  std: number,
  values: readonly number[] = [],
): Accuracy {
  return { method, title: methodTitle(method), ipc, mean, std, values };
}

/**
 * The rows of a results file, of its first network and by the usual protocol, without those of a
 * comparison's recipes, which have runs of their own; what is no row is left out.
 */
export function accuraciesIn(json: string): Accuracy[] {
  const rows: unknown = JSON.parse(json);
  if (!Array.isArray(rows)) return [];
  const { network: shown } = (rows[0] ?? {}) as Line;
  return rows.flatMap((row: unknown) => {
    const { method, ipc, mean, std, recipe, network, variant } = (row ?? {}) as Line;
    return typeof method === "string" &&
      recipe === undefined &&
      variant === undefined &&
      network === shown &&
      isCount(ipc) &&
      isNumber(mean) &&
      isNumber(std)
      ? [accuracyOf(method, ipc, mean, std)]
      : [];
  });
}
