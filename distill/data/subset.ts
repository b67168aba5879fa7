/** @file A part of the training images, equally many of each class. */
import { createHash } from "node:crypto";

import { Random } from "../../engine/index.ts";
import { DataError } from "./dataset.ts";
import type { HeldSet } from "./pending.ts";
import { someRows } from "./rows.ts";
import { storedSplit } from "./stored.ts";

/**
 * The set with `perClass` training images of each class, drawn by the seed, in their old order; all
 * test images.
 * @throws DataError when a class has fewer.
 */
export function withPerClass(set: HeldSet, perClass: number, seed: number): HeldSet {
  const { train, classes } = set;
  const left = new Array<number>(classes.length).fill(perClass);
  const chosen: number[] = [];
  for (const i of new Random(seed).stream("per class").permutation(train.count))
    if (left[train.labels[i]!]!-- > 0) chosen.push(i);
  const short = left.findIndex((count) => count > 0);
  if (short >= 0)
    throw new DataError(
      `per_class: must be at most the images of every class, got ${perClass} for ${perClass - left[short]!} of class ${classes[short]!}`,
    );
  const indices = Uint32Array.from(chosen).sort();
  const { stored } = train;
  return {
    ...set,
    id: createHash("sha256").update(set.id).update(new Uint8Array(indices.buffer)).digest("hex"),
    train: storedSplit({
      ...stored,
      rows: someRows(stored.rows, indices),
      labels: pick(stored.labels, indices),
    }),
  };
}

function pick<L extends Uint8Array | Uint16Array>(labels: L, indices: Uint32Array): L {
  const out = labels.slice(0, indices.length) as L;
  indices.forEach((index, n) => (out[n] = labels[index]!));
  return out;
}
