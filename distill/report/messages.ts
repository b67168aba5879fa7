/** @file What the page is told of runs. The page is built from this file too: it imports nothing. */

/** A run in the list of those that can be looked at. */
export interface RunSummary {
  /** The run's name, unique in the list. */
  readonly id: string;
  /** Images a class of its sets. */
  readonly sets: readonly number[];
  /** When something was last written, in ms since 1970. */
  readonly updated: number;
}

/** What is known of the recipe of a set. */
export interface SetRecipe {
  readonly ipc: number;
  readonly iterations: number;
  /** T⁻: the least start epoch. */
  readonly minStart: number;
  /** The upper bound of the start epoch, exclusive, from an iteration on: `[iteration, bound]`. */
  readonly maxStart: readonly (readonly [iteration: number, bound: number])[];
  readonly expertEpochs: number;
  /** Every setting by its dotted name. */
  readonly settings: readonly (readonly [name: string, value: string])[];
}

/** A snapshot of a set that can be asked for. */
export interface SnapshotKey {
  readonly ipc: number;
  readonly iteration: number;
  /** Changes when the file does. */
  readonly version: string;
}

/** Everything of a run but its curves. */
export interface RunMessage {
  readonly kind: "run";
  readonly recipes: readonly SetRecipe[];
  readonly snapshots: readonly SnapshotKey[];
  /** Accuracies from elsewhere than the run's own metrics: its results, and the comparison it is part of. */
  readonly results: readonly Accuracy[];
  /** Test accuracy in 0..1 after each epoch, of each teacher. */
  readonly teachers: readonly (readonly number[])[];
  /** What could not be read: a sentence each. */
  readonly problems: readonly string[];
}

/** Accuracy in 0..1 of networks trained on a set, or on what it is compared with. */
export interface Accuracy {
  readonly method: string;
  readonly title: string;
  readonly ipc: number;
  readonly mean: number;
  readonly std: number;
  /** Of each network, where they are known. */
  readonly values: readonly number[];
}

export interface EvaluationMessage extends Accuracy {
  readonly kind: "evaluation";
}

/** Iterations of one set in their order, a column a value; null stands for what is not a finite number. */
export interface IterationsMessage {
  readonly kind: "iterations";
  readonly ipc: number;
  readonly iteration: readonly number[];
  readonly loss: readonly (number | null)[];
  readonly lr: readonly (number | null)[];
  readonly start: readonly number[];
  /** 1 for an iteration that changed nothing. */
  readonly skipped: readonly (0 | 1)[];
}

/** How long iterations took, in seconds, and the memory of the process after them, in bytes. */
export interface TimesMessage {
  readonly kind: "times";
  readonly ipc: number;
  readonly iteration: readonly number[];
  readonly seconds: readonly (number | null)[];
  readonly rss: readonly (number | null)[];
}

/** GPU memory that a set's program plans, in bytes. */
export interface MemoryMessage {
  readonly kind: "memory";
  readonly ipc: number;
  readonly variables: number;
  readonly slots: number;
  readonly total: number;
}

/** A set was evaluated on the way, on real training images; accuracy in 0..1. */
export interface ChoiceMessage {
  readonly kind: "choice";
  readonly ipc: number;
  readonly iteration: number;
  readonly mean: number;
}

/** The curves so far are of another run: they start again. */
export interface ForgetMessage {
  readonly kind: "forget";
}

export type Message =
  | RunMessage
  | EvaluationMessage
  | ChoiceMessage
  | IterationsMessage
  | TimesMessage
  | MemoryMessage
  | ForgetMessage;

/** What is new of a run. */
export interface Update {
  readonly messages: readonly Message[];
  /** What to ask with for what comes after this. */
  readonly next: string;
  /** Whether there is more already. */
  readonly more: boolean;
  /** As in {@link RunSummary}. */
  readonly updated: number;
}

/** Everything that a page without a server shows. */
export interface Exported {
  readonly runs: readonly RunSummary[];
  readonly updates: Readonly<Record<string, Update>>;
  /** Sheets as data URLs, by {@link snapshotName}. */
  readonly sheets: Readonly<Record<string, string>>;
  /** Labels in base64, by {@link snapshotName}. */
  readonly labels: Readonly<Record<string, string>>;
}

export const snapshotName = (run: string, { ipc, iteration }: SnapshotKey): string =>
  `${run}/${ipc}/${iteration}`;

/** The square root of a probability is told as a byte: small ones matter. */
export const toProbability = (byte: number): number => (byte / 255) ** 2;
export const fromProbability = (p: number): number => Math.round(255 * Math.sqrt(p));
