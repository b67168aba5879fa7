/** @file A trained network as a file: safetensors with its parameters by name, and all that its use needs. */
import { z } from "zod";

import { sizeOf } from "../../engine/index.ts";
import { buildModel, type Model, type Parameter } from "../../models/index.ts";
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
  type FloatTensor,
} from "../bundle.ts";
import { DataError, type ImageShape } from "../data/dataset.ts";
import type { Preprocessing } from "../data/preprocess.ts";
import type { NetworkState } from "../training/predict.ts";

const shape = { error: "[C, H, W]" };
const how = { error: "how it was trained" };
const number = z.number(how);

const describedSchema = z.object({
  /** Of the distilled set that it was trained on. */
  dataset: textField,
  /** Names, in the order of the logits. */
  classes: namesField,
  network: textField,
  width: countField,
  /** Of the images that it takes, [C, H, W]. */
  images: z.tuple([z.int(shape).min(1), z.int(shape).min(1), z.int(shape).min(1)], shape),
  training: z
    .object(
      {
        ...{ seed: number, epochs: number, batch: number, lr: number },
        ...{ momentum: number, weightDecay: number, augmentation: z.string(how) },
      },
      how,
    )
    .readonly(),
});
const fileSchema = z.intersection(describedSchema, preprocessingSchema);
const FORM: BundleForm<z.infer<typeof fileSchema>> = {
  format: "potstill-classifier",
  version: 1,
  keys: [...describedSchema.keyof().options, ...PREPROCESSING_KEYS],
  schema: fileSchema,
};

type Described = Readonly<Omit<z.infer<typeof describedSchema>, "images">>;

/** A trained network with what its use needs. */
export interface Trained {
  readonly model: Model;
  readonly state: NetworkState;
  readonly shape: ImageShape;
  readonly meta: Described & { readonly preprocessing: Preprocessing };
}

/**
 * The network for images of a shape.
 * @throws DataError when they are not square, ModelError when there is none.
 */
export function networkFor(
  { channels, height, width }: ImageShape,
  network: {
    readonly network: string;
    readonly width: number;
    readonly classes: readonly string[];
  },
): Model {
  if (height !== width)
    throw new DataError(`images must be as wide as high, got ${height} by ${width}`);
  const task = { channels, size: height, classes: network.classes.length };
  return buildModel(network.network, task, { width: network.width });
}

/** Writes a network: the same gives the same bytes. Throws `FileError`. */
export function writeClassifier(path: string, { model, state, shape, meta }: Trained): void {
  const { preprocessing, ...described } = meta;
  const parts = preprocessingParts(preprocessing);
  const { channels, height, width } = shape;
  writeBundle(path, {
    tensors: {
      ...named(model.parameters, state.theta),
      ...named(model.buffers, state.running),
      ...parts.tensors,
    },
    metadata: toMetadata(FORM, {
      ...described,
      images: [channels, height, width],
      ...parts.values,
    }),
  });
}

/**
 * Reads what {@link writeClassifier} wrote.
 * @throws FileError when the file is damaged, or is no such network.
 */
export function readClassifier(path: string): Trained {
  const bundle = readBundle(path);
  const told = fromMetadata(FORM, bundle.metadata, path);
  const { images, ...described } = describedSchema.parse(told);
  const [channels, height, width] = images;
  const shape = { channels, height, width };
  const model = networkFor(shape, described);
  return {
    model,
    shape,
    state: {
      theta: joined(model.parameters, bundle, path),
      running: joined(model.buffers, bundle, path),
    },
    meta: { ...described, preprocessing: preprocessingOf(told, bundle, shape, path) },
  };
}

/** The tensors of a list, one after the other in a vector, by name. */
function named(
  list: readonly Parameter[],
  vector: Float32Array<ArrayBuffer>,
): Record<string, FloatTensor> {
  const tensors: Record<string, FloatTensor> = {};
  let at = 0;
  for (const { name, shape } of list)
    tensors[name] = { shape, data: vector.slice(at, (at += sizeOf(shape))) };
  return tensors;
}

/** The way back. Throws `FileError`. */
function joined(list: readonly Parameter[], bundle: Bundle, path: string) {
  const parts = list.map(({ name, shape }) => tensorOf(bundle, path, name, shape).data);
  const vector = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    vector.set(part, at);
    at += part.length;
  }
  return vector;
}
