/** @file IDX files: MNIST and what comes in its format, Fashion-MNIST, Kuzushiji-MNIST and EMNIST. */
import { createHash } from "node:crypto";

import { FileError } from "../files.ts";
import { isGzip } from "../formats/gzip.ts";
import { DataError } from "./dataset.ts";
import { outlineOf, type Outline } from "./known.ts";
import { IDX_LABELS } from "./official.ts";
import type { PendingSet, Pixels } from "./pending.ts";
import { fileRows } from "./file-rows.ts";
import { columnsFirst } from "./stored.ts";
import type { Tree, TreeFile } from "./tree.ts";
import { mostUnpacked, unpackedHead, unpackedPieces, unpackedWhole } from "./unpacked.ts";

const PARTS = ["train images", "train labels", "test images", "test labels"] as const;
type Part = (typeof PARTS)[number];
/** The files of a set. */
export type IdxFiles = Readonly<Partial<Record<Part, TreeFile>>>;

/** Unsigned bytes, the only elements of the family. */
const UNSIGNED_BYTE = 8;
const MOST_SIDE = 4096;
/** Of a file that tells which set it belongs to. */
const MOST_LABEL_BYTES = 1 << 20;
/** Bytes that are unpacked at once, as far as whole images go. */
const PIECE_BYTES = 1 << 20;
/** Files that are looked into; a folder of pictures must not be read for this. */
const MOST_FILES = 64;

/**
 * Sets in IDX files, by what stands before `train` and `test` in their files' names ("" for MNIST,
 * "emnist-letters-"). A file is one by its first bytes or by its name; parts may be missing.
 */
export function findIdx(tree: Tree): ReadonlyMap<string, IdxFiles> {
  const sets = new Map<string, Partial<Record<Part, TreeFile>>>();
  const candidates = tree.files.filter(({ path }) => !/\.(png|jpe?g)$/i.test(path));
  if (candidates.length > MOST_FILES) return sets;
  for (const file of candidates) {
    const name = file.path.slice(file.path.lastIndexOf("/") + 1);
    const [, prefix, half] = /^(.*?)(train|test|t10k|val)/i.exec(name) ?? [];
    const axes = axesOf(file, name);
    if (prefix === undefined || axes === undefined) continue;
    const part =
      `${/train/i.test(half!) ? "train" : "test"} ${axes === 1 ? "labels" : "images"}` as const;
    const parts = sets.get(prefix) ?? {};
    sets.set(prefix, parts);
    // An unpacked file beside the packed one holds the same, and is read faster.
    if (parts[part] === undefined || isGzip(parts[part].head(2))) parts[part] = file;
  }
  return sets;
}

/** How many axes an IDX file has; undefined for other files. */
function axesOf(file: TreeFile, name: string): number | undefined {
  const [zero, zero2, element, axes] = headOf(file);
  if (zero === 0 && zero2 === 0 && element === UNSIGNED_BYTE && axes! >= 1 && axes! <= 4)
    return axes;
  // A damaged one is still meant to be one.
  const [, told] = /idx(\d)[-_.]?ubyte/i.exec(name) ?? [];
  return told === undefined ? undefined : Number(told);
}

function headOf(file: TreeFile): Uint8Array {
  try {
    return unpackedHead(file, 4);
  } catch (error) {
    // Any file may be damaged that has nothing to do with the set.
    if (error instanceof FileError) return new Uint8Array(0);
    throw error;
  }
}

/** Which known set the files are, by the checksum of the training labels. */
export function identifyIdx(files: IdxFiles): Outline | undefined {
  const labels = files["train labels"];
  if (labels === undefined || labels.size > MOST_LABEL_BYTES) return undefined;
  for (const bytes of [labels.bytes(), unpackedWhole(labels, MOST_LABEL_BYTES)]) {
    const known = IDX_LABELS[createHash("md5").update(bytes).digest("hex")];
    if (known !== undefined) return outlineOf(known);
  }
  return undefined;
}

/**
 * The set in IDX files. EMNIST's pictures lie on their side in the files, and its letters count
 * from 1; both are put right. `outline` tells the classes of a known set.
 * @throws DataError, FileError when a file is missing or damaged, or they do not fit together.
 */
