/** @file Training images that are held out: what is chosen by them has not learned from them. */
import { createHash } from "node:crypto";

import { Random } from "../../engine/index.ts";
import { DataError, type Dataset, type Split } from "./dataset.ts";

/**
 * The set without a share in 0..1 of each class's training images, at least one, which become
 * `heldOut`. They depend on the labels alone, so that teachers of any seed have the same. The id is
 * another, for what learned from other images is something else.
 * @throws DataError when a class would have no image left.
 */
export function withHeldOut(dataset: Dataset, share: number): Dataset {
  const { train, classes, id } = dataset;
  const counts = new Array<number>(classes.length).fill(0);
  for (const label of train.labels) counts[label]!++;
  const wanted = counts.map((count) => Math.max(1, Math.round(share * count)));
  const few = counts.findIndex((count, k) => count - wanted[k]! < 1);
  if (few >= 0)
    throw new DataError(
      `held_out: every class must have images beside the held-out ones, got ${counts[few]!} of class ${classes[few]!}`,
    );
  const held: number[] = [];
  const kept: number[] = [];
  for (const i of new Random(0).stream("held out").permutation(train.count))
    (wanted[train.labels[i]!]!-- > 0 ? held : kept).push(i);
  const indices = Uint32Array.from(held).sort();
  return {
    ...dataset,
    id: createHash("sha256").update(id).update(new Uint8Array(indices.buffer)).digest("hex"),
    train: part(train, Uint32Array.from(kept).sort()),
    heldOut: part(train, indices),
  };
}

/** The images of a split at the given numbers. */
export function part(split: Split, numbers: Uint32Array): Split {
  return {
    count: numbers.length,
    labels: Uint16Array.from(numbers, (i) => split.labels[i]!),
    images(indices, out) {
      const bad = Array.from(indices).find((i) => !(i >= 0 && i < numbers.length));
      if (bad !== undefined)
        throw new RangeError(`images: every index must be in 0..${numbers.length - 1}, got ${bad}`);
      return split.images(
        Array.from(indices, (i) => numbers[i]!),
        out,
      );
    },
  };
}
