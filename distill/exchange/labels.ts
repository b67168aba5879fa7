/** @file Labels and other tensors of a distilled set as the files of others hold them. */
import type { FloatTensor } from "../bundle.ts";
import type { DistilledFile } from "../distilled.ts";
import { numericArray, type NumericArray } from "../formats/array.ts";
import { refusing } from "../formats/source.ts";
import { classLogits, EXACT, predictedClasses } from "../labels.ts";

/** The predictedClasses class of each image, int64 `[N]`. */
export function classArray({ labels, meta }: DistilledFile): NumericArray {
  const classes = predictedClasses(labels, meta.classes.length);
  return numericArray("int64", [classes.length], Float64Array.from(classes));
}

/** The set with labels that leave no doubt. */
export function hardened(file: DistilledFile): DistilledFile {
  const classes = file.meta.classes.length;
  return { ...file, labels: classLogits(predictedClasses(file.labels, classes), classes, EXACT) };
}

/**
 * Label logits `[N, K]` of class numbers `[N]`.
 * @throws FileError, naming `source`, for a number that is no class.
 */
export function logitsOf({ data }: NumericArray, classes: number, source: string): FloatTensor {
  const bad = data.find((label) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (bad !== undefined)
    return refusing(source)(`labels must be class numbers in 0..${classes - 1}`, bad);
  return { shape: [data.length, classes], data: classLogits(data, classes, EXACT) };
}

/** Any numbers as float32. */
export const floatTensor = ({ shape, data }: NumericArray): FloatTensor => ({
  shape,
  data: Float32Array.from(data),
});
