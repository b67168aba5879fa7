/** @file Run folders as the report reads them: which there are, and files that are really inside of one. */
import { readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";

import { FileError, fileError } from "../files.ts";

/** A run that may be shown. */
export interface RunFolder {
  /** Its name, unique among those shown. */
  readonly id: string;
  /** Its real path. */
  readonly path: string;
  /** The comparison that it is part of: what they have in common is there. */
  readonly parent?: RunFolder;
}

/** Any of these makes a folder a run's. */
const SIGNS = ["recipe.yaml", "metrics.jsonl", "results.json", "buffer"];

const isRun = (path: string): boolean =>
  SIGNS.some((name) => statSync(join(path, name), { throwIfNoEntry: false }) !== undefined);

/**
 * The runs among `paths`: each is a run's folder, or a folder whose own folders are (links are not
 * followed). Runs of a comparison come after it. Throws `FileError` when one cannot be read.
 */
export function findRuns(paths: readonly string[]): RunFolder[] {
  const found = [...new Set(paths.flatMap(runsIn))];
  const names = found.map((path) => basename(path));
  const ids = new Set<string>();
  return found.flatMap((path, i) => {
    const unique = names.indexOf(names[i]!) === names.lastIndexOf(names[i]!);
    const short = unique ? names[i]! : `${basename(dirname(path))}/${names[i]!}`;
    // Two of the same name in folders of the same name: the whole path tells them apart.
    const id = ids.has(short) ? path.split(sep).join("/") : short;
    ids.add(id);
    const run = { id, path };
    const parts = foldersIn(path).filter(isRun);
    return [
      run,
      ...parts.map((part) => ({ id: `${id}/${basename(part)}`, path: part, parent: run })),
    ];
  });
}

/** Folders in a folder, without links. */
const foldersIn = (path: string): string[] =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(path, name));

function runsIn(path: string): string[] {
  try {
    const folder = realpathSync(path);
    return isRun(folder) ? [folder] : foldersIn(folder).filter(isRun);
  } catch (cause) {
    throw fileError(resolve(path), "readable", cause);
  }
}

/**
 * The real path of a file or folder of a run, or nothing where there is none. Throws `FileError` when
 * it is a link that leads out of the run, or neither a file nor a folder.
 */
export function insideRun(run: RunFolder, ...names: string[]): string | undefined {
  const path = join(run.path, ...names);
  let real: string;
  try {
    real = realpathSync(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw fileError(path, "readable", cause);
  }
  const inside = relative(run.path, real);
  if (inside === ".." || inside.startsWith(`..${sep}`) || resolve(inside) === inside)
    throw new FileError(`${path}: must be in the run's folder, got a link out of it`);
  const stat = statSync(real);
  // To open a pipe would wait for ever.
  if (!stat.isFile() && !stat.isDirectory())
    throw new FileError(`${path}: must be a file or a folder, got something else`);
  return real;
}
