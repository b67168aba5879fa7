/**
 * @file PNG and JPEG pictures as bytes. The decoder is sharp (libvips): prebuilt for Debian, macOS and
 * Windows, fuzzed, with limits on what it decodes; both kinds go one way.
 */
import type { Sharp } from "sharp";

import { DataError } from "./dataset.ts";
import { resizedMiddle, type Pixels } from "./resample.ts";

/** Pixels of a picture that is not to be decoded: an absurd header must not fill the memory. */
const MOST_PIXELS = 2 ** 26;
const MAGIC = [Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), Buffer.from([0xff, 0xd8, 0xff])];

export interface PictureHeader {
  readonly grey: boolean;
  readonly height: number;
  readonly width: number;
}

/** How a picture is to come out. */
export interface PictureForm {
  readonly channels: 1 | 3;
  /** Pixels along a side: the shorter side is brought to it, and the middle taken. As it is by default. */
  readonly size?: number | undefined;
}

/** Orientation tags, colour profiles and transparency are dropped, as common loaders do. */
async function open(bytes: Uint8Array, name: string): Promise<Sharp> {
  if (!MAGIC.some((magic) => magic.equals(bytes.subarray(0, magic.length))))
    throw new DataError(`${name}: must be a PNG or JPEG picture, got ${bytes.length} other bytes`);
  // Loaded when there are pictures: it takes memory and time that other sets don't need.
  const { default: sharp } = await import("sharp");
  return sharp(bytes, {
    failOn: "error",
    limitInputPixels: MOST_PIXELS,
    sequentialRead: true,
    ignoreIcc: true,
  });
}

/** What a picture's header says. Throws `DataError`, naming `name`, when it is damaged. */
export async function pictureHeader(bytes: Uint8Array, name: string): Promise<PictureHeader> {
  try {
    const { space, height, width } = await (await open(bytes, name)).metadata();
    return { grey: space === "b-w" || space === "grey16", height, width };
  } catch (cause) {
    throw damaged(name, cause);
  }
}

/**
 * The pixels of a picture, `[H, W, C]` bytes.
 * @throws DataError, naming `name`, when it is damaged, cut or too large.
 */
export async function decodePicture(
  bytes: Uint8Array,
  name: string,
  { channels, size }: PictureForm,
): Promise<Pixels> {
  try {
    const picture = await open(bytes, name);
    const { data, info } = await picture
      .removeAlpha()
      .toColourspace(channels === 1 ? "b-w" : "srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const { height, width, channels: got } = info;
    if (got !== channels) throw new Error(`${got} channels where ${channels} were wanted`);
    const pixels = { data, height, width, channels };
    return size === undefined ? pixels : resizedMiddle(pixels, size);
  } catch (cause) {
    throw damaged(name, cause);
  }
}

function damaged(name: string, cause: unknown): DataError {
  if (cause instanceof DataError) return cause;
  const [reason = ""] = String(cause instanceof Error ? cause.message : cause).split("\n");
  return new DataError(
    `${name}: must be an undamaged picture of at most ${MOST_PIXELS} pixels, got an error (${reason})`,
    { cause },
  );
}
