/** @file Where a set's pixels are kept: in memory, in their own file, or decoded once into a cache file. */
import { cacheFile, readCache, writeCache } from "./cache.ts";
import { DataError } from "./dataset.ts";
import {
  piecesOf,
  type HeldSet,
  type PendingHalf,
  type PendingSet,
  type Pieces,
} from "./pending.ts";
import { memoryRows } from "./rows.ts";
import { contentId, storedSplit, type StoredSplit } from "./stored.ts";

export interface HoldOptions {
  /** Bytes of pixels that are kept in memory at most. */
  readonly memory: number;
  /** Names the cache file; other content must have another. */
  readonly key: string;
  /** Whether decoding is so slow that even a small set is cached. */
  readonly slow?: boolean;
}

/**
 * Brings a set's pixels to where they can be read by index. Sets up to `memory` bytes are kept in
 * memory; of larger ones no more than a piece is.
 * @throws FileError when a file is damaged, or the cache can't be written.
 */
export async function hold(set: PendingSet, options: HoldOptions): Promise<HeldSet> {
  const { memory, key, slow = false } = options;
  const { channels, height, width, element, classes, notes } = set;
  const record = channels * height * width * (element === "f32" ? 4 : 1);
  const fits = (set.train.labels.length + set.test.labels.length) * record <= memory;
  const halves = [set.train, set.test];
  const byIndex = halves.every(({ pixels }) => "rows" in pixels && !pixels.inMemory);
  const path = cacheFile(key);
  if (fits ? slow && path !== undefined : !byIndex) {
    if (path === undefined)
      throw new DataError(
        `${key}: more than ${memory} bytes must be decoded into a cache file, got an empty POTSTILL_CACHE`,
      );
    await writeCache(path, set, record);
    return readCache(path, memory);
  }
  const kept = async ({ labels, pixels }: PendingHalf): Promise<StoredSplit> => {
    const rows =
      "rows" in pixels && (pixels.inMemory || !fits)
        ? pixels.rows
        : memoryRows(await gathered(piecesOf(pixels), labels.length * record), record);
    return storedSplit({ ...set, rows, labels });
  };
  const [train, test] = [await kept(set.train), await kept(set.test)];
  const id = contentId(train, test, classes.length);
  return { channels, height, width, classes, train, test, id, notes };
}

async function gathered(pieces: Pieces, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for await (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
