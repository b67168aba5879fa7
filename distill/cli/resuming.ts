/** @file What commands have in common that begin a run in a folder of its own, or go on with one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ResultRow } from "../evaluation/table.ts";
import { FileError } from "../files.ts";
import type { Progress } from "../progress.ts";
import { readRecipe } from "../recipe-file.ts";
import type { Recipe } from "../recipe.ts";
import { readAbout, unlike, writeAbout, type About, type Maker } from "../resume/about.ts";
import { recipeId } from "../resume/checkpoint.ts";
import { RESULTS, runState } from "../resume/folder.ts";
import { UsageError } from "./usage.ts";

type Command = About["command"];

/** `--resume`. */
export const resumeOption = {
  type: "string",
  requiresArg: true,
  describe: "Go on with the run in this folder, by its own settings",
} as const;

/** `--overwrite`. */
export const overwriteOption = {
  type: "boolean",
  default: false,
  describe: "Replace the run that is in the folder; its teachers are kept if they fit",
} as const;

/** Arguments besides `--resume` that a run has of its own must not be given. Throws `UsageError`. */
export function checkAlone(others: readonly string[]): void {
  if (others.length > 0)
    throw new UsageError(
      `--resume must be without what decides the results, which the run's own recipe does, got ${others.join(", ")}`,
    );
}

/** How to go on with a command's run in a folder. */
export const goOn = (command: Command, folder: string): string =>
  `go on with: potstill ${command} --resume ${folder}`;

/** `folder`, or with a number after its name where it has a run already. */
export function unusedFolder(folder: string, command: Command, progress: Progress): string {
  let unused = folder;
  for (let n = 2; runState(unused) !== "none"; n++) {
    if (runState(unused) === "unfinished")
      progress.log(
        `${unused}: has an unfinished run, which potstill ${command} --resume ${unused} goes on with`,
      );
    unused = `${folder}-${n}`;
  }
  return unused;
}

/** What a run that a command is to go on with says of itself. Throws `FileError`. */
export function aboutRun(folder: string, command: Command): About {
  const about = readAbout(folder);
  if (about.command !== command)
    throw new FileError(
      `${folder}: must be a run of potstill ${command}, got one of ${about.command}; go on with potstill ${about.command} --resume ${folder}`,
    );
  return about;
}

/** The rows of a run that is finished, which is told; nothing of another. Throws `FileError`. */
export function resultsIn(folder: string, progress: Progress): ResultRow[] | undefined {
  if (runState(folder) !== "finished") return undefined;
  progress.log(`${folder}: the run is finished, there is nothing to go on with`);
  const path = join(folder, RESULTS);
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ResultRow[];
  } catch {
    throw new FileError(`${path}: must be the rows of a finished run, got something else`);
  }
}

/** The recipe in a run's folder, which must be the one of an id. Throws `FileError`, `RecipeError`. */
export function recipeOf(folder: string, id: string | undefined): Recipe {
  const path = join(folder, "recipe.yaml");
  const recipe = readRecipe(path);
  if (recipeId(recipe) !== id)
    throw new FileError(
      `${path}: must be as the run was begun with (${id ?? "none"}), got another recipe (${recipeId(recipe)})`,
    );
  return recipe;
}

/** Says what is not as it was when the run was last worked on, and writes it down. */
export function tellChanges(folder: string, about: About, now: Maker, progress: Progress): void {
  const changes = unlike(about.resumed_by.at(-1) ?? about.made_by, now);
  if (changes === undefined) return;
  progress.log(`${folder}: ${changes}`);
  writeAbout(folder, { ...about, resumed_by: [...about.resumed_by, now] });
}
