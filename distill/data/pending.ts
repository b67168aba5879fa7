/** @file A set between its files and memory: labels known, pixels yet to be read. */
import type { Progress } from "../progress.ts";
import type { ImageShape } from "./dataset.ts";
import type { Rows } from "./rows.ts";
import type { StoredImages, StoredSplit } from "./stored.ts";

/** Records of a split as its files hold them. */
export type Pixels =
  /** In memory, or where they can be read by index. */
  | { readonly rows: Rows; readonly inMemory: boolean }
  /** In order only: pieces of whole records, each valid until the next. */
  | { readonly pieces: () => Pieces };

export type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface PendingHalf {
  readonly labels: Uint8Array | Uint16Array;
  readonly pixels: Pixels;
}

/** A set whose labels are known and whose pixels are yet to be read. */
export interface PendingSet extends ImageShape, Pick<StoredImages, "levels" | "element" | "order"> {
  readonly classes: readonly string[];
  readonly train: PendingHalf;
  readonly test: PendingHalf;
  /** What a user should know of it, a sentence each. */
  readonly notes?: readonly string[];
}

/** What a set that is read must know besides its files. */
export interface ReadOptions {
  /** Pixels along a side that pictures are brought to; without it they must all be alike. */
  readonly size?: number | undefined;
  /** Who is told when pictures are decoded. */
  readonly progress?: Progress | undefined;
}

/** A set whose pixels can be read by index. */
export interface HeldSet extends ImageShape {
  readonly classes: readonly string[];
  readonly train: StoredSplit;
  readonly test: StoredSplit;
  readonly id: string;
  readonly notes?: readonly string[] | undefined;
}

/** Records that are read at once. */
const PIECE = 256;

/** Records in order, whichever way they are stored. */
export function piecesOf(pixels: Pixels): Pieces {
  return "pieces" in pixels ? pixels.pieces() : rowPieces(pixels.rows);
}

/** Rows in order, some at a time; each piece is valid until the next. */
export function* rowPieces(rows: Rows): Generator<Uint8Array> {
  const piece = new Uint8Array(PIECE * rows.size);
  for (let from = 0; from < rows.count; from += PIECE) {
    const length = Math.min(PIECE, rows.count - from);
    rows.each(
      Array.from({ length }, (_, i) => from + i),
      (bytes, at, n) => piece.set(bytes.subarray(at, at + rows.size), n * rows.size),
    );
    yield piece.subarray(0, length * rows.size);
  }
}
