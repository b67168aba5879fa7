/** @file Data sets by name or path. */
import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";

import type { Progress } from "../progress.ts";
import { cached, keyOf } from "./cache.ts";
import { DataError, type Source } from "./dataset.ts";
import { loadDigits } from "./digits.ts";
import { hold } from "./hold.ts";
import { datasetNames, nameHint, outlineOf, type Outline } from "./known.ts";
import { dataFolder, locate, locatePath } from "./locate.ts";
import type { HeldSet } from "./pending.ts";
import { withPerClass } from "./subset.ts";

/** How a set is loaded. */
export interface SourceOptions {
  /** Folder that known sets are looked for in; by default `POTSTILL_DATA`, else `./data`. */
  readonly data?: string | undefined;
  /** Training images a class, drawn by the seed; by default all. */
  readonly perClass?: number | undefined;
  /** By default 0. */
  readonly seed?: number | undefined;
  /** Pixels along a side that pictures are brought to: the shorter side, then the middle. */
  readonly size?: number | undefined;
  /** Whether published constants of the channels are kept, or the training images' own are to be computed. */
  readonly normalisation?: "published" | "computed" | undefined;
  /** Bytes of pixels that are kept in memory at most, by default 1 GiB; larger sets are read from a file. */
  readonly memory?: number | undefined;
  /** Who is told when pictures are decoded. */
  readonly progress?: Progress | undefined;
}

const MEMORY = 2 ** 30;

/**
 * Checks that `dataset` is a known name or a path that exists; nothing is read.
 * @throws DataError.
 */
export function checkDataset(dataset: string): void {
  if (outlineOf(dataset) || existsSync(dataset)) return;
  throw new DataError(
    `dataset: must be one of ${datasetNames.join(", ")}, or a path that exists, got "${dataset}"${nameHint(dataset)}`,
  );
}

/**
 * The raw data set called `dataset`, or the one in the folder or file of that path.
 * @throws DataError when there is none, or its files are missing or damaged; FileError when one can't
 * be read.
 */
export async function loadSource(dataset: string, options: SourceOptions = {}): Promise<Source> {
  checkDataset(dataset);
  const { perClass, seed = 0, size, normalisation = "published" } = options;
  const { outline, ...whole } = await loadWhole(dataset, options);
  const name = outline?.name ?? basename(resolve(dataset));
  if (size !== undefined && (whole.height !== size || whole.width !== size))
    throw new DataError(
      `size: must be ${whole.height} for ${name}, for only pictures are brought to another, got ${size}`,
    );
  const set = perClass === undefined ? whole : withPerClass(whole, perClass, seed);
  return {
    ...set,
    name,
    normalisation: normalisation === "published" ? outline?.normalisation : undefined,
  };
}

async function loadWhole(
  dataset: string,
  options: SourceOptions,
): Promise<HeldSet & { readonly outline: Outline | undefined }> {
  const { data, size, progress, memory = MEMORY } = options;
  const known = outlineOf(dataset, size);
  if (known?.name === "digits") return { ...loadDigits(), outline: known };
  const located = known ? locate(known, dataFolder(data)) : locatePath(dataset);
  using tree = located.tree;
  const { detected } = located;
  const { outline, pictures } = detected;
  const key = keyOf(tree, pictures ? { size } : {});
  const before = cached(key, memory);
  if (before) {
    if (known) checkOutline(tree.name, before, known);
    return { ...before, outline };
  }
  const pending = await detected.read({ size, progress });
  if (known) checkOutline(tree.name, pending, known);
  return { ...(await hold(pending, { memory, key, slow: pictures })), outline };
}

/** A known set must look as it does. Throws `DataError`. */
function checkOutline(
  path: string,
  set: Pick<HeldSet, "channels" | "height" | "width" | "classes">,
  outline: Outline,
): void {
  const told = ({ channels, height, width, classes }: typeof set): string =>
    `images [${channels}, ${height}, ${width}] of ${classes.length} classes`;
  if (told(set) === told(outline)) return;
  throw new DataError(`${path}: must hold ${outline.name}, ${told(outline)}, got ${told(set)}`);
}
