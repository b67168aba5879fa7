/** @file Sizes of memory as recipes write them. */

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** A number of bytes, or a number with its unit: KiB, MiB or GiB. */
const SIZE = /^(\d+(?:\.\d+)?)\s*(|KiB|MiB|GiB)$/i;

/** Bytes of a size like `2GiB`; undefined for what is none, or less than one byte. */
export function parseBytes(size: string | number): number | undefined {
  const [, number, unit] = SIZE.exec(String(size)) ?? [];
  const bytes = Math.floor(Number(number) * UNITS[(unit ?? "").toLowerCase()]!);
  return Number.isSafeInteger(bytes) && bytes >= 1 ? bytes : undefined;
}

/** A size in the largest unit in which it is 1 or more: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const [unit, scale] = (
    [
      ["GiB", 2 ** 30],
      ["MiB", 2 ** 20],
      ["KiB", 2 ** 10],
    ] as const
  ).find(([, least]) => bytes >= least) ?? ["B", 1];
  const value = bytes / scale;
  return `${scale === 1 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}