export function readIdx(tree: Tree, files: IdxFiles, outline: Outline | undefined): PendingSet {
  const missing = PARTS.filter((part) => files[part] === undefined);
  if (missing.length > 0)
    throw new DataError(
      `${tree.name}: must hold images and labels for training and testing, got no ${missing.join(", no ")}`,
    );
  const [trainImages, testImages] = [files["train images"]!, files["test images"]!];
  const { shape } = imageHeader(trainImages);
  const [, height, width] = shape as [number, number, number];
  const least = outline?.name === "emnist-letters" ? 1 : 0;
  const known = outline?.classes.length;
  const train = readLabels(files["train labels"]!, least, known);
  const test = readLabels(files["test labels"]!, least, known);
  const highest = [...train, ...test].reduce((most, label) => Math.max(most, label), 0);
  const classes = outline?.classes ?? Array.from({ length: highest + 1 }, (_, k) => String(k));
  const size = { channels: 1, height, width };
  return {
    ...size,
    classes,
    levels: 255,
    order: outline?.name.startsWith("emnist") ? columnsFirst(size) : undefined,
    train: { labels: train, pixels: readPixels(trainImages, height, width, train.length) },
    test: { labels: test, pixels: readPixels(testImages, height, width, test.length) },
  };
}

function readLabels(file: TreeFile, least: number, classes = 256 - least): Uint8Array {
  const { skip, length } = header(file, 1);
  const bytes = unpackedWhole(file, skip + length);
  if (bytes.length !== skip + length)
    throw new DataError(
      `${file.name}: must hold ${length} labels as its header says, got ${bytes.length - skip}`,
    );
  const labels = bytes.slice(skip);
  const wrong = labels.findIndex((label) => label < least || label >= least + classes);
  if (wrong >= 0)
    throw new DataError(
      `${file.name}: labels must be in ${least}..${least + classes - 1}, got ${labels[wrong]!} as number ${wrong}`,
    );
  return labels.map((label) => label - least);
}

function imageHeader(file: TreeFile): IdxHeader {
  const found = header(file, 3);
  const [, height, width] = found.shape;
  if (height! < 1 || width! < 1 || height! > MOST_SIDE || width! > MOST_SIDE)
    throw new DataError(
      `${file.name}: images must have 1 to ${MOST_SIDE} pixels a side, got ${height!} by ${width!}`,
    );
  return found;
}

function readPixels(file: TreeFile, height: number, width: number, count: number): Pixels {
  const { shape, skip, length } = imageHeader(file);
  if (shape[0] !== count || shape[1] !== height || shape[2] !== width)
    throw new DataError(
      `${file.name}: must hold ${count} images of ${height} by ${width} pixels to go with the other files, got ${shape[0]!} of ${shape[1]!} by ${shape[2]!}`,
    );
  const record = height * width;
  if (file.place !== undefined && !isGzip(file.head(2))) {
    return { rows: fileRows(file.place, record, { start: skip, count }), inMemory: false };
  }
  const piece = record * Math.max(1, Math.floor(PIECE_BYTES / record));
  return { pieces: () => unpackedPieces(file, { skip, length, piece }) };
}

interface IdxHeader {
  readonly shape: readonly number[];
  /** Of the header itself, in bytes. */
  readonly skip: number;
  /** Of what follows. */
  readonly length: number;
}

/** The header of a file of unsigned bytes with that many axes; the file has room for what it promises. */
function header(file: TreeFile, axes: number): IdxHeader {
  const skip = 4 + 4 * axes;
  const bytes = Buffer.from(unpackedHead(file, skip));
  const magic = [0, 0, UNSIGNED_BYTE, axes];
  if (bytes.length < skip || magic.some((byte, i) => bytes[i] !== byte))
    throw new DataError(
      `${file.name}: must start as an IDX file of bytes with ${axes} ${axes === 1 ? "axis" : "axes"} does (${magic.join(" ")}), got ${[...bytes.subarray(0, 4)].join(" ") || "no bytes"}`,
    );
  const shape = Array.from({ length: axes }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const length = shape.reduce((product, axis) => product * axis, 1);
  const room = mostUnpacked(file) - skip;
  const fits = isGzip(file.head(2)) ? length <= room : length === room;
  if (length < 1 || !fits)
    throw new DataError(
      `${file.name}: must hold ${shape.join(" x ")} bytes as its header says, got ${file.size} bytes (it is cut or damaged)`,
    );
  return { shape, skip, length };
}
