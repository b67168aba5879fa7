/**
 * @file A distilled set as pictures: `<class>/<n>.png` of raw pixels, their labels in labels.csv, and all
 * else in distilled.json (with zca.npz where the images were whitened).
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";

import { encode } from "fast-png";

import type { ImageShape } from "../data/dataset.ts";
import { decodePicture, pictureHeader } from "../data/picture.ts";
import { fromPixels, toPixels, type Preprocessing } from "../data/preprocess.ts";
import type { FloatTensor } from "../bundle.ts";
import { fromBundle, toBundle, type DistilledFile } from "../distilled.ts";
import { fileError, FileError, openRunFolder, readBytes, writeAtomic } from "../files.ts";
import { pathInside } from "../formats/archive-path.ts";
import { numericArray } from "../formats/array.ts";
import { csvLine, parseCsv } from "../formats/csv.ts";
import { decodeNpz, encodeNpz } from "../formats/npy.ts";
import { refusing } from "../formats/source.ts";
import { classLogits, EXACT, predictedClasses } from "../labels.ts";
import { floatTensor } from "./labels.ts";
import type { Told } from "./published-set.ts";

const LABELS = "labels.csv";
const DESCRIPTION = "distilled.json";
const WHITENING = "zca.npz";

/** Whether a folder holds a set of that layout. */
export const isPictureFolder = (folder: string): boolean => existsSync(join(folder, LABELS));

/** Whether such a folder says itself what its pictures are of. */
export const isDescribed = (folder: string): boolean => existsSync(join(folder, DESCRIPTION));

/**
 * Writes the folder. Pixels are rounded to 8 bits and cut off at black and white, so what comes back
 * is near the set, not the same. Lines of labels.csv are `file,label,class`, and the label's logits
 * unless they are `hard`. Throws `FileError`.
 */
export function writePictureFolder(
  folder: string,
  file: DistilledFile,
  { hard = false } = {},
): void {
  const root = openRunFolder(folder);
  const { images, labels, shape, meta } = file;
  const [count, channels, height, width] = shape as [number, number, number, number];
  if (channels !== 1 && channels !== 3) {
    throw new FileError(`${folder}: pictures must have 1 or 3 channels, got ${channels}`);
  }
  const { classes } = meta;
  const raw = toPixels(images, meta.preprocessing, { channels, height, width });
  const numbers = predictedClasses(labels, classes.length);
  const seen = new Uint32Array(classes.length);
  const logits = hard ? [] : classes.map((_, k) => `logit_${k}`);
  let lines = csvLine(["file", "label", "class", ...logits]);
  const plane = height * width;
  for (let n = 0; n < count; n++) {
    const label = numbers[n]!;
    const path = `${folderName(label, classes)}/${seen[label]!++}.png`;
    // This array clamps and rounds what is stored into it.
    const data = new Uint8ClampedArray(channels * plane);
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < plane; p++)
        data[p * channels + c] = 255 * raw[(n * channels + c) * plane + p]!;
    makeFolder(dirname(join(root, path)));
    writeAtomic(join(root, path), encode({ width, height, channels, depth: 8, data }));
    const row = hard ? [] : [...labels.subarray(n * classes.length, (n + 1) * classes.length)];
    // Nine digits give every float32 back.
    const values = row.map((value) => Number(value.toPrecision(9)));
    lines += csvLine([path, label, classes[label]!, ...values]);
  }
  writeAtomic(join(root, LABELS), lines);
  writeDescription(root, file);
}

/**
 * Reads such a folder; `told` and `lr` stand in where distilled.json is missing.
 * @throws FileError, DataError when a file is missing or damaged, or the pictures don't belong together.
 */
export async function readPictureFolder(
  folder: string,
  told?: Told,
  lr?: number,
): Promise<DistilledFile> {
  const described = isDescribed(folder) ? readDescription(folder) : undefined;
  const classes = described ? described.classes : told?.classes;
  if (classes === undefined) {
    throw new FileError(
      `${join(folder, DESCRIPTION)}: must tell what the set is, got no such file`,
    );
  }
  const { files, labels } = readLabels(join(folder, LABELS), classes.length);
  const { raw, shape } = await readPictures(folder, files);
  const [channels, height, width] = shape.slice(1) as [number, number, number];
  const form = { channels, height, width };
  if (described) {
    const { tensors, metadata } = described;
    // Pixels stand in for the images until the preprocessing is known to be sound.
    const file = fromBundle(
      { tensors: { ...tensors, labels, images: { shape, data: raw } }, metadata },
      join(folder, DESCRIPTION),
    );
    return { ...file, images: inputs(raw, file.meta.preprocessing, form, folder) };
  }
  if (!told) throw new Error("internal: classes without what was told");
  if (lr === undefined) {
    throw new FileError(`${folder}: the learning rate must be given by --lr, got none`);
  }
  if (files.length % classes.length !== 0) {
    throw new FileError(
      `${join(folder, LABELS)}: images must be equally many of each of ${classes.length} classes, got ${files.length}`,
    );
  }
  return {
    images: inputs(raw, told.preprocessing, form, folder),
    labels: labels.data,
    lr,
    shape,
    meta: { ...told, ipc: files.length / classes.length },
  };
}

