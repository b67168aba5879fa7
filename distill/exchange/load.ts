/** @file Distilled sets of any kind of file, and what their files may not say themselves. */
import { Gpu } from "../../engine/index.ts";
import { buildModel } from "../../models/index.ts";
import { outlineOf, type Outline } from "../data/known.ts";
import { normalise, type Whitening } from "../data/preprocess.ts";
import { loadSource } from "../data/registry.ts";
import { fitWhitening } from "../data/zca.ts";
import type { Source } from "../data/dataset.ts";
import { readDistilled, type DistilledFile } from "../distilled.ts";
import { FileError } from "../files.ts";
import { DSA_STRATEGY } from "../training/strategy.ts";
import { isSet, kindOf, type SetKind } from "./kind.ts";
import { readNpz } from "./npz.ts";
import { isDescribed, readPictureFolder } from "./picture-folder.ts";
import { readPublishedSet, type Told } from "./published-set.ts";

/** Of the published networks. */
export const PUBLISHED_WIDTH = 128;

/** What a distilled set is of, where its files do not say: the published layout, and plain pictures. */
export interface SetDescription {
  /** A known name, or the path of a folder or file. */
  readonly dataset: string;
  readonly network: string;
  /** 128 when absent, as published. */
  readonly width?: number | undefined;
  /** Operators joined by _, or none; the published ones when absent. */
  readonly augmentation?: string | undefined;
  /** Whether the images are whitened, as the published ones are; then the data must be at hand. */
  readonly zca?: boolean | undefined;
  /** Learning rate to train with, where no file has it. */
  readonly lr?: number | undefined;
  /** Folder of the known sets' files, as for `loadSource`. */
  readonly data?: string | undefined;
}

/**
 * A description with what follows from it: class names and preprocessing. Data are loaded only where
 * their constants are not known, or for `whiteningOf`.
 * @throws DataError, FileError, ModelError.
 */
export async function toldBy(
  {
    dataset,
    network,
    width = PUBLISHED_WIDTH,
    zca = false,
    data,
    augmentation = DSA_STRATEGY,
  }: SetDescription,
  whiteningOf: (source: Source) => Promise<Whitening>,
): Promise<Told> {
  const told = ({
    name,
    classes,
    channels,
    height,
  }: Outline | Source): Omit<Told, "preprocessing"> => {
    // That there is such a network is to be known before what takes long.
    buildModel(network, { channels, size: height, classes: classes.length }, { width });
    return { dataset: name, classes, network, width, augmentation };
  };
  const outline = outlineOf(dataset);
  if (!zca && outline?.normalisation) {
    const preprocessing = { kind: "normalise", ...outline.normalisation } as const;
    return { ...told(outline), preprocessing };
  }
  const source = await loadSource(dataset, { data });
  const rest = told(source);
  const preprocessing = zca ? await whiteningOf(source) : normalise(source).preprocessing;
  return { ...rest, preprocessing };
}

/** Whether the files of a set at `path` say what it is of. */
export const isSelfDescribing = (kind: SetKind, path: string): boolean =>
  kind !== "published" && (kind !== "png" || isDescribed(path));

/** Reads a set of a kind; `told` is asked where its files do not say what it is of. Throws `FileError`. */
export async function readSet(
  kind: SetKind,
  path: string,
  told: () => Promise<Told>,
  lr?: number,
): Promise<DistilledFile> {
  if (kind === "safetensors") return readDistilled(path);
  if (kind === "npz") return readNpz(path);
  if (kind === "published") return readPublishedSet(path, await told(), lr);
  return isDescribed(path) ? readPictureFolder(path) : readPictureFolder(path, await told(), lr);
}

/**
 * A distilled set of any kind that `potstill convert` reads, told by content: .safetensors, .npz, a
 * folder of pictures with labels.csv, or a published one (images_best.pt, labels_best.pt, lr_best.pt).
 * `described` says what the last two are of; whatever a set says itself stands.
 * @throws FileError when it is damaged, or no distilled set, or its files do not say what it is of and
 * nothing else does; DataError, ModelError when the description is of what is not there.
 */
export async function loadDistilled(
  path: string,
  described?: SetDescription,
): Promise<DistilledFile> {
  const kind = kindOf(path);
  if (!isSet(kind))
    throw new FileError(`${path}: must be a distilled set, got trajectories of teachers`);
  const told = (): Promise<Told> => {
    if (described) return toldBy(described, fitted);
    throw new FileError(
      `${path}: its data set and network must be told, since its files do not say them, got nothing`,
    );
  };
  return readSet(kind, path, told, described?.lr);
}

async function fitted(source: Source): Promise<Whitening> {
  using gpu = await Gpu.open();
  return await fitWhitening(gpu, source.train, source);
}
