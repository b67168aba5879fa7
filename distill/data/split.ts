/** @file Test images of a set that comes without: a fifth of each class, always the same. */
import { Random } from "../../engine/index.ts";
import { DataError } from "./dataset.ts";

/** One in so many images. */
const SHARE = 5;

/**
 * Numbers of the images that are for testing: a fifth of each class, at least one. They depend on the
 * labels alone, so that results of any seed can be compared.
 * @throws DataError, naming `source`, when a class has none or only one.
 */
export function testImages(
  labels: readonly number[],
  classes: readonly string[],
  source: string,
): ReadonlySet<number> {
  const counts = new Array<number>(classes.length).fill(0);
  for (const label of labels) counts[label]!++;
  const few = counts.findIndex((count) => count < 2);
  if (few >= 0)
    throw new DataError(
      `${source}: every class must have an image for training and one for testing, got ${counts[few]!} of class ${classes[few]!}`,
    );
  const wanted = counts.map((count) => Math.max(1, Math.floor(count / SHARE)));
  const chosen = new Set<number>();
  for (const i of new Random(0).stream("test images").permutation(labels.length))
    if (wanted[labels[i]!]!-- > 0) chosen.add(i);
  return chosen;
}
