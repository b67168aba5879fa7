/** @file CIFAR-10 and CIFAR-100: batches of records, binary or pickled from Python, whole or in part. */
import { isNumericArray } from "../formats/array.ts";
import { NUMPY } from "../formats/pickle-numpy.ts";
import { unpickle } from "../formats/pickle.ts";
import { DataError } from "./dataset.ts";
import { outlineOf, type Outline } from "./known.ts";
import type { PendingHalf, PendingSet } from "./pending.ts";
import { joinedRows, memoryRows, type Rows } from "./rows.ts";
import { labelArray } from "./stored.ts";
import type { Tree, TreeFile } from "./tree.ts";

const SIDE = 32;
const PIXELS = 3 * SIDE * SIDE;
/** Of a file; the official ones have 50,000 at most. */
const MOST_RECORDS = 500_000;

/** How a version of the sets is told apart and read. */
interface Version {
  readonly name: "cifar-10" | "cifar-100";
  readonly train: readonly string[];
  readonly test: string;
  readonly kind: "binary" | "python";
  /** Bytes in front of a binary record; the last of them is the label (CIFAR-100: coarse, then fine). */
  readonly labelBytes: number;
}

const batches = (ending: string): string[] =>
  [1, 2, 3, 4, 5].map((number) => `data_batch_${number}${ending}`);

const VERSIONS: readonly Version[] = [
  {
    ...{ name: "cifar-10", kind: "binary", labelBytes: 1 },
    ...{ train: batches(".bin"), test: "test_batch.bin" },
  },
  {
    ...{ name: "cifar-100", kind: "binary", labelBytes: 2 },
    ...{ train: ["train.bin"], test: "test.bin" },
  },
  {
    ...{ name: "cifar-10", kind: "python", labelBytes: 0 },
    ...{ train: batches(""), test: "test_batch" },
  },
  { name: "cifar-100", kind: "python", labelBytes: 0, train: ["train"], test: "test" },
];

/** A set that was found: its version, and its files by name. */
export interface CifarFiles {
  readonly outline: Outline;
  readonly version: Version;
  readonly files: ReadonlyMap<string, TreeFile>;
}

/** CIFAR in a tree: a test file with at least one of the training files beside it. */
export function findCifar(tree: Tree): CifarFiles | undefined {
  for (const version of VERSIONS) {
    const wanted = new Set([...version.train, version.test]);
    const folders = new Map<string, Map<string, TreeFile>>();
    for (const file of tree.files) {
      const slash = file.path.lastIndexOf("/") + 1;
      const name = file.path.slice(slash);
      if (!wanted.has(name)) continue;
      const folder = file.path.slice(0, slash);
      folders.set(folder, (folders.get(folder) ?? new Map<string, TreeFile>()).set(name, file));
    }
    const outline = outlineOf(version.name)!;
    for (const files of folders.values())
      if (version.train.some((name) => files.has(name))) return { outline, version, files };
  }
  return undefined;
}

/**
 * The set in CIFAR's files; batches may be missing, which its notes say.
 * @throws DataError, FileError when the test images are missing, or a file is damaged.
 */
export function readCifar(tree: Tree, { outline, version, files }: CifarFiles): PendingSet {
  const test = files.get(version.test);
  if (test === undefined)
    throw new DataError(`${tree.name}: must hold ${version.test} with the test images, got none`);
  const present = version.train.filter((name) => files.has(name));
  const missing = version.train.filter((name) => !files.has(name));
  const read = version.kind === "binary" ? readBinary : readPython;
  const half = (batch: readonly TreeFile[]): PendingHalf => {
    const parts = batch.map((file) => read(file, version, outline.classes.length));
    const labels = parts.flatMap((part) => [...part.labels]);
    return {
      labels: labelArray(labels, outline.classes.length),
      pixels: { rows: joinedRows(parts.map(({ rows }) => rows)), inMemory: true },
    };
  };
  const { channels, height, width, classes } = outline;
  const train = half(present.map((name) => files.get(name)!));
  return {
    ...{ channels, height, width, classes, levels: 255 },
    train,
    test: half([test]),
    notes:
      missing.length === 0
        ? []
        : [
            `${outline.name}: ${train.labels.length} of ${outline.train} training images, for ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing`,
          ],
  };
}

interface Batch {
  readonly labels: ArrayLike<number> & Iterable<number>;
  readonly rows: Rows;
}

/** Records of label bytes and planar pixels, one after the other. */
function readBinary(file: TreeFile, { labelBytes }: Version, classes: number): Batch {
  const stride = labelBytes + PIXELS;
  if (file.size === 0 || file.size % stride !== 0 || file.size > MOST_RECORDS * stride)
    throw new DataError(
      `${file.name}: must hold whole records of ${stride} bytes, at most ${MOST_RECORDS}, got ${file.size} bytes (it is cut or damaged)`,
    );
  const bytes = file.bytes();
  const count = bytes.length / stride;
  const labels = Uint8Array.from({ length: count }, (_, i) => bytes[i * stride + labelBytes - 1]!);
  checkLabels(file, labels, classes);
  return { labels, rows: memoryRows(bytes, PIXELS, { start: labelBytes, stride, count }) };
}

/** A pickled dict: `data` [N, 3072] bytes, and `labels` or `fine_labels`. */
function readPython(file: TreeFile, version: Version, classes: number): Batch {
  if (file.size > MOST_RECORDS * (PIXELS + 16))
    throw new DataError(`${file.name}: must hold at most ${MOST_RECORDS} images, got more`);
  const batch = unpickle(file.bytes(), file.name, { allowed: NUMPY });
  const entry = (key: string): unknown => (batch instanceof Map ? batch.get(key) : undefined);
  const key = version.name === "cifar-10" ? "labels" : "fine_labels";
  const data = entry("data");
  const labels = entry(key);
  if (
    !isNumericArray(data) ||
    data.dtype !== "uint8" ||
    data.shape.at(-1) !== PIXELS ||
    data.shape.length !== 2
  )
    throw new DataError(`${file.name}: data must be bytes [N, ${PIXELS}], got other things`);
  const count = data.shape[0]!;
  const numbers = isNumericArray(labels) ? Array.from(labels.data) : labels;
  if (count === 0 || !Array.isArray(numbers) || numbers.length !== count)
    throw new DataError(
      `${file.name}: ${key} must be a list of a number for each of ${count} images, got ${Array.isArray(numbers) ? numbers.length : "none"}`,
    );
  checkLabels(file, numbers, classes);
  return { labels: numbers as number[], rows: memoryRows(data.data, PIXELS) };
}

function checkLabels(file: TreeFile, labels: ArrayLike<unknown>, classes: number): void {
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i];
    if (typeof label === "number" && Number.isInteger(label) && label >= 0 && label < classes)
      continue;
    throw new DataError(
      `${file.name}: labels must be in 0..${classes - 1}, got ${String(label).slice(0, 40)} as number ${i}`,
    );
  }
}
