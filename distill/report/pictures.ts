/** @file Pictures of sets of images: contact sheets, and real images next to synthetic ones, as PNG. */
import { encode } from "fast-png";

import type { ImageShape } from "../data/dataset.ts";
import { toPixels, type Preprocessing } from "../data/preprocess.ts";

/** A picture of 8 bits a channel, grey for 1 channel and RGB for 3. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** `[height, width, channels]`. */
  readonly data: Uint8ClampedArray;
}

/** Images in rows and columns. */
export interface Sheet extends ImageShape {
  /** `[rows·columns, C, H, W]`, row after row of the sheet, 0..255. */
  readonly pixels: Uint8Array | Uint8ClampedArray;
  readonly rows: number;
  readonly columns: number;
  /** Screen pixels a pixel; by default the least that makes both sides of a cell 48 or more. */
  readonly scale?: number;
  /** Columns before a wider gap, if there is one. */
  readonly split?: number;
  /** Screen pixels between cells and around the sheet. */
  readonly gap?: number;
}

/** What {@link contactSheet} shows. */
export interface ContactSheet extends Omit<Sheet, "pixels"> {
  /** `[rows·columns, C, H, W]` in the network's input space, row after row of the sheet. */
  readonly images: Float32Array;
  readonly preprocessing: Preprocessing;
}

const LEAST_CELL = 48;
const GAP = 2;
const GAP_GREY = 128;
/** A wider gap has the width of so many. */
const WIDE = 6;

/**
 * Images `[N, C, H, W]` of a network's input space as pixels in 0..255, in a new array. A value
 * becomes a raw pixel, cut off below 0 and above 1 without rescaling, so that equal values look equal
 * everywhere, and rounded; NaN is black. Throws RangeError when the images are not whole.
 */
export function toBytes(
  images: Float32Array,
  preprocessing: Preprocessing,
  shape: ImageShape,
): Uint8ClampedArray<ArrayBuffer> {
  const raw = toPixels(images, preprocessing, shape);
  // This array clamps and rounds what is stored into it.
  return Uint8ClampedArray.from(raw, (value) => 255 * value);
}

/** Screen pixels a pixel, or throws RangeError when so many `values` are not the sheet's images. */
function checkedScale(sheet: Omit<Sheet, "pixels">, values: number): number {
  const { channels, height, width, rows, columns } = sheet;
  const { scale = Math.ceil(LEAST_CELL / Math.min(height, width)) } = sheet;
  if (channels !== 1 && channels !== 3) {
    throw new RangeError(`contactSheet: images must have 1 or 3 channels, got ${channels}`);
  }
  if (!Number.isInteger(scale) || scale < 1) {
    throw new RangeError(`contactSheet: scale must be a whole number from 1, got ${scale}`);
  }
  if (rows * columns < 1 || values !== rows * columns * channels * height * width) {
    throw new RangeError(
      `contactSheet: images must be [${rows * columns}, ${channels}, ${height}, ${width}] for ` +
        `${rows} rows of ${columns}, got ${values} values`,
    );
  }
  return scale;
}

/** The sheet as a picture, enlarged by nearest neighbour. Throws RangeError when the pixels don't fit. */
export function drawSheet(sheet: Sheet): Picture {
  const { pixels, height, width, rows, columns, split = columns, gap = GAP } = sheet;
  const scale = checkedScale(sheet, pixels.length);
  const channels = sheet.channels as Picture["channels"];
  const size = channels * height * width;
  const [cellHeight, cellWidth] = [height * scale, width * scale];
  const sheetHeight = gap + rows * (cellHeight + gap);
  const wide = split < columns ? (WIDE - 1) * gap : 0;
  const sheetWidth = gap + columns * (cellWidth + gap) + wide;
  const data = new Uint8ClampedArray(sheetHeight * sheetWidth * channels).fill(GAP_GREY);
  for (let n = 0; n < rows * columns; n++) {
    const column = n % columns;
    const top = gap + Math.floor(n / columns) * (cellHeight + gap);
    const left = gap + column * (cellWidth + gap) + (column < split ? 0 : wide);
    for (let y = 0; y < cellHeight; y++) {
      for (let x = 0; x < cellWidth; x++) {
        const pixel = Math.floor(y / scale) * width + Math.floor(x / scale);
        const at = ((top + y) * sheetWidth + left + x) * channels;
        for (let c = 0; c < channels; c++) {
          data[at + c] = pixels[n * size + c * height * width + pixel]!;
        }
      }
    }
  }
  return { width: sheetWidth, height: sheetHeight, channels, data };
}

/** A picture as PNG bytes. The same input gives the same bytes. */
export const encodePng = (picture: Picture): Uint8Array => encode({ ...picture, depth: 8 });

/**
 * The images as PNG bytes, enlarged by nearest neighbour, their values as `toBytes` shows them.
 * The same input gives the same bytes. Throws RangeError when the images don't fit.
 */
export function contactSheet({ images, preprocessing, ...sheet }: ContactSheet): Uint8Array {
  checkedScale(sheet, images.length);
  return encodePng(drawSheet({ ...sheet, pixels: toBytes(images, preprocessing, sheet) }));
}

/** The first `some` of every `columns` images `[rows·columns, …]` of `size` values each. */
export function firstColumns<T extends Uint8Array | Uint8ClampedArray | Float32Array>(
  images: T,
  size: number,
  columns: number,
  some: number,
): T {
  const rows = images.length / (columns * size);
  const out = images.slice(0, rows * some * size) as T;
  for (let r = 1; r < rows; r++)
    out.set(images.subarray(r * columns * size, (r * columns + some) * size), r * some * size);
  return out;
}

/** What {@link comparisonSheet} shows: two sets of pixels `[rows·columns, C, H, W]`. */
export interface Comparison extends Omit<Sheet, "pixels" | "split"> {
  readonly real: Uint8Array | Uint8ClampedArray;
  readonly synthetic: Uint8Array | Uint8ClampedArray;
}

/** Real images on the left of synthetic ones, row by row, as PNG bytes; `columns` of each. */
export function comparisonSheet({ real, synthetic, ...sheet }: Comparison): Uint8Array {
  const { rows, columns } = sheet;
  const row = columns * sheet.channels * sheet.height * sheet.width;
  const pixels = new Uint8Array(2 * rows * row);
  for (let r = 0; r < rows; r++) {
    pixels.set(real.subarray(r * row, (r + 1) * row), 2 * r * row);
    pixels.set(synthetic.subarray(r * row, (r + 1) * row), (2 * r + 1) * row);
  }
  return encodePng(drawSheet({ ...sheet, pixels, columns: 2 * columns, split: columns }));
}
