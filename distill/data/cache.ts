/** @file Decoded sets as files of bytes: written once, read by index ever after. */
import { createHash } from "node:crypto";
import { existsSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

import { cacheFolder } from "../../engine/index.ts";
import { FileError, FileUnderWay, openRunFolder } from "../files.ts";
import { OpenFile } from "../formats/source.ts";
import { decodeHeader, encodeHeader } from "../formats/safetensors.ts";
import { fileRows } from "./file-rows.ts";
import { piecesOf, type HeldSet, type PendingSet } from "./pending.ts";
import { memoryRows } from "./rows.ts";
import { beginId, labelArray, reordered, storedSplit, type StoredSplit } from "./stored.ts";
import type { Tree } from "./tree.ts";

/** Of the cache's files: another one is not read. */
const VERSION = 1;

/**
 * Where the set of that key is decoded to: `data` in the cache folder; undefined when there is to be
 * none (`POTSTILL_CACHE` is empty).
 */
export function cacheFile(key: string): string | undefined {
  const folder = cacheFolder();
  return folder === undefined ? undefined : join(folder, "data", `${key}.safetensors`);
}

/** A key that changes when a file is added, removed or written, or `settings` change. */
export function keyOf(tree: Tree, settings: object = {}): string {
  const root = resolve(tree.name);
  const { size, mtimeMs } = statSync(root);
  const hash = createHash("sha256");
  hash.update(JSON.stringify([VERSION, root, size, mtimeMs, settings]));
  for (const file of tree.files)
    hash.update(`${JSON.stringify([file.path, file.size, file.changed])}\n`);
  return `${basename(root)}-${hash.digest("hex").slice(0, 16)}`;
}

/** The set of that key, if it has been decoded before. */
export function cached(key: string, memory: number): HeldSet | undefined {
  const path = cacheFile(key);
  if (path === undefined || !existsSync(path)) return undefined;
  try {
    return readCache(path, memory);
  } catch {
    // Whatever is wrong with it, it can be made again.
    rmSync(path, { force: true });
    return undefined;
  }
}

/** The tensors of a cache file: an ordinary set of arrays, readable as such. */
function cacheTensors({ train, test, channels, height, width, element }: PendingSet) {
  const [n, m] = [train.labels.length, test.labels.length];
  const dtype = element === "f32" ? "F32" : "U8";
  return {
    y_train: { dtype: "I32", shape: [n] },
    y_test: { dtype: "I32", shape: [m] },
    x_train: { dtype, shape: [n, channels, height, width] },
    x_test: { dtype, shape: [m, channels, height, width] },
  } as const;
}

/**
 * Decodes a set into its cache file, a piece at a time.
 * @throws FileError when a file of the set is damaged, or this one can't be written.
 */
export async function writeCache(path: string, set: PendingSet, record: number): Promise<void> {
  const { train, test, classes, levels, element, order, notes = [] } = set;
  const head = (id: string) =>
    encodeHeader(cacheTensors(set), {
      ...{ id, levels: String(levels) },
      ...{ classes: JSON.stringify(classes), notes: JSON.stringify(notes) },
    });
  const hash = beginId(set, classes.length, [train.labels, test.labels]);
  openRunFolder(dirname(path));
  using file = new FileUnderWay(path);
  // The id is known at the end; it always has that many letters.
  file.write(head("0".repeat(64)));
  for (const { labels } of [train, test])
    file.write(new Uint8Array(Int32Array.from(labels).buffer));
  for (const { labels, pixels } of [train, test]) {
    let records = 0;
    for await (const piece of piecesOf(pixels)) {
      const ordered = order ? reordered(piece, record, order, element === "f32" ? 4 : 1) : piece;
      hash.update(ordered);
      file.write(ordered);
      records += piece.length / record;
    }
    if (records !== labels.length)
      throw new RangeError(`hold: there must be ${labels.length} records, got ${records}`);
  }
  file.write(head(hash.digest("hex")), 0);
  file.commit();
}

/** The set in a cache file, in memory when its pixels are at most `memory` bytes. Throws `FileError`. */
export function readCache(path: string, memory: number): HeldSet {
  using file = new OpenFile(path);
  const { tensors, metadata } = decodeHeader((at, n) => file.read(at, n), file.size, path);
  const { x_train: x, x_test: xTest, y_train: y, y_test: yTest } = tensors;
  const { id = "", classes = "", levels = "", notes = "" } = metadata;
  if (!x || !xTest || !y || !yTest || id.length !== 64)
    throw new FileError(`${path}: must be a set that was decoded, got another file`);
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const element = x.dtype === "F32" ? "f32" : "u8";
  const record = channels * height * width * (element === "f32" ? 4 : 1);
  const fits = x.end - x.begin + xTest.end - xTest.begin <= memory;
  const names = JSON.parse(classes) as string[];
  const half = (pixels: typeof x, labels: typeof y): StoredSplit => {
    const numbers = new Int32Array(file.read(labels.begin, labels.end - labels.begin).buffer);
    const count = numbers.length;
    const rows = fits
      ? memoryRows(file.read(pixels.begin, pixels.end - pixels.begin), record)
      : fileRows(path, record, { start: pixels.begin, count });
    const shape = { channels, height, width, element, levels: Number(levels) } as const;
    return storedSplit({ ...shape, rows, labels: labelArray(numbers, names.length) });
  };
  const [train, test] = [half(x, y), half(xTest, yTest)];
  return {
    ...{ channels, height, width, classes: names, train, test, id },
    notes: JSON.parse(notes) as string[],
  };
}
