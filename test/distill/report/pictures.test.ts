/** @file Contact sheets show the right pixel in the right place. */
import { decode } from "fast-png";
import { describe, expect, it } from "vitest";

import { loadDigits } from "../../../distill/data/digits.ts";
import { normalise } from "../../../distill/data/preprocess.ts";
import { contactSheet } from "../../../distill/report/pictures.ts";

/** Raw values 0..1 become normalised ones by (v - 0.5) / 0.25. */
const normalised = (...raw: number[]) => Float32Array.from(raw, (v) => (v - 0.5) / 0.25);
const grey = {
  channels: 1,
  height: 1,
  width: 2,
  preprocessing: { kind: "normalise", mean: [0.5], std: [0.25] },
} as const;

describe("contactSheet", () => {
  it("puts row after row, enlarged, with gaps, clamped to the displayable range", () => {
    const images = normalised(0, 1, 0.2, 0.4, -3, 9, NaN, 0.6);
    const png = decode(contactSheet({ ...grey, images, rows: 2, columns: 2, scale: 2 }));
    expect([png.width, png.height, png.channels, png.depth]).toEqual([14, 10, 1, 8]);
    const row = (y: number) => [...png.data.slice(y * 14, (y + 1) * 14)];
    const gap = Array<number>(14).fill(128);
    const first = [128, 128, 0, 0, 255, 255, 128, 128, 51, 51, 102, 102, 128, 128];
    const second = [128, 128, 0, 0, 255, 255, 128, 128, 0, 0, 153, 153, 128, 128];
    expect(Array.from({ length: 10 }, (_, y) => row(y))).toEqual([
      gap,
      gap,
      first,
      first,
      gap,
      gap,
      second,
      second,
      gap,
      gap,
    ]);
  });

  it("interleaves the three planes of a colour image", () => {
    const png = decode(
      contactSheet({
        channels: 3,
        height: 1,
        width: 1,
        preprocessing: { kind: "normalise", mean: [0, 0, 0.5], std: [1, 0.5, 0.25] },
        images: Float32Array.of(0.2, 0.8, 0),
        rows: 1,
        columns: 1,
        scale: 1,
      }),
    );
    expect([png.width, png.height, png.channels]).toEqual([5, 5, 3]);
    expect([...png.data.slice((2 * 5 + 2) * 3, (2 * 5 + 2) * 3 + 3)]).toEqual([51, 102, 128]);
  });

  it.each([
    [8, 8, 6],
    [32, 32, 2],
    [28, 14, 4],
    [64, 64, 1],
  ])("enlarges %d×%d by %d so that a cell is 48 pixels or more", (height, width, scale) => {
    const images = new Float32Array(height * width);
    const png = decode(contactSheet({ ...grey, height, width, images, rows: 1, columns: 1 }));
    expect([png.height, png.width]).toEqual([height * scale + 4, width * scale + 4]);
  });

  it("gives the same bytes for the same digits", () => {
    const digits = normalise(loadDigits());
    const images = digits.train.images([0, 1, 2, 3]);
    const sheet = () => contactSheet({ ...digits, images, rows: 2, columns: 2 });
    expect(Buffer.compare(sheet(), sheet())).toBe(0);
  });

  it("refuses images that do not fit", () => {
    const sheet = { ...grey, images: new Float32Array(8), rows: 2, columns: 2 };
    expect(() => contactSheet({ ...sheet, rows: 3 })).toThrow(
      "contactSheet: images must be [6, 1, 1, 2] for 3 rows of 2, got 8 values",
    );
    expect(() => contactSheet({ ...sheet, channels: 2 })).toThrow("must have 1 or 3 channels");
    expect(() => contactSheet({ ...sheet, scale: 0.5 })).toThrow("got 0.5");
    expect(() => contactSheet({ ...sheet, rows: 0, images: new Float32Array(0) })).toThrow(
      RangeError,
    );
  });
});
