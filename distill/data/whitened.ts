/** @file A data set in the space of whitened images: fitted and whitened once on the device, then read. */
import { createHash } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { dirname } from "node:path";

import type { Gpu } from "../../engine/index.ts";
import { FileError, openRunFolder, readBytes, writeAtomic } from "../files.ts";
import type { Progress } from "../progress.ts";
import { decodeSafetensors, encodeSafetensors } from "../formats/safetensors.ts";
import { cached, cacheFile } from "./cache.ts";
import type { Dataset, Source, Split } from "./dataset.ts";
import { hold } from "./hold.ts";
import type { PendingHalf } from "./pending.ts";
import type { Whitening } from "./preprocess.ts";
import { fitWhitening, Whitener, ZCA_EPS } from "./zca.ts";

export interface WhitenOptions {
  /** Added to every eigenvalue of the covariance; the published 0.1 when absent. */
  readonly eps?: number | undefined;
  readonly progress?: Progress | undefined;
  /** Bytes of whitened images that are kept in memory at most, by default 1 GiB. */
  readonly memory?: number | undefined;
  /** Multiplications from which on their result is kept in the cache folder. For tests. @internal */
  readonly worth?: number | undefined;
}

const MEMORY = 2 ** 30;

/** Of the cache's files: another one is not read. */
const VERSION = 1;

/** Multiplications whose result is kept: what takes no second is not. */
const WORTH = 2 ** 34;

/**
 * A source whose images are whitened by the covariance of its training images (DATM.md §1). What takes
 * long is kept in the cache folder, if there is one: the matrices and the images of each source and
 * adapter.
 * @throws DataError when the source has less than two training images, or they are too large for the
 * adapter; FileError when a cache file can't be written.
 */
export async function whiten(
  gpu: Gpu,
  source: Source,
  options: WhitenOptions = {},
): Promise<Dataset> {
  return whitenBy(gpu, source, await whiteningOf(gpu, source, options), options);
}

/**
 * A source whose images are whitened as others were. Throws as {@link whiten}, and RangeError when those
 * had another shape.
 */
export async function whitenBy(
  gpu: Gpu,
  source: Source,
  whitening: Whitening,
  { progress, memory = MEMORY, worth = WORTH }: WhitenOptions = {},
): Promise<Dataset> {
  const { channels, height, width, name, id, classes, train, test } = source;
  const size = channels * height * width;
  if (whitening.mean.length !== size)
    throw new RangeError(
      `whitening: it must be of images of ${size} values, got one of ${whitening.mean.length}`,
    );
  const { mean, whiten: matrix } = whitening;
  const key = keyOf(gpu, "images", source, [mean, matrix]);
  const count = train.count + test.count;
  const slow = count * size ** 2 >= worth;
  const before = slow ? cached(key, memory) : undefined;
  const whitened = async () => {
    using whitener = await Whitener.compile(gpu, whitening);
    let done = 0;
    const pending = ({ labels, ...split }: Split): PendingHalf => ({
      labels,
      pixels: {
        async *pieces() {
          for await (const piece of whitener.pieces({ labels, ...split })) {
            progress?.update((done += piece.length / size));
            yield new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
          }
        },
      },
    });
    const set = { channels, height, width, classes, levels: 1, element: "f32" } as const;
    progress?.start("whiten", count);
    try {
      const halves = { train: pending(train), test: pending(test) };
      return await hold({ ...set, ...halves }, { memory, key, slow });
    } finally {
      progress?.stop();
    }
  };
  const held = before ?? (await whitened());
  const shape = { channels, height, width };
  return {
    ...shape,
    name,
    id,
    classes,
    preprocessing: whitening,
    train: held.train,
    test: held.test,
  };
}

/** The whitening of a source, fitted unless the cache has it. */
async function whiteningOf(
  gpu: Gpu,
  source: Source,
  { eps = ZCA_EPS, progress, worth = WORTH }: WhitenOptions,
): Promise<Whitening> {
  const { channels, height, width, train } = source;
  const size = channels * height * width;
  const path =
    (train.count + 40 * size) * size ** 2 >= worth
      ? cacheFile(keyOf(gpu, "matrices", source, [eps]))
      : undefined;
  const before = path === undefined ? undefined : readWhitening(path, size, eps);
  if (before) return before;
  progress?.start("fit whitening", 100);
  let whitening: Whitening;
  try {
    const report = (part: number): void => progress?.update(Math.floor(100 * part));
    whitening = await fitWhitening(gpu, train, source, { eps, report });
  } finally {
    progress?.stop();
  }
  if (path !== undefined) {
    openRunFolder(dirname(path));
    writeWhitening(path, whitening);
  }
  return whitening;
}

/** A name that changes with the source, what is done to it, and the adapter, whose last bits are its own. */
function keyOf(
  { facts: { name, driver } }: Gpu,
  what: string,
  { id }: Source,
  settings: readonly (Float32Array | number)[],
): string {
  const hash = createHash("sha256").update(JSON.stringify([VERSION, what, id, name, driver]));
  for (const setting of settings)
    hash.update(typeof setting === "number" ? String(setting) : setting);
  return `zca-${what}-${hash.digest("hex").slice(0, 16)}`;
}

function writeWhitening(path: string, { mean, whiten: matrix, colour, eps }: Whitening): void {
  const [size] = [mean.length];
  const tensors = {
    mean: { dtype: "F32", shape: [size], data: mean },
    whiten: { dtype: "F32", shape: [size, size], data: matrix },
    colour: { dtype: "F32", shape: [size, size], data: colour },
  } as const;
  writeAtomic(path, encodeSafetensors(tensors, { eps: JSON.stringify(eps) }));
}

/** What {@link writeWhitening} wrote, or nothing where it is not there or damaged: it can be made again. */
function readWhitening(path: string, size: number, eps: number): Whitening | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const { tensors } = decodeSafetensors(readBytes(path), path);
    const values = (name: string, length: number): Float32Array<ArrayBuffer> => {
      const data = tensors[name]?.data;
      if (!(data instanceof Float32Array) || data.length !== length)
        throw new FileError(`${path}: must hold ${name} of ${length} values`);
      return data as Float32Array<ArrayBuffer>;
    };
    const [mean, matrix] = [values("mean", size), values("whiten", size ** 2)];
    return { kind: "zca", mean, whiten: matrix, colour: values("colour", size ** 2), eps };
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    rmSync(path, { force: true });
    return undefined;
  }
}
