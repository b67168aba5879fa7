/** @file What a mistyped word was meant to be. */

/**
 * Of `candidates`, the one whose last dotted part is spelt most like `word` (case, `_` and `-` don't
 * count), or undefined when none comes near. `handicap` makes a candidate that many letters worse.
 */
export function closest(
  word: string,
  candidates: readonly string[],
  handicap: (candidate: string) => number = () => 0,
): string | undefined {
  const plain = plainForm(word);
  let best: string | undefined;
  let least = Math.max(1, Math.floor(plain.length / 3)) + 1;
  for (const candidate of candidates) {
    const last = candidate.slice(candidate.lastIndexOf(".") + 1);
    const distance = editDistance(plain, plainForm(last)) + handicap(candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  // rows[i][j] is the distance of the first i letters of a and the first j of b.
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, rows[i - 1]![j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      }
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** A megabyte of nonsense must not cost a table of its square. */
const MOST_LETTERS = 64;

function plainForm(word: string): string {
  return word.toLowerCase().replaceAll(/[_-]/g, "").slice(0, MOST_LETTERS);
}
