/** @file Numbers and names as the page shows them. */

/** Four digits, without the zeros that pad them. */
export const showNumber = (value: number): string =>
  Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4)
    ? value.toExponential(2)
    : String(Number(value.toPrecision(4)));

export const showCount = (value: number): string => value.toLocaleString("en");

export const showPercent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Bytes in the largest unit in which they are 1 or more. */
export function showBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]!}`;
}

/** Seconds as `42 s`, `3 min 05 s` or `2 h 07 min`. */
export function showTime(seconds: number): string {
  const padded = (value: number): string => String(value).padStart(2, "0");
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${padded(minutes % 60)} min`;
}

/** `11.2/s`, or `4.2 s each` when slower than one a second. */
export const showRate = (perSecond: number): string =>
  perSecond < 1 ? `${showTime(1 / perSecond)} each` : `${showNumber(perSecond)}/s`;

export const showSet = (ipc: number): string => `${ipc} ${ipc === 1 ? "image" : "images"} a class`;
