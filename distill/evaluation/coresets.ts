/** @file Which real images stand for a class: herding and k-center, on features of a trained network. */

/** Features `[n, D]` of the images of one class, row by row. */
export interface Features {
  readonly values: Float32Array;
  /** D. */
  readonly size: number;
}

function checked({ values, size }: Features, count: number): number {
  const rows = values.length / size;
  if (!Number.isInteger(rows) || !Number.isInteger(count) || count < 1 || count > rows)
    throw new RangeError(`coreset: count must be an integer in 1..${rows}, got ${count}`);
  return rows;
}

function meanOf({ values, size }: Features): Float64Array {
  const mean = new Float64Array(size);
  const rows = values.length / size;
  values.forEach((v, i) => (mean[i % size]! += v / rows));
  return mean;
}

/** Squared distance of row `i` from a point. */
function squaredDistance({ values, size }: Features, i: number, point: ArrayLike<number>): number {
  let sum = 0;
  for (let d = 0; d < size; d++) sum += (values[i * size + d]! - point[d]!) ** 2;
  return sum;
}

/**
 * Herding (Welling 2009; as Rebuffi et al. 2017, arXiv 1611.07725 pick exemplars): `count` rows, each
 * the one that brings the mean of those chosen nearest to the mean of all. Equal ones: the first.
 * @throws RangeError when there are fewer rows.
 */
export function herding(features: Features, count: number): Uint32Array {
  const { values, size } = features;
  const rows = checked(features, count);
  const mean = meanOf(features);
  const sum = new Float64Array(size);
  const chosen = new Set<number>();
  while (chosen.size < count) {
    const wanted = mean.map((m, d) => m * (chosen.size + 1) - sum[d]!);
    const next = nearest(rows, chosen, (i) => squaredDistance(features, i, wanted));
    chosen.add(next);
    for (let d = 0; d < size; d++) sum[d]! += values[next * size + d]!;
  }
  return Uint32Array.from(chosen);
}

/**
 * Greedy k-center (Sener and Savarese 2018, arXiv 1708.00489): the row nearest to the mean, then each
 * time the one farthest from all that are chosen. Equal ones: the first.
 * @throws RangeError when there are fewer rows.
 */
export function kCenter(features: Features, count: number): Uint32Array {
  const { values, size } = features;
  const rows = checked(features, count);
  const mean = meanOf(features);
  const first = nearest(rows, new Set(), (i) => squaredDistance(features, i, mean));
  const chosen = new Set([first]);
  const distance = new Float64Array(rows).fill(Infinity);
  for (let last = first; chosen.size < count;) {
    const point = values.subarray(last * size, (last + 1) * size);
    for (let i = 0; i < rows; i++)
      distance[i] = Math.min(distance[i]!, squaredDistance(features, i, point));
    last = nearest(rows, chosen, (i) => -distance[i]!);
    chosen.add(last);
  }
  return Uint32Array.from(chosen);
}

/** The row with the least cost that is not chosen yet. */
function nearest(rows: number, chosen: ReadonlySet<number>, cost: (i: number) => number): number {
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < rows; i++) {
    if (chosen.has(i)) continue;
    const here = cost(i);
    if (best < 0 || here < least) [best, least] = [i, here];
  }
  return best;
}