/** Folders sort in the order of the labels, whatever the classes are called. */
function folderName(label: number, classes: readonly string[]): string {
  const digits = String(classes.length - 1).length;
  const plain = classes[label]!.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return `${String(label).padStart(digits, "0")}-${plain.slice(0, 60)}`;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (cause) {
    throw fileError(path, "writable", cause);
  }
}

function inputs(
  raw: Float32Array<ArrayBuffer>,
  preprocessing: Preprocessing,
  shape: ImageShape,
  folder: string,
): Float32Array<ArrayBuffer> {
  try {
    return fromPixels(raw, preprocessing, shape);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new FileError(`${folder}: ${cause.message}`);
  }
}

function writeDescription(root: string, file: DistilledFile): void {
  const { tensors, metadata } = toBundle(file);
  const values = Object.entries(metadata).map(([key, json]): [string, unknown] => [
    key,
    JSON.parse(json),
  ]);
  const description: object = { ...Object.fromEntries(values), lr: file.lr };
  const whitening = Object.entries(tensors).filter(([name]) => name.startsWith("zca_"));
  if (whitening.length > 0) {
    const arrays = whitening.map(
      ([name, { shape, data }]) => [name, numericArray("float32", shape, data)] as const,
    );
    writeAtomic(join(root, WHITENING), encodeNpz(Object.fromEntries(arrays)));
  }
  writeAtomic(join(root, DESCRIPTION), `${JSON.stringify(description, null, 2)}\n`);
}

interface Description {
  /** All but images and labels. */
  readonly tensors: Readonly<Record<string, FloatTensor>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly classes: readonly unknown[];
}

function readDescription(folder: string): Description {
  const path = join(folder, DESCRIPTION);
  const refuse = refusing(path);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(readBytes(path)));
  } catch (cause) {
    if (cause instanceof FileError) throw cause;
  }
  if (typeof value !== "object" || value === null || !("lr" in value) || !("classes" in value)) {
    return refuse("must be a JSON object with lr and classes", "another");
  }
  const { lr, ...rest } = value;
  if (typeof lr !== "number") return refuse("lr must be a number", "else");
  if (!Array.isArray(rest.classes)) return refuse("classes must be a list of names", "else");
  const tensors: Record<string, FloatTensor> = { lr: { shape: [1], data: Float32Array.of(lr) } };
  const whitening = join(folder, WHITENING);
  if (existsSync(whitening))
    for (const [name, array] of decodeNpz(readBytes(whitening), whitening))
      tensors[name] = floatTensor(array);
  const metadata = Object.entries(rest).map(([key, item]) => [key, JSON.stringify(item)] as const);
  const classes: readonly unknown[] = rest.classes;
  return { tensors, metadata: Object.fromEntries(metadata), classes };
}

/** Files and label logits `[N, K]`, line by line. */
function readLabels(path: string, classes: number): { files: string[]; labels: FloatTensor } {
  const [header = [], ...rows] = parseCsv(new TextDecoder().decode(readBytes(path)), path);
  const fileAt = header.indexOf("file");
  const labelAt = header.indexOf("label");
  const logitsAt = header.indexOf("logit_0");
  if (fileAt < 0 || (labelAt < 0 && logitsAt < 0)) {
    return refusing(path)("columns must be file, and label or logit_0 and so on", header.join());
  }
  const labels = new Float32Array(rows.length * classes);
  const files = rows.map((row, n) => {
    const refuse = refusing(`${path}, line ${n + 2}`);
    const file = pathInside(row[fileAt] ?? "");
    if (file === undefined) return refuse("a file must lie in the folder", row[fileAt] ?? "none");
    const number = (text: string | undefined): number =>
      text !== undefined && text.trim() !== "" && Number.isFinite(Number(text))
        ? Number(text)
        : refuse("labels must be numbers", JSON.stringify(text?.slice(0, 40) ?? "none"));
    if (logitsAt >= 0) {
      for (let k = 0; k < classes; k++) labels[n * classes + k] = number(row[logitsAt + k]);
      return file;
    }
    const label = number(row[labelAt]);
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      return refuse(`labels must be class numbers in 0..${classes - 1}`, label);
    }
    labels.set(classLogits([label], classes, EXACT), n * classes);
    return file;
  });
  if (files.length === 0) refusing(path)("must have a line for every picture", "none");
  return { files, labels: { shape: [rows.length, classes], data: labels } };
}

/** Raw pixels `[N, C, H, W]` of pictures that must be alike. */
async function readPictures(
  folder: string,
  files: readonly string[],
): Promise<{ raw: Float32Array<ArrayBuffer>; shape: number[] }> {
  const first = join(folder, files[0]!);
  const { grey, height, width } = await pictureHeader(readBytes(first), first);
  const channels = grey ? 1 : 3;
  const plane = height * width;
  const raw = new Float32Array(files.length * channels * plane);
  for (const [n, file] of files.entries()) {
    const path = join(folder, file);
    const picture = await decodePicture(readBytes(path), path, { channels });
    if (picture.height !== height || picture.width !== width) {
      throw new FileError(
        `${path}: must have ${height}×${width} pixels as the first picture, got ${picture.height}×${picture.width}`,
      );
    }
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < plane; p++)
        raw[(n * channels + c) * plane + p] = picture.data[p * channels + c]! / 255;
  }
  return { raw, shape: [files.length, channels, height, width] };
}
