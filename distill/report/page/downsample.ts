/** @file Long series for narrow charts: a mean, a least and a greatest value for each few iterations. */

/** Intervals of equally many iterations, the same for every curve of a chart. */
export interface Grid {
  /** The first iteration. */
  readonly first: number;
  /** Iterations in an interval. */
  readonly step: number;
  /** The middle of each interval. */
  readonly x: readonly number[];
}

/** Values at the intervals of a grid; null where there is none. */
export interface Band {
  readonly mean: readonly (number | null)[];
  readonly low: readonly (number | null)[];
  readonly high: readonly (number | null)[];
}

type Values = readonly (number | null)[];

/** The iterations `first` to `last` in at most `most` intervals. */
export function gridOf(first: number, last: number, most: number): Grid {
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  const count = Math.max(0, Math.ceil((last - first + 1) / step));
  const middle = (from: number): number => (from + Math.min(last, from + step - 1)) / 2;
  return { first, step, x: Array.from({ length: count }, (_, k) => middle(first + k * step)) };
}

/** Calls `visit` with the interval and the place of each iteration that is on the grid. */
export function onGrid(
  { first, step, x }: Grid,
  iterations: readonly number[],
  visit: (interval: number, place: number) => void,
): void {
  for (let place = placeOf(iterations, first); place < iterations.length; place++) {
    const interval = Math.floor((iterations[place]! - first) / step);
    if (interval >= x.length) break;
    visit(interval, place);
  }
}

/** Mean, least and greatest of the values in each interval. */
export function bandOf(grid: Grid, iterations: readonly number[], values: Values): Band {
  const none = grid.x.map((): number | null => null);
  const [sum, low, high] = [none, [...none], [...none]];
  const counts = grid.x.map(() => 0);
  onGrid(grid, iterations, (k, place) => {
    const value = values[place] ?? null;
    if (value === null) return;
    counts[k]!++;
    sum[k] = (sum[k] ?? 0) + value;
    low[k] = Math.min(low[k] ?? value, value);
    high[k] = Math.max(high[k] ?? value, value);
  });
  return { mean: sum.map((total, k) => total && total / counts[k]!), low, high };
}

/** Iterations a second in each interval, from the seconds that each took. */
export function rateOf(grid: Grid, iterations: readonly number[], seconds: Values): Band["mean"] {
  const { mean } = bandOf(grid, iterations, seconds);
  return mean.map((value) => (value === null || value === 0 ? null : 1 / value));
}

/** How many of the iterations in each interval have a mark. */
export function countOf(grid: Grid, iterations: readonly number[], marks: Values): number[] {
  const counts = grid.x.map(() => 0);
  onGrid(grid, iterations, (k, place) => {
    if (marks[place] === 1) counts[k]!++;
  });
  return counts;
}

/** The first place in ascending `iterations` of one that is not below `iteration`. */
export function placeOf(iterations: readonly number[], iteration: number): number {
  let [low, high] = [0, iterations.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (iterations[middle]! < iteration) low = middle + 1;
    else high = middle;
  }
  return low;
}
