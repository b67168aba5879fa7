/** @file Folders of pictures, decoded in order, several at a time. */
import { availableParallelism } from "node:os";

import { DataError } from "./dataset.ts";
import type { Listing, Picture } from "./listing.ts";
import type { PendingHalf, PendingSet, ReadOptions } from "./pending.ts";
import { decodePicture, pictureHeader, type PictureForm } from "./picture.ts";
import { channelsLast, labelArray } from "./stored.ts";

/** Pictures that are decoded at the same time. */
const AHEAD = 2 * availableParallelism();
const MOST_SIDE = 4096;

/**
 * The set of the pictures in `listing`. They are grey only if all of them are.
 * @throws DataError when one is damaged, or of another size than the first without `size`.
 */
export async function readFolder(listing: Listing, options: ReadOptions): Promise<PendingSet> {
  const { size, progress } = options;
  const pictures = [...listing.train, ...listing.test];
  const { file: first } = pictures[0]!;
  const { height, width } =
    size === undefined
      ? await pictureHeader(first.bytes(), first.name)
      : { height: size, width: size };
  if (height > MOST_SIDE || width > MOST_SIDE)
    throw new DataError(
      `${first.name}: pictures must have at most ${MOST_SIDE} pixels a side, got ${height} by ${width}; --size brings all to a smaller one`,
    );
  const form = { channels: (await allGrey(pictures)) ? 1 : 3, size } as const;
  const shape = { channels: form.channels, height, width };
  let done = 0;
  async function* pieces(half: readonly Picture[]): AsyncGenerator<Uint8Array> {
    if (done === 0) progress?.start("decoding pictures", pictures.length);
    try {
      for await (const picture of decoded(half, form)) {
        if (picture.height !== height || picture.width !== width)
          throw new DataError(
            `${picture.name}: pictures must all have ${height} by ${width} pixels as the first, got ${picture.height} by ${picture.width}; --size brings all to one`,
          );
        yield picture.data;
        progress?.update(++done);
      }
    } catch (error) {
      progress?.stop();
      throw error;
    }
    if (done === pictures.length) progress?.stop();
  }
  const half = (list: readonly Picture[]): PendingHalf => ({
    labels: labelArray(
      list.map(({ label }) => label),
      listing.classes.length,
    ),
    pixels: { pieces: () => pieces(list) },
  });
  return {
    ...shape,
    levels: 255,
    order: channelsLast(shape),
    classes: listing.classes,
    train: half(listing.train),
    test: half(listing.test),
  };
}

async function allGrey(pictures: readonly Picture[]): Promise<boolean> {
  for (const { file } of pictures)
    if (!(await pictureHeader(file.bytes(), file.name)).grey) return false;
  return true;
}

/** Pictures in order; those that come next are decoded in the meantime. */
async function* decoded(pictures: readonly Picture[], form: PictureForm) {
  const ahead: ReturnType<typeof decodePicture>[] = [];
  for (let next = 0, at = 0; at < pictures.length; at++) {
    for (; next < pictures.length && next <= at + AHEAD; next++) {
      const { file } = pictures[next]!;
      const picture = decodePicture(file.bytes(), file.name, form);
      // Whoever comes to it is told; an error before it may end all first.
      picture.catch(() => undefined);
      ahead.push(picture);
    }
    yield { name: pictures[at]!.file.name, ...(await ahead.shift()!) };
  }
}
