/** @file A distilled set as a file: safetensors with everything that a stranger's trainer needs. */
import { z } from "zod";

import type { Dataset } from "./data/dataset.ts";
import type { Preprocessing } from "./data/preprocess.ts";
import { FileError, readBytes, writeAtomic } from "./files.ts";
import type { DistilledSet } from "./matching/match.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "./formats/safetensors.ts";

/** As in the metadata, where every string is a JSON value. */
const FORMAT = '"potstill-distilled"';
const VERSION = "1";

const rule = {
  text: { error: "text" },
  texts: { error: "a list of names" },
  count: { error: "a whole number from 1" },
  seed: { error: "a whole number" },
  number: { error: "a number" },
  numbers: { error: "a list of numbers" },
  kind: { error: "normalise or zca" },
  accuracy: { error: "mean and std in 0..1 and a number of seeds" },
};
const text = z.string(rule.text);
const count = z.int(rule.count).min(1, rule.count);
const fraction = z.number(rule.accuracy).min(0, rule.accuracy).max(1, rule.accuracy);
const numbers = z.array(z.number(rule.numbers), rule.numbers).readonly();

const describedSchema = z.object({
  dataset: text,
  /** Names, in the order of the label logits. */
  classes: z.array(z.string(rule.texts), rule.texts).min(1, rule.texts).readonly(),
  /** Images a class. */
  ipc: count,
  network: text,
  width: count,
  /** Of the recipe; not told by sets that others made. */
  seed: z.int(rule.seed).optional(),
  /** The augmentation that it was made with and is to be trained with, as a recipe names it. */
  augmentation: text,
  /** Test accuracy of networks trained on it, where that was measured. */
  accuracy: z
    .object({ mean: fraction, std: fraction, seeds: z.int(rule.accuracy) }, rule.accuracy)
    .readonly()
    .optional(),
});
const fileSchema = z.intersection(
  describedSchema,
  z.discriminatedUnion(
    "preprocessing",
    [
      z.object({ preprocessing: z.literal("normalise"), mean: numbers, std: numbers }),
      z.object({ preprocessing: z.literal("zca"), eps: z.number(rule.number) }),
    ],
    rule.kind,
  ),
);
const KEYS = [
  ...describedSchema.keyof().options,
  ...(["preprocessing", "mean", "std", "eps"] as const),
];

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

