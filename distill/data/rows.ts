/** @file Records of equal length, one an image, read by index. */

export interface Rows {
  readonly count: number;
  /** Of a row, in bytes. */
  readonly size: number;
  /**
   * Calls `use` for each of `indices` in their order: row number n of them is `bytes` from `at` on,
   * and may be another when the next one is shown. Throws `FileError` when a file can't be read.
   */
  each(indices: ArrayLike<number>, use: UseRow): void;
}

export type UseRow = (bytes: Uint8Array, at: number, n: number) => void;

/** Where rows lie among other bytes: row i starts at `start + i·stride`. */
export interface RowPlace {
  readonly start?: number;
  readonly stride?: number;
  readonly count?: number;
}

/** Rows of `size` bytes in memory; by default they lie side by side and fill `bytes`. */
export function memoryRows(bytes: Uint8Array, size: number, place: RowPlace = {}): Rows {
  const { start = 0, stride = size } = place;
  const { count = size === 0 ? 0 : Math.floor((bytes.length - start) / stride) } = place;
  return {
    count,
    size,
    each(indices, use) {
      for (let n = 0; n < indices.length; n++) use(bytes, start + indices[n]! * stride, n);
    },
  };
}

/** Those of `rows` that have the numbers `indices`, in their order. */
export function someRows(rows: Rows, indices: Uint32Array): Rows {
  return {
    count: indices.length,
    size: rows.size,
    each: (wanted, use) =>
      rows.each(
        Uint32Array.from(wanted, (i) => indices[i]!),
        use,
      ),
  };
}

/** Rows of several places, one after the other. */
export function joinedRows(parts: readonly Rows[]): Rows {
  const ends: number[] = [];
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.count);
  return {
    count: ends.at(-1) ?? 0,
    size: parts[0]?.size ?? 0,
    each(indices, use) {
      for (let n = 0; n < indices.length;) {
        const part = ends.findIndex((end) => indices[n]! < end);
        const from = part === 0 ? 0 : ends[part - 1]!;
        const own: number[] = [];
        for (let i = n; i < indices.length; i++) {
          const index = indices[i]! - from;
          if (index < 0 || index >= parts[part]!.count) break;
          own.push(index);
        }
        const before = n;
        parts[part]!.each(own, (bytes, at, i) => use(bytes, at, before + i));
        n += own.length;
      }
    },
  };
}
