/** @file Contact sheets: a set of images as one PNG to look at. */
import { encode } from "fast-png";

import type { ImageShape } from "./data/dataset.ts";
import { toPixels, type Preprocessing } from "./data/preprocess.ts";

export interface ContactSheet extends ImageShape {
  /** `[rows·columns, C, H, W]` in the network's input space, row after row of the sheet. */
  readonly images: Float32Array;
  readonly preprocessing: Preprocessing;
  /** One row a class. */
  readonly rows: number;
  readonly columns: number;
  /** Screen pixels a pixel; by default the least that makes both sides of a cell 48 or more. */
  readonly scale?: number;
}

const LEAST_CELL = 48;
/** Between cells and around the sheet. */
const GAP = 2;
const GAP_GREY = 128;

/**
 * The images as PNG bytes, grey for 1 channel and RGB for 3, enlarged by nearest neighbour. A value
 * becomes a raw pixel, cut off below 0 and above 1 without rescaling, so that equal values
 * look equal everywhere on the sheet, and rounded to 0..255; NaN is black. The same input gives the
 * same bytes. Throws RangeError when the images don't fit.
 */
export function contactSheet(sheet: ContactSheet): Uint8Array {
  const { channels, height, width, rows, columns } = sheet;
  const { scale = Math.ceil(LEAST_CELL / Math.min(height, width)) } = sheet;
  if (channels !== 1 && channels !== 3) {
    throw new RangeError(`contactSheet: images must have 1 or 3 channels, got ${channels}`);
  }
  if (!Number.isInteger(scale) || scale < 1) {
    throw new RangeError(`contactSheet: scale must be a whole number from 1, got ${scale}`);
  }
  const size = channels * height * width;
  if (rows * columns < 1 || sheet.images.length !== rows * columns * size) {
    throw new RangeError(
      `contactSheet: images must be [${rows * columns}, ${channels}, ${height}, ${width}] for ` +
        `${rows} rows of ${columns}, got ${sheet.images.length} values`,
    );
  }
  const raw = toPixels(sheet.images, sheet.preprocessing, sheet);
  const sheetHeight = GAP + rows * (height * scale + GAP);
  const sheetWidth = GAP + columns * (width * scale + GAP);
  // This array clamps and rounds what is stored into it.
  const data = new Uint8ClampedArray(sheetHeight * sheetWidth * channels).fill(GAP_GREY);
  for (let n = 0; n < rows * columns; n++) {
    const top = GAP + Math.floor(n / columns) * (height * scale + GAP);
    const left = GAP + (n % columns) * (width * scale + GAP);
    for (let y = 0; y < height * scale; y++) {
      for (let x = 0; x < width * scale; x++) {
        const pixel = Math.floor(y / scale) * width + Math.floor(x / scale);
        const at = ((top + y) * sheetWidth + left + x) * channels;
        for (let c = 0; c < channels; c++) {
          data[at + c] = 255 * raw[n * size + c * height * width + pixel]!;
        }
      }
    }
  }
  return encode({ width: sheetWidth, height: sheetHeight, channels, depth: 8, data });
}
