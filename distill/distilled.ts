/** @file A distilled set as a file: safetensors with everything that a stranger's trainer needs. */
import { z } from "zod";

import {
  countField,
  fromMetadata,
  namesField,
  PREPROCESSING_KEYS,
  preprocessingOf,
  preprocessingParts,
  preprocessingSchema,
  readBundle,
  tensorOf,
  textField,
  toMetadata,
  writeBundle,
  type Bundle,
  type BundleForm,
} from "./bundle.ts";
import type { Dataset } from "./data/dataset.ts";
import type { Preprocessing } from "./data/preprocess.ts";
import { FileError } from "./files.ts";
import type { DistilledSet } from "./matching/match.ts";

const rule = {
  seed: { error: "a whole number" },
  chosenOn: { error: "held-out or test" },
  accuracy: { error: "mean and std in 0..1 and a number of seeds" },
};
const fraction = z.number(rule.accuracy).min(0, rule.accuracy).max(1, rule.accuracy);

const describedSchema = z.object({
  dataset: textField,
  /** Names, in the order of the label logits. */
  classes: namesField,
  /** Images a class. */
  ipc: countField,
  network: textField,
  width: countField,
  /** Of the recipe; not told by sets that others made. */
  seed: z.int(rule.seed).optional(),
  /** The augmentation that it was made with and is to be trained with, as a recipe names it. */
  augmentation: textField,
  /** Which images it was chosen on, where evaluations chose the best set of a run. */
  chosenOn: z.enum(["held-out", "test"], rule.chosenOn).optional(),
  /** Test accuracy of networks trained on it, where that was measured. */
  accuracy: z
    .object({ mean: fraction, std: fraction, seeds: z.int(rule.accuracy) }, rule.accuracy)
    .readonly()
    .optional(),
});
const fileSchema = z.intersection(describedSchema, preprocessingSchema);
const FORM: BundleForm<z.infer<typeof fileSchema>> = {
  format: "potstill-distilled",
  version: 1,
  keys: [...describedSchema.keyof().options, ...PREPROCESSING_KEYS],
  schema: fileSchema,
};

/** What the tensors do not say. */
export interface DistilledMeta extends Readonly<z.infer<typeof describedSchema>> {
  /** How raw pixels in [0, 1] become what a network trained on the set must be given. */
  readonly preprocessing: Preprocessing;
}

export interface DistilledFile extends DistilledSet {
  readonly meta: DistilledMeta;
  /** `[N, C, H, W]`. */
  readonly shape: readonly number[];
}

/**
 * A distilled set as what every file of it holds: `images` [N, C, H, W] in the network's input space,
 * `labels` [N, K] as logits, `lr` [1]; for whitened images `zca_mean` [D], `zca_whiten` and `zca_colour`
 * [D, D]. Metadata are JSON values.
 */
export function toBundle({ images, labels, lr, shape, meta }: DistilledFile): Bundle {
  const { preprocessing, ...described } = meta;
  const rows = shape[0]!;
  const { tensors, values } = preprocessingParts(preprocessing);
  return {
    tensors: {
      images: { shape: [...shape], data: Float32Array.from(images) },
      labels: { shape: [rows, labels.length / rows], data: Float32Array.from(labels) },
      lr: { shape: [1], data: Float32Array.of(lr) },
      ...tensors,
    },
    metadata: toMetadata(FORM, { ...described, ...values }),
  };
}

/**
 * The set of a bundle that was read from `path`.
 * @throws FileError when it is no distilled set, or its parts do not fit together.
 */
export function fromBundle(bundle: Bundle, path: string): DistilledFile {
  const told = fromMetadata(FORM, bundle.metadata, path);
  const meta = describedSchema.parse(told);
  const rows = meta.ipc * meta.classes.length;
  const images = tensorOf(bundle, path, "images", [rows, "C", "H", "W"]);
  const [channels, height, width] = images.shape.slice(1) as [number, number, number];
  const labels = tensorOf(bundle, path, "labels", [rows, meta.classes.length]);
  const lr = tensorOf(bundle, path, "lr", [1]).data[0]!;
  if (!(lr > 0)) throw new FileError(`${path}: lr must be above 0, got ${lr}`);
  const shape = { channels, height, width };
  return {
    images: images.data,
    labels: labels.data,
    lr,
    shape: images.shape,
    meta: { ...meta, preprocessing: preprocessingOf(told, bundle, shape, path) },
  };
}

/** Writes the set as safetensors, all tensors F32. The same set gives the same bytes. */
export function writeDistilled(path: string, file: DistilledFile): void {
  writeBundle(path, toBundle(file));
}

/**
 * Reads what {@link writeDistilled} wrote.
 * @throws FileError when the file is damaged, or is not a distilled set.
 */
export function readDistilled(path: string): DistilledFile {
  return fromBundle(readBundle(path), path);
}

/** How far two whitenings' means may be apart that were computed on different machines. */
const SAME = 1e-3;

/**
 * Checks that a data set is preprocessed as the images of the set in the file at `path` are.
 * @throws FileError.
 */
export function checkPreprocessing({ meta }: DistilledFile, dataset: Dataset, path: string): void {
  const [must, got] = [meta.preprocessing, dataset.preprocessing];
  const told = (preprocessing: Preprocessing): string =>
    preprocessing.kind === "zca"
      ? `zca with eps ${preprocessing.eps}`
      : `mean ${preprocessing.mean.join(", ")}, std ${preprocessing.std.join(", ")}`;
  const same =
    must.kind === "zca" && got.kind === "zca"
      ? told(must) === told(got) &&
        must.mean.length === got.mean.length &&
        must.mean.every((value, i) => Math.abs(value - got.mean[i]!) < SAME)
      : told(must) === told(got);
  if (!same)
    throw new FileError(
      `${path}: the data set must be preprocessed as the distilled set was (${told(must)}), got ${told(got)}`,
    );
}
