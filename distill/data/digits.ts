/** @file Loader of the UCI handwritten digits, 8×8 grey, that come with the package. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

import { byteSplit, DataError, type Source } from "./dataset.ts";
import type { HeldSet } from "./pending.ts";
import { contentId, type StoredSplit } from "./stored.ts";

/** Of the training rows, raw pixels in [0, 1]. */
export const DIGITS_MEAN = 0.30589069728218965;
export const DIGITS_STD = 0.37554195925213174;

const ROWS = 1797;
const TRAIN_ROWS = 1297;
const SIDE = 8;
const PIXELS = SIDE * SIDE;
const LEVELS = 16;
const CLASSES = 10;
/** The file unpacks to 264 kB; anything far beyond is not it, and must not fill the memory. */
const MOST_BYTES = 4 << 20;

/**
 * The handwritten digits (`digits.csv.gz`: 64 pixels in 0..16 and the label a row), rows 0..1296 for
 * training and 1297..1796 for testing.
 * Throws `DataError` naming file and line when the file is damaged, cut or has a value out of range.
 */
export function loadDigits(file?: string): Source & HeldSet {
  const path = file ?? fileURLToPath(new URL("./digits.csv.gz", import.meta.url));
  const { pixels, labels } = parseRows(unpack(path), path);
  const shape = { channels: 1, height: SIDE, width: SIDE };
  const rows = (from: number, to: number): StoredSplit =>
    byteSplit({
      ...shape,
      levels: LEVELS,
      pixels: pixels.subarray(from * PIXELS, to * PIXELS),
      labels: labels.subarray(from, to),
    });
  const train = rows(0, TRAIN_ROWS);
  const test = rows(TRAIN_ROWS, ROWS);
  return {
    name: "digits",
    id: contentId(train, test, CLASSES),
    classes: Array.from({ length: CLASSES }, (_, digit) => String(digit)),
    ...shape,
    normalisation: { mean: [DIGITS_MEAN], std: [DIGITS_STD] },
    train,
    test,
  };
}

function unpack(path: string): string {
  let packed: Buffer;
  try {
    packed = readFileSync(path);
  } catch (cause) {
    throw new DataError(`${path}: must be a readable file, got ${codeOf(cause)}`, { cause });
  }
  try {
    return gunzipSync(packed, { maxOutputLength: MOST_BYTES }).toString("latin1");
  } catch (cause) {
    throw new DataError(`${path}: must be an undamaged gzip file, got ${codeOf(cause)}`, { cause });
  }
}

function parseRows(text: string, path: string): { pixels: Uint8Array; labels: Uint8Array } {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const pixels = new Uint8Array(ROWS * PIXELS);
  const labels = new Uint8Array(ROWS);
  for (const [row, line] of lines.slice(0, ROWS).entries()) {
    const where = `${path}, line ${row + 1}`;
    const fields = line.split(",");
    if (fields.length !== PIXELS + 1) {
      throw new DataError(
        `${where}: a row must have ${PIXELS} pixels and a label, got ${fields.length} columns`,
      );
    }
    for (let p = 0; p < PIXELS; p++) {
      const what = `pixel ${p + 1}`;
      pixels[row * PIXELS + p] = integerUpTo(LEVELS, fields[p]!, where, what);
    }
    labels[row] = integerUpTo(CLASSES - 1, fields[PIXELS]!, where, "the label");
  }
  if (lines.length !== ROWS) {
    throw new DataError(
      `${path}, line ${Math.max(1, Math.min(lines.length, ROWS + 1))}: the file must have ${ROWS} rows, ` +
        `got ${lines.length}${lines.length < ROWS ? " (it is cut)" : ""}`,
    );
  }
  return { pixels, labels };
}

function integerUpTo(most: number, field: string, where: string, what: string): number {
  const value = /^\d{1,3}$/.test(field) ? Number(field) : NaN;
  if (value <= most) return value;
  const got = JSON.stringify(field.slice(0, 20));
  throw new DataError(`${where}: ${what} must be an integer in 0..${most}, got ${got}`);
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
}
