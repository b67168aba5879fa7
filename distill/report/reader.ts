/** @file What there is to tell of a run: its files as messages, and its snapshots as pictures and bytes. */
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";

import { parse } from "yaml";

import { FileError, readBytes } from "../files.ts";
import { drawSheet, encodePng } from "./pictures.ts";
import { checkedRecipe, RecipeError, type Recipe } from "../recipe.ts";
import { maxStartEpoch } from "../matching/schedule.ts";
import { FOLLOWED, followedIn } from "../teachers/followed.ts";
import { listTeachers, readTrajectory, teacherFile } from "../teachers/trajectory.ts";
import { insideRun, type RunFolder } from "./folder.ts";
import { fromProbability, type Accuracy, type Message, type RunMessage } from "./messages.ts";
import type { RunSummary, SetRecipe, SnapshotKey, Update } from "./messages.ts";
import { accuraciesIn, messagesOf } from "./metrics.ts";
import { TIMING } from "./recording.ts";
import { listSnapshots, readSnapshot, type Snapshot } from "./snapshot.ts";
import { linesFrom, START, type Lines, type Place } from "./tail.ts";

/** Files that tell when a run last did something. */
const TOUCHED = ["metrics.jsonl", TIMING, "results.json", "recipe.yaml", "buffer"];

/** The list of runs. A comparison that has runs of its own is seen in these. */
export function summariesOf(runs: readonly RunFolder[]): RunSummary[] {
  const parents = new Set(runs.map(({ parent }) => parent?.id));
  return runs.map(summaryOf).filter(({ id, sets }) => sets.length > 0 || !parents.has(id));
}

/** The run as an entry of the list; what cannot be read of it is not known. */
function summaryOf(run: RunFolder): RunSummary {
  const times = TOUCHED.map((name) => quietly(() => statSync(inside(run, name)).mtimeMs) ?? 0);
  const fromRecipes = quietly(() => recipesOf(run).map(({ ipc }) => ipc)) ?? [];
  const names = quietly(() => readdirSync(run.path)) ?? [];
  const fromFiles = names.flatMap((name) => {
    const [, ipc] = /-ipc(\d+)\.\w+$/.exec(name) ?? [];
    return ipc === undefined ? [] : [Number(ipc)];
  });
  const sets = [...new Set([...fromRecipes, ...fromFiles])].sort((a, b) => a - b);
  return { id: run.id, sets, updated: Math.round(Math.max(...times)) };
}

/** What is new of a run since an earlier update's `next`, or all of it. */
export function updateOf(run: RunFolder, since = ""): Update {
  const before = placesIn(since);
  const problems: string[] = [];
  const metrics = followed(run, "metrics.jsonl", before.metrics, problems);
  const timing = followed(run, TIMING, before.timing, problems);
  const again = metrics.again || timing.again;
  // A page cannot take back half of what it was told.
  if (again) {
    const update = updateOf(run);
    return { ...update, messages: [{ kind: "forget" }, ...update.messages] };
  }
  const told = runMessage(run, problems);
  const hash = createHash("sha256").update(JSON.stringify(told)).digest("base64url").slice(0, 16);
  const messages: Message[] = [
    ...(hash === before.hash ? [] : [told]),
    ...messagesOf(metrics.lines, false),
    ...messagesOf(timing.lines, true),
  ];
  const { updated } = summaryOf(run);
  const places = [metrics.next, timing.next].flatMap(({ file, bytes }) => [file, bytes]);
  return {
    messages,
    next: [...places, hash].join("."),
    more: metrics.more || timing.more,
    updated,
  };
}

/** The places that an update's `next` stands for; those of the beginning for any other text. */
function placesIn(next: string): { metrics: Place; timing: Place; hash: string } {
  const [, file, bytes, file2, bytes2, hash = ""] =
    /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.([\w-]+)$/.exec(next) ?? [];
  if (hash === "") return { metrics: START, timing: START, hash };
  return {
    metrics: { file: Number(file), bytes: Number(bytes) },
    timing: { file: Number(file2), bytes: Number(bytes2) },
    hash,
  };
}

