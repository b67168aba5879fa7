/**
 * @file Distilled sets as the published programs save them: images_best.pt `[N, C, H, W]` in the network's
 * input space, labels_best.pt (logits `[N, K]`, or class numbers `[N]`) and lr_best.pt in a folder.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

import type { FloatTensor } from "../bundle.ts";
import type { DistilledFile, DistilledMeta } from "../distilled.ts";
import { FileError, openRunFolder, writeAtomic } from "../files.ts";
import { isNumericArray, numericArray, type NumericArray } from "../formats/array.ts";
import { encodePt } from "../formats/pt-write.ts";
import { PtTensor, readPt } from "../formats/pt.ts";
import { OpenFile, refusing } from "../formats/source.ts";
import { classArray, floatTensor, logitsOf } from "./labels.ts";

const FILES = { images: "images_best.pt", labels: "labels_best.pt", lr: "lr_best.pt" } as const;

/** Whether a folder holds a set of that layout. */
export const isPublishedSet = (folder: string): boolean => existsSync(join(folder, FILES.images));

/** What the layout does not say; images a class follow from the images. */
export type Told = Omit<DistilledMeta, "ipc">;

/**
 * Reads such a folder. `lr` stands in where lr_best.pt is missing (MTT's hard labels come without).
 * @throws FileError when a file is missing or damaged, or the set is not of the task that is told.
 */
export function readPublishedSet(folder: string, told: Told, lr?: number): DistilledFile {
  const images = floatTensor(tensorIn(join(folder, FILES.images)));
  const [rows = 0] = images.shape;
  const classes = told.classes.length;
  const refuseImages = refusing(join(folder, FILES.images));
  if (images.shape.length !== 4) {
    return refuseImages("images must be [N, C, H, W]", `[${images.shape.join(", ")}]`);
  }
  if (rows === 0 || rows % classes !== 0) {
    return refuseImages(`images must be equally many of each of ${classes} classes`, rows);
  }
  const labels = labelsIn(join(folder, FILES.labels), rows, classes);
  const found = {
    images: images.data,
    labels: labels.data,
    lr: lrIn(join(folder, FILES.lr), lr),
    shape: images.shape,
    meta: { ...told, ipc: rows / classes },
  };
  for (const [name, { data }] of Object.entries({ images, labels }))
    if (!data.every(Number.isFinite))
      refusing(join(folder, FILES[name as "images"]))("values must be finite", "others");
  return found;
}

/** Writes such a folder; with `hard`, labels are class numbers. Throws `FileError`. */
export function writePublishedSet(
  folder: string,
  file: DistilledFile,
  { hard = false } = {},
): void {
  const { images, labels, lr, shape, meta } = file;
  const path = openRunFolder(folder);
  const tensors = {
    images: numericArray("float32", shape, images),
    labels: hard
      ? classArray(file)
      : numericArray("float32", [shape[0]!, meta.classes.length], labels),
    lr: numericArray("float32", [], Float32Array.of(lr)),
  };
  for (const name of Object.keys(FILES) as (keyof typeof FILES)[])
    writeAtomic(join(path, FILES[name]), encodePt(tensors[name]));
}

function labelsIn(path: string, rows: number, classes: number): FloatTensor {
  const array = tensorIn(path);
  const refuse = refusing(path);
  const { shape } = array;
  if (shape.length === 1 && shape[0] === rows) return logitsOf(array, classes, path);
  if (shape.length !== 2 || shape[0] !== rows || shape[1] !== classes) {
    return refuse(
      `labels must be logits [${rows}, ${classes}] or class numbers [${rows}]`,
      `[${shape.join(", ")}]`,
    );
  }
  return floatTensor(array);
}

function lrIn(path: string, given: number | undefined): number {
  if (!existsSync(path)) {
    if (given !== undefined) return given;
    throw new FileError(
      `${path}: must exist unless --lr gives the learning rate, got no such file`,
    );
  }
  const { data } = tensorIn(path);
  const [lr] = data;
  const refuse = refusing(path);
  if (data.length !== 1 || lr === undefined) return refuse("must be one number", data.length);
  if (!(lr > 0 && Number.isFinite(lr))) return refuse("the learning rate must be above 0", lr);
  return Math.fround(lr);
}

/** The one tensor of a .pt file. */
function tensorIn(path: string): NumericArray {
  using source = new OpenFile(path);
  const value = readPt(source);
  if (value instanceof PtTensor) return value.load();
  if (isNumericArray(value)) return value;
  if (typeof value === "number") return numericArray("float64", [], Float64Array.of(value));
  return refusing(path)("must be a tensor", "another value");
}
