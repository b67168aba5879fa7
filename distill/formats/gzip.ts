/** @file Gzip, unpacked only as far as the caller has room. */
import { gunzipSync } from "node:zlib";

import { FileError } from "../files.ts";

/** Whether the bytes start as gzip does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The content of gzip `bytes`, all members of it. Throws `FileError`, naming `source`, when they are
 * damaged or unpack to more than `mostBytes`; memory never goes far beyond that.
 */
export function gunzip(
  bytes: Uint8Array,
  source: string,
  mostBytes: number,
): Uint8Array<ArrayBuffer> {
  try {
    return gunzipSync(bytes, { maxOutputLength: mostBytes });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    if (code === "ERR_BUFFER_TOO_LARGE") {
      throw new FileError(`${source}: must unpack to at most ${mostBytes} bytes, got more`);
    }
    throw new FileError(`${source}: must be an undamaged gzip file, got ${code}`, { cause });
  }
}