function followed(run: RunFolder, name: string, place: Place, problems: string[]): Lines {
  const nothing: Lines = { lines: [], next: place, more: false, again: false };
  const read = (): Lines => {
    const path = insideRun(run, name);
    return path === undefined ? nothing : linesFrom(path, place);
  };
  return noting(problems, run, name, read, nothing);
}

function runMessage(run: RunFolder, problems: string[]): RunMessage {
  const part = <T>(name: string, read: () => readonly T[]): readonly T[] =>
    noting(problems, run, name, read, []);
  const recipes = part("recipe.yaml", () => recipesOf(run));
  const results = part("results.json", () => resultsOf(run));
  const own = part("buffer", () => {
    const home = run.parent && teacherNames(run).length === 0 ? run.parent : run;
    return teacherNames(home).flatMap((name) => part(name, () => [accuracyOfTeacher(home, name)]));
  });
  const teachers = own.length > 0 ? own : part(FOLLOWED, () => followedBy(run));
  const snapshots = part("snapshots", () => snapshotsOf(run).map(({ key }) => key));
  return { kind: "run", recipes, snapshots, results, teachers, problems };
}

/** The recipes in the run's folder. Never reads what a recipe extends: that may be anywhere. */
function recipesOf(run: RunFolder): SetRecipe[] {
  const path = insideRun(run, "recipe.yaml");
  if (path === undefined) return [];
  return cached(path, () => {
    const value: unknown = parse(textOf(path), { maxAliasCount: 10 });
    const one = typeof value !== "object" || value === null || "dataset" in value;
    const entries: unknown[] = one ? [value] : Object.values(value);
    return entries.map((entry) => setRecipe(checkedRecipe(entry, () => path)));
  });
}

function setRecipe(recipe: Recipe): SetRecipe {
  const { ipc, iterations, min_start_epoch: minStart, expert_epochs: expertEpochs } = recipe;
  const maxStart = boundsOf(recipe);
  return { ipc, iterations, minStart, maxStart, expertEpochs, settings: flat(recipe) };
}

/** Of start epochs: more than a chart can show are left out. */
const MOST_BOUNDS = 1000;

/** Iterations, counted from 1, at which the upper bound of start epochs becomes another, and which. */
function boundsOf(recipe: Recipe): [number, number][] {
  const { iterations, max_start_epoch: most } = recipe;
  const { current_max_start_epoch: first = most, expansion_end_epoch: end = 0 } = recipe;
  const rise = most - first;
  const bounds: [number, number][] = [[1, maxStartEpoch(recipe, 0)]];
  // A recipe may be anyone's: what it says in numbers is not counted up to.
  const stride = Math.max(1, Math.ceil(rise / MOST_BOUNDS));
  for (let more = stride; recipe.sequential && more <= rise; more += stride) {
    const at = Math.ceil((more * end) / rise);
    if (at >= iterations) break;
    const bound = maxStartEpoch(recipe, at);
    if (bound !== bounds.at(-1)![1]) bounds.push([at + 1, bound]);
  }
  return bounds;
}

/** Settings by dotted names. */
const flat = (settings: object, prefix = ""): [string, string][] =>
  Object.entries(settings).flatMap(([key, value]: [string, unknown]) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? flat(value, `${prefix}${key}.`)
      : [[`${prefix}${key}`, String(value)]],
  );

function resultsOf(run: RunFolder): Accuracy[] {
  const path = insideRun(run, "results.json");
  const own = path === undefined ? [] : cached(path, () => accuraciesIn(textOf(path)));
  return run.parent ? [...resultsOf(run.parent), ...evaluationsOf(run.parent), ...own] : own;
}

/** The evaluations in a comparison's own metrics. */
function evaluationsOf(run: RunFolder): Accuracy[] {
  const path = insideRun(run, "metrics.jsonl");
  if (path === undefined) return [];
  const messages = messagesOf(linesFrom(path, START).lines, false);
  return messages.filter((message) => message.kind === "evaluation");
}

