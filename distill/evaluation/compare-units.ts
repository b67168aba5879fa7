/** @file The units of a comparison: each a teacher, a recipe's distilled set, or a seed of a row of the table. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import type { Model } from "../../models/index.ts";
import { knownResult, type Result } from "../cluster/results.ts";
import { readDistilled, type DistilledFile } from "../distilled.ts";
import { FileError } from "../files.ts";
import { teachingOf, type Recipe } from "../recipe.ts";
import { distilledFile } from "../run.ts";
import { teacherFile, teacherName } from "../teachers/trajectory.ts";
import { BASELINES, NEED_TEACHERS, type Baseline, type Method } from "./baselines.ts";
import { teachersHome, type Entry } from "./compare.ts";
import { planOf } from "./plan.ts";
import { checksumOf } from "./score.ts";

/** A teacher, which entries like `entry` have in common. */
export interface TeacherUnit {
  readonly kind: "teacher";
  readonly name: string;
  readonly entry: Entry;
  readonly number: number;
}

/** The set that an entry's recipe distils. */
export interface SetUnit {
  readonly kind: "set";
  readonly name: string;
  readonly entry: Entry;
}

/** A row of the table: a network trained on a set by the plan of an entry. */
export interface Row {
  readonly method: Method;
  /** Images a class; of the whole training set nothing. */
  readonly ipc: number | undefined;
  readonly network: Model;
  readonly entry: Entry;
  /** Whether the set is the entry's own, and not of real images. */
  readonly distilled: boolean;
}

/** A seed of a row. */
export interface SeedUnit {
  readonly kind: "seed";
  readonly name: string;
  readonly row: Row;
  readonly seed: number;
}

export type Unit = TeacherUnit | SetUnit | SeedUnit;

/** All units of a comparison, those of the table in its order. */
export function unitsOfComparison(
  entries: readonly Entry[],
  networks: readonly Model[],
  wanted: readonly Baseline[],
): Unit[] {
  const teachers = entriesByTeachers(entries)
    .filter(({ work }) => work.recipe.teachers.folder === undefined)
    .flatMap((entry) =>
      Array.from({ length: entry.work.recipe.teachers.experts }, (_, number): TeacherUnit => {
        const { recipe } = entry.work;
        const hash = hashOf(entry, teachingOf(recipe));
        return { kind: "teacher", name: `${teacherName(number)}.${hash}`, entry, number };
      }),
    );
  const sets = entries.map((entry): SetUnit => {
    const hash = hashOf(entry, matchingOf(entry.work.recipe));
    return { kind: "set", name: named(entry.name, "set", hash), entry };
  });
  const seeds = rowsOf(entries, networks, wanted).flatMap((row) =>
    Array.from({ length: planOf(row.entry.work.recipe).seeds }, (_, seed) => seedOf(row, seed)),
  );
  return [...teachers, ...sets, ...seeds];
}

/** Rows in the order of the table. */
function rowsOf(
  entries: readonly Entry[],
  networks: readonly Model[],
  wanted: readonly Baseline[],
): Row[] {
  const [first] = entries;
  const counts = [...new Set(entries.map(({ work }) => work.recipe.ipc))].sort((a, b) => a - b);
  const rows: Omit<Row, "network">[] = [];
  if (wanted.includes("full"))
    rows.push({ method: "full", ipc: undefined, entry: first!, distilled: false });
  for (const ipc of counts) {
    const some = entries.filter(({ work }) => work.recipe.ipc === ipc);
    for (const method of BASELINES)
      if (method !== "full" && wanted.includes(method))
        rows.push({ method, ipc, entry: some[0]!, distilled: false });
    for (const entry of some)
      rows.push({ method: entry.work.recipe.method, ipc, entry, distilled: true });
  }
  return rows.flatMap((row) => networks.map((network) => ({ ...row, network })));
}

