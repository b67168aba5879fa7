/** @file What kind of data set a folder or file holds, told by what is in it. */
import { findArrays, readArrays } from "./arrays.ts";
import { findCifar, readCifar } from "./cifar.ts";
import { DataError } from "./dataset.ts";
import { readFolder } from "./folder.ts";
import { findIdx, identifyIdx, readIdx } from "./idx.ts";
import { outlineOf, type Outline } from "./known.ts";
import { listPictures } from "./listing.ts";
import type { PendingSet, ReadOptions } from "./pending.ts";
import type { Tree } from "./tree.ts";

/** A set that was found and can be read. */
export interface Detected {
  /** What it is called in sentences: "IDX files". */
  readonly kind: string;
  /** The known set that it is. */
  readonly outline?: Outline | undefined;
  /** Pictures take long to decode, and can be brought to another size. */
  readonly pictures: boolean;
  /** @throws DataError, FileError when files are damaged or missing. */
  read(options: ReadOptions): PendingSet | Promise<PendingSet>;
}

/**
 * The set that a tree holds; `wanted` is the known set that is looked for. Undefined when there is no
 * sign of any.
 * @throws DataError, FileError when there are signs of several, of another than is wanted, or damage.
 */
export function detect(tree: Tree, wanted?: Outline): Detected | undefined {
  const found =
    detectIdx(tree, wanted) ?? detectCifar(tree) ?? detectArrays(tree) ?? detectPictures(tree);
  if (found === undefined || wanted === undefined) return found;
  if (found.outline !== undefined && found.outline.name !== wanted.name)
    throw new DataError(`${tree.name}: must hold ${wanted.name}, got ${found.outline.name}`);
  return { ...found, outline: wanted };
}

function detectIdx(tree: Tree, wanted: Outline | undefined): Detected | undefined {
  const sets = [...findIdx(tree)].filter(
    ([prefix]) => !wanted || /^emnist/i.test(prefix) === wanted.name.startsWith("emnist"),
  );
  const named = sets.filter(([prefix]) => outlineOf(trimmed(prefix)) === wanted);
  const [first, ...others] = wanted && named.length > 0 ? named : sets;
  if (first === undefined) return undefined;
  if (others.length > 0)
    throw new DataError(
      `${tree.name}: must hold one set, or be named by the one that is meant, got ${sets.map(([prefix]) => trimmed(prefix) || "files without a name").join(", ")}`,
    );
  const [prefix, files] = first;
  const outline = outlineOf(trimmed(prefix)) ?? identifyIdx(files);
  return {
    ...{ kind: "IDX files", pictures: false, outline },
    read: () => readIdx(tree, files, outline ?? wanted),
  };
}

const trimmed = (prefix: string): string => prefix.replace(/[-_.]+$/, "");

function detectCifar(tree: Tree): Detected | undefined {
  const found = findCifar(tree);
  return (
    found && {
      ...{ kind: `${found.version.kind} batches`, pictures: false, outline: found.outline },
      read: () => readCifar(tree, found),
    }
  );
}

function detectArrays(tree: Tree): Detected | undefined {
  const arrays = findArrays(tree);
  return arrays && { kind: "arrays", pictures: false, read: () => readArrays(tree, arrays) };
}

function detectPictures(tree: Tree): Detected | undefined {
  const listing = listPictures(tree);
  if (listing === undefined) return undefined;
  const tiny = outlineOf("tiny-imagenet")!;
  const same = listing.folders.join() === tiny.classes.join();
  return {
    ...{ kind: "pictures", pictures: true, outline: same ? tiny : undefined },
    read: (options) => readFolder(listing, options),
  };
}