function teacherNames(run: RunFolder): string[] {
  const folder = insideRun(run, "buffer");
  return folder === undefined ? [] : listTeachers(folder).map((index) => teacherFile("", index));
}

function accuracyOfTeacher(run: RunFolder, name: string): readonly number[] {
  const path = inside(run, "buffer", name);
  return cached(path, () => readTrajectory(path).meta.testAccuracy);
}

/** What a run tells of teachers that are elsewhere, where a report has no business. */
function followedBy(run: RunFolder): readonly (readonly number[])[] {
  const path = insideRun(run, FOLLOWED);
  return path === undefined ? [] : cached(path, () => followedIn(textOf(path)));
}

/** The snapshots of a run and where they are. */
function snapshotsOf(run: RunFolder): { key: SnapshotKey; path: string }[] {
  if (insideRun(run, "snapshots") === undefined) return [];
  return listSnapshots(run.path).map(({ ipc, iteration, name }) => {
    const path = inside(run, "snapshots", name);
    return { key: { ipc, iteration, version: versionOf(path) }, path };
  });
}

/** The snapshot of a set after an iteration, if there is one. Throws `FileError`. */
export function snapshotOf(run: RunFolder, ipc: number, iteration: number): Snapshot | undefined {
  const found = snapshotsOf(run).find(({ key }) => key.ipc === ipc && key.iteration === iteration);
  return found && readSnapshot(found.path);
}

/** A snapshot's images as a sheet of one row a class, PNG. */
export function sheetOf({ images, classes, ...shape }: Snapshot): Uint8Array {
  const { channels, height, width } = shape;
  const rows = classes.length;
  const columns = images.length / (rows * channels * height * width);
  return encodePng(drawSheet({ channels, height, width, pixels: images, rows, columns }));
}

/**
 * A snapshot's label probabilities `[N, K]` as bytes, after the JSON of the classes' names and a
 * line's end.
 */
export function labelsOf({ classes, labels }: Snapshot): Uint8Array {
  const bytes = new Uint8Array(labels.length);
  for (let at = 0; at < labels.length; at += classes.length) {
    const row = labels.subarray(at, at + classes.length);
    const largest = Math.max(...row);
    const powers = Array.from(row, (logit) => Math.exp(logit - largest));
    const sum = powers.reduce((a, b) => a + b, 0);
    powers.forEach((power, k) => (bytes[at + k] = fromProbability(power / sum)));
  }
  return Buffer.concat([Buffer.from(`${JSON.stringify(classes)}\n`), bytes]);
}

/** As {@link insideRun}; throws where there is nothing. */
function inside(run: RunFolder, ...names: string[]): string {
  const path = insideRun(run, ...names);
  if (path === undefined) throw new Error(`${run.id}: must have ${names.join("/")}, got none`);
  return path;
}

const textOf = (path: string): string => Buffer.from(readBytes(path)).toString("utf8");

function versionOf(path: string): string {
  const { mtimeMs, size, ino } = statSync(path);
  return `${Math.round(mtimeMs)}-${size}-${ino}`;
}

const known = new Map<string, { version: string; value: unknown }>();

/** The value that was read from a file, read again only when the file has changed. */
function cached<T>(path: string, read: () => T): T {
  const version = versionOf(path);
  const found = known.get(path);
  if (found?.version === version) return found.value as T;
  const value = read();
  known.set(path, { version, value });
  return value;
}

/** What `read` returns of a part of a run; what it throws is a problem, and `fallback` the value. */
function noting<T>(
  problems: string[],
  run: RunFolder,
  part: string,
  read: () => T,
  fallback: T,
): T {
  try {
    return read();
  } catch (error) {
    // Errors of ours name the file themselves, by its whole path.
    const short = (text: string): string => text.replaceAll(run.path, run.id);
    if (error instanceof RecipeError) problems.push(...error.problems.map(short));
    else if (error instanceof FileError) problems.push(short(error.message));
    else problems.push(`${run.id}/${part}: must be readable, got ${firstLine(error)}`);
    return fallback;
  }
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;

function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