/** A distilled set as named float32 tensors and strings: what every file of it holds. */
export interface Bundle {
  readonly tensors: Readonly<Record<string, FloatTensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/**
 * `images` [N, C, H, W] in the network's input space, `labels` [N, K] as logits, `lr` [1]; for
 * whitened images `zca_mean` [D], `zca_whiten` and `zca_colour` [D, D]. Metadata are JSON values.
 */
export function toBundle({ images, labels, lr, shape, meta }: DistilledFile): Bundle {
  const { preprocessing, ...described } = meta;
  const rows = shape[0]!;
  const tensors: Record<string, FloatTensor> = {
    images: { shape: [...shape], data: Float32Array.from(images) },
    labels: { shape: [rows, labels.length / rows], data: Float32Array.from(labels) },
    lr: { shape: [1], data: Float32Array.of(lr) },
  };
  let told: object;
  if (preprocessing.kind === "zca") {
    const { mean, whiten, colour, eps } = preprocessing;
    const size = mean.length;
    tensors["zca_mean"] = { shape: [size], data: mean };
    tensors["zca_whiten"] = { shape: [size, size], data: whiten };
    tensors["zca_colour"] = { shape: [size, size], data: colour };
    told = { preprocessing: "zca", eps };
  } else {
    const { kind, mean, std } = preprocessing;
    told = { preprocessing: kind, mean, std };
  }
  const values: Readonly<Record<string, unknown>> = { ...described, ...told };
  const metadata: Record<string, string> = { format: FORMAT, version: VERSION };
  for (const key of KEYS)
    if (values[key] !== undefined) metadata[key] = JSON.stringify(values[key]);
  return { tensors, metadata };
}

/**
 * The set of a bundle that was read from `path`.
 * @throws FileError when it is no distilled set, or its parts do not fit together.
 */
export function fromBundle({ tensors, metadata }: Bundle, path: string): DistilledFile {
  const { preprocessing, ...meta } = parseMetadata(metadata, path);
  const tensor = (name: string, ...shape: readonly (number | string)[]) => {
    const found = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
    const fits =
      found?.shape.length === shape.length &&
      shape.every((axis, i) => typeof axis === "string" || axis === found.shape[i]);
    if (!found || !fits)
      throw new FileError(
        `${path}: tensor ${name} must be F32 [${shape.join(", ")}], got ${found ? `[${found.shape.join(", ")}]` : "none"}`,
      );
    if (!found.data.every(Number.isFinite))
      throw new FileError(`${path}: values of ${name} must be finite, got others`);
    return found;
  };
  const rows = meta.ipc * meta.classes.length;
  const images = tensor("images", rows, "C", "H", "W");
  const [channels, ...sides] = images.shape.slice(1) as [number, number, number];
  const size = channels * sides[0] * sides[1];
  const labels = tensor("labels", rows, meta.classes.length);
  const lr = tensor("lr", 1).data[0]!;
  if (!(lr > 0)) throw new FileError(`${path}: lr must be above 0, got ${lr}`);
  const { kind } = preprocessing;
  if (
    kind === "normalise" &&
    [preprocessing.mean, preprocessing.std].some((values) => values.length !== channels)
  )
    throw new FileError(
      `${path}: mean and std must have one value for each of ${channels} channels, got others`,
    );
  return {
    images: images.data,
    labels: labels.data,
    lr,
    shape: images.shape,
    meta: {
      ...meta,
      preprocessing:
        kind === "normalise"
          ? preprocessing
          : {
              kind,
              mean: tensor("zca_mean", size).data,
              whiten: tensor("zca_whiten", size, size).data,
              colour: tensor("zca_colour", size, size).data,
              eps: preprocessing.eps,
            },
    },
  };
}

/** Writes the set as safetensors, all tensors F32. The same set gives the same bytes. */
export function writeDistilled(path: string, file: DistilledFile): void {
  const { tensors, metadata } = toBundle(file);
  const stored = Object.entries(tensors).map(([name, tensor]): [string, StoredTensor] => [
    name,
    { dtype: "F32", ...tensor },
  ]);
  writeAtomic(path, encodeSafetensors(Object.fromEntries(stored), metadata));
}

/**
 * Reads what {@link writeDistilled} wrote.
 * @throws FileError when the file is damaged, or is not a distilled set.
 */
export function readDistilled(path: string): DistilledFile {
  const { tensors, metadata } = decodeSafetensors(readBytes(path), path);
  const floats: Record<string, FloatTensor> = {};
  for (const [name, { dtype, shape, data }] of Object.entries(tensors))
    if (dtype === "F32") floats[name] = { shape, data: Float32Array.from(data) };
  return fromBundle({ tensors: floats, metadata }, path);
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

type Told = z.infer<typeof describedSchema> & {
  readonly preprocessing:
    | Extract<Preprocessing, { readonly kind: "normalise" }>
    | { readonly kind: "zca"; readonly eps: number };
};

function parseMetadata(metadata: Readonly<Record<string, string>>, path: string): Told {
  const { format, version } = metadata;
  if (format !== FORMAT)
    throw new FileError(
      `${path}: metadata format must be ${FORMAT}, got ${format?.slice(0, 60) ?? "none"}`,
    );
  if (version !== VERSION)
    throw new FileError(
      `${path}: must be of format version ${VERSION}, got ${version?.slice(0, 60) ?? "none"}; read it with the potstill that wrote it`,
    );
  const values: Record<string, unknown> = {};
  for (const key of KEYS) {
    const json = metadata[key];
    if (json !== undefined) values[key] = parsedOrUndefined(json);
  }
  const parsed = fileSchema.safeParse(values);
  if (!parsed.success) {
    const { path: place, message } = parsed.error.issues[0]!;
    const key = String(place[0]);
    throw new FileError(
      `${path}: metadata ${key} must be ${message}, got ${metadata[key]?.slice(0, 60) ?? "none"}`,
    );
  }
  const { data } = parsed;
  const meta = describedSchema.parse(data);
  return data.preprocessing === "normalise"
    ? { ...meta, preprocessing: { kind: "normalise", mean: data.mean, std: data.std } }
    : { ...meta, preprocessing: { kind: "zca", eps: data.eps } };
}

function parsedOrUndefined(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
