/** @file The lines that a growing file has got since it was last read. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

import { fileError } from "../files.ts";

/** Where reading stopped: in which file, after how many bytes. */
export interface Place {
  readonly file: number;
  readonly bytes: number;
}

export const START: Place = { file: 0, bytes: 0 };

export interface Lines {
  /** Whole lines without their ends. */
  readonly lines: readonly string[];
  readonly next: Place;
  /** Whether there are more whole lines. */
  readonly more: boolean;
  /** Whether the file is another one than before, or shorter: `lines` are from its beginning. */
  readonly again: boolean;
}

const NEWLINE = 10;

/**
 * Whole lines of the file from a place on, at most `most` bytes of them; a longer line is left out.
 * A line that is not ended yet comes when it is. Throws `FileError`.
 */
export function linesFrom(path: string, place: Place, most = 2 ** 22): Lines {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { size, ino } = fstatSync(file);
    const again = place.file !== 0 && (place.file !== ino || size < place.bytes);
    const from = place.file === 0 || again ? 0 : place.bytes;
    const bytes = new Uint8Array(Math.min(most, size - from));
    const got = readSync(file, bytes, 0, bytes.length, from);
    const whole = bytes.subarray(0, got).lastIndexOf(NEWLINE) + 1;
    const used = whole === 0 && got === most ? got : whole;
    const text = Buffer.from(bytes.subarray(0, whole)).toString("utf8");
    return {
      lines: text === "" ? [] : text.slice(0, -1).split("\n"),
      next: { file: ino, bytes: from + used },
      more: used > 0 && from + got < size,
      again,
    };
  } catch (cause) {
    throw fileError(path, "readable", cause);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