function seedOf(row: Row, seed: number): SeedUnit {
  const { method, ipc, network, entry, distilled } = row;
  const { recipe } = entry.work;
  // More seeds later are the same ones and some more.
  const settings = { ...planOf(recipe), seeds: undefined };
  const set = distilled ? matchingOf(recipe) : teachingOf(recipe);
  const shapes = network.parameters.map(({ shape }) => shape);
  const hash = hashOf(entry, [set, settings, shapes]);
  const words = [...(distilled ? [entry.name] : []), ...(ipc === undefined ? [] : [`ipc${ipc}`])];
  const name = named(method, ...words, network.name, `seed${seed}`, hash);
  return { kind: "seed", name, row, seed };
}

/** What a recipe's set depends on: its evaluation only where that chooses the set. */
const matchingOf = (recipe: Recipe): unknown =>
  recipe.eval_every === undefined ? { ...recipe, evaluation: undefined } : recipe;

function hashOf({ work }: Entry, settings: unknown): string {
  const { id, train } = work.source;
  const text = JSON.stringify([id, train.count, settings]);
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

/** Words as the name of a unit, which is that of a file, too. */
export const named = (...words: readonly string[]): string =>
  words
    .join(".")
    .replace(/[^A-Za-z0-9._=-]/g, "-")
    .slice(-200);

/** Entries whose teachers are others than those of entries before them, so that each kind is there once. */
function entriesByTeachers(entries: readonly Entry[]): Entry[] {
  const buffers = entries.map((entry) => bufferOf(entries, entry));
  return entries.filter((_, i) => buffers.indexOf(buffers[i]!) === i);
}

/** The folder of an entry's teachers within that of the comparison. */
export const bufferOf = (entries: readonly Entry[], { work }: Entry): string =>
  join(teachersHome(entries, work.recipe, ""), "buffer");

/** Whether a unit is done. */
export function isDone(folder: string, entries: readonly Entry[], unit: Unit): boolean {
  switch (unit.kind) {
    case "teacher":
      return (
        existsSync(teacherFile(join(folder, bufferOf(entries, unit.entry)), unit.number)) &&
        knownResult(folder, unit.name) !== undefined
      );
    case "set":
      return setThere(folder, unit) !== undefined;
    case "seed":
      return knownResult(folder, unit.name) !== undefined;
  }
}

/** Whether all teachers are there that an entry asks. */
export function hasTeachers(folder: string, entries: readonly Entry[], entry: Entry): boolean {
  const { experts, folder: given } = entry.work.recipe.teachers;
  if (given !== undefined) return true;
  const buffer = join(folder, bufferOf(entries, entry));
  return Array.from({ length: experts }, (_, i) => teacherFile(buffer, i)).every(existsSync);
}

/** Whether what a unit is made from is there; `sets` are the units of all entries. */
export function isReady(
  folder: string,
  entries: readonly Entry[],
  sets: readonly SetUnit[],
  unit: Unit,
): boolean {
  if (unit.kind === "teacher") return true;
  if (unit.kind === "set") return hasTeachers(folder, entries, unit.entry);
  const { method, entry, distilled } = unit.row;
  if (distilled)
    return isDone(
      folder,
      entries,
      sets.find((set) => set.entry === entry)!,
    );
  return !NEED_TEACHERS.includes(method as Baseline) || hasTeachers(folder, entries, entries[0]!);
}

/** What a {@link SetUnit} results in: the file, and a checksum of what is in it. */
export const setResult = ({ name, work }: Entry, file: DistilledFile) => ({
  set: distilledFile(name, work.recipe.ipc),
  checksum: checksumOfSet(file),
});

/** The set of a unit, if it is done: a recipe of the same name may have put another there since. */
export function setThere(folder: string, { name, entry }: SetUnit): DistilledFile | undefined {
  const result = knownResult(folder, name) as { checksum?: Result } | undefined;
  if (result === undefined) return undefined;
  try {
    const file = readDistilled(distilledFile(join(folder, entry.name), entry.work.recipe.ipc));
    return checksumOfSet(file) === result.checksum ? file : undefined;
  } catch (error) {
    if (error instanceof FileError) return undefined;
    throw error;
  }
}

/** Of everything that networks are trained with. */
export const checksumOfSet = (file: DistilledFile): number =>
  crc32(JSON.stringify(checksumOf(file)));
