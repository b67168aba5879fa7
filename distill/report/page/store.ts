/** @file What the page knows of runs: grown by the messages it is told. */
import type {
  Accuracy,
  IterationsMessage,
  MemoryMessage,
  Message,
  RunMessage,
  SetRecipe,
  TimesMessage,
  Update,
} from "../messages.ts";
import { placeOf } from "./downsample.ts";

type Columns<T> = { -readonly [K in keyof Omit<T, "kind" | "ipc">]: T[K][keyof T[K] & number][] };

/** The iterations of a set so far, a column a value. */
export type Iterations = Columns<IterationsMessage>;
export type Times = Columns<TimesMessage>;
export interface Choices {
  readonly iteration: number[];
  readonly mean: number[];
}

/** A set of so many images a class: one curve in each chart. */
export interface SetData {
  readonly ipc: number;
  readonly iterations: Iterations;
  readonly times: Times;
  memory: MemoryMessage | undefined;
  /** Evaluations on the way, by iteration. */
  readonly choices: Choices;
}

/** A run as far as it is known. */
export interface RunData {
  readonly id: string;
  info: RunMessage | undefined;
  sets: Map<number, SetData>;
  /** The latest of each method and number of images a class. */
  accuracies: Map<string, Accuracy>;
  updated: number;
  next: string;
}

/** A curve: a set of a run, with its colour among those that are shown. */
export interface Curve {
  /** `RUN/IPC`. */
  readonly key: string;
  readonly run: RunData;
  readonly set: SetData;
  readonly recipe: SetRecipe | undefined;
  readonly label: string;
  readonly colour: number;
}

export const emptyRun = (id: string): RunData => ({
  ...{ id, info: undefined, sets: new Map(), accuracies: new Map(), updated: 0, next: "" },
});

/** The set of a run, made where it is new. */
export function setOf(run: RunData, ipc: number): SetData {
  const found = run.sets.get(ipc);
  if (found) return found;
  const set: SetData = {
    ipc,
    iterations: { iteration: [], loss: [], lr: [], start: [], skipped: [] },
    times: { iteration: [], seconds: [], rss: [] },
    memory: undefined,
    choices: { iteration: [], mean: [] },
  };
  run.sets.set(ipc, set);
  return set;
}

/** Takes in what is new of a run. */
export function applyUpdate(run: RunData, { messages, next, updated }: Update): void {
  for (const message of messages) applyMessage(run, message);
  run.next = next;
  run.updated = updated;
}

function applyMessage(run: RunData, message: Message): void {
  switch (message.kind) {
    case "run":
      run.info = message;
      break;
    case "forget":
      run.sets = new Map();
      run.accuracies = new Map();
      break;
    case "iterations":
      appendColumns(setOf(run, message.ipc).iterations, message);
      break;
    case "times":
      appendColumns(setOf(run, message.ipc).times, message);
      break;
    case "memory":
      setOf(run, message.ipc).memory = message;
      break;
    case "choice": {
      const { iteration, mean } = message;
      const rows = { iteration: [iteration], mean: [mean] };
      appendColumns(setOf(run, message.ipc).choices, rows);
      break;
    }
    case "evaluation":
      run.accuracies.set(`${message.method}/${message.ipc}`, message);
      break;
  }
}

/** Adds rows at the end; of iterations that were done twice, as by a run that was resumed, the later count. */
export function appendColumns<T extends Iterations | Times | Choices>(
  columns: T,
  rows: { readonly [K in keyof T]: readonly unknown[] },
): void {
  const [first] = rows.iteration as readonly number[];
  if (first === undefined) return;
  const keep = placeOf(columns.iteration, first);
  for (const name of Object.keys(columns) as (keyof T)[]) {
    const column = columns[name] as unknown[];
    column.length = keep;
    for (const value of rows[name]) column.push(value);
  }
}

/** The last accuracy of each method that belongs to a set: its own, and that of the whole data. */
export function accuraciesFor(run: RunData, ipc: number): Accuracy[] {
  const found = new Map<string, Accuracy>();
  const add = (accuracy: Accuracy): void => {
    if (accuracy.ipc === ipc || accuracy.method === "full") found.set(accuracy.method, accuracy);
  };
  for (const accuracy of run.info?.results ?? []) add(accuracy);
  for (const accuracy of run.accuracies.values()) add(accuracy);
  return [...found.values()];
}

/** Methods that are not what was distilled, but what it is compared with. */
const BASELINES = new Set(["full", "random", "random-soft"]);
export const isBaseline = ({ method }: Accuracy): boolean => BASELINES.has(method);

/** Longer silence than this, in ms, and an unfinished run is taken for stopped. */
const SILENCE = 60_000;

export type State = "finished" | "running" | "stopped" | "evaluating" | "waiting";

/** How far a set is; `now` in ms, or nothing where nothing can change any more. */
export function stateOf({ run, set, recipe }: Curve, now: number | undefined): State {
  const done = set.iterations.iteration.at(-1) ?? 0;
  const scored = accuraciesFor(run, set.ipc).some((accuracy) => !isBaseline(accuracy));
  if (recipe && done >= recipe.iterations && scored) return "finished";
  if (now === undefined || now - run.updated > SILENCE) return done === 0 ? "waiting" : "stopped";
  if (recipe && done >= recipe.iterations) return "evaluating";
  return done === 0 ? "waiting" : "running";
}
