/** @file What a file holds, gzip taken off, piece by piece or as a whole. */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { constants, createGunzip, gunzipSync } from "node:zlib";

import { fileError, FileError } from "../files.ts";
import { gunzip, isGzip } from "../formats/gzip.ts";
import type { TreeFile } from "./tree.ts";

/** No run of deflate packs better than 258 bytes in 2 bits. */
const MOST_DEFLATION = 1032;
const HEAD_BYTES = 4096;

/** The most bytes that a file can hold once it is unpacked. */
export function mostUnpacked(file: TreeFile): number {
  return isGzip(file.head(2)) ? file.size * MOST_DEFLATION : file.size;
}

/**
 * The first `length` bytes, gzip taken off; fewer when there are no more. Throws `FileError` when even
 * these are damaged.
 */
export function unpackedHead(file: TreeFile, length: number): Uint8Array {
  const head = file.head(HEAD_BYTES);
  if (!isGzip(head)) return head.subarray(0, length);
  try {
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 ** 23 };
    return gunzipSync(head, options).subarray(0, length);
  } catch (cause) {
    throw damagedGzip(file, cause);
  }
}

function damagedGzip(file: TreeFile, cause: unknown): FileError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
  return new FileError(`${file.name}: must be an undamaged gzip file, got ${code}`, { cause });
}

/** All of it, gzip taken off. Throws `FileError` when it is damaged or more than `mostBytes`. */
export function unpackedWhole(file: TreeFile, mostBytes: number): Uint8Array {
  if (isGzip(file.head(2))) return gunzip(file.bytes(), file.name, mostBytes);
  if (file.size > mostBytes)
    throw new FileError(`${file.name}: must have at most ${mostBytes} bytes, got ${file.size}`);
  return file.bytes();
}

/**
 * What comes after the first `skip` bytes, gzip taken off, in pieces of the length `piece`, the last
 * one shorter. Throws `FileError` when there are not exactly `length` bytes of it.
 */
export async function* unpackedPieces(
  file: TreeFile,
  { skip, length, piece }: { skip: number; length: number; piece: number },
): AsyncGenerator<Uint8Array> {
  const wrong = (got: string): FileError =>
    new FileError(`${file.name}: must hold ${skip + length} bytes, got ${got}`);
  const pending = Buffer.allocUnsafe(Math.min(piece, length));
  let filled = 0;
  let at = 0;
  for await (const chunk of chunksOf(file)) {
    let from = Math.min(chunk.length, Math.max(0, skip - at));
    at += chunk.length;
    if (at > skip + length) throw wrong("more");
    while (from < chunk.length) {
      const part = chunk.subarray(from, from + pending.length - filled);
      pending.set(part, filled);
      filled += part.length;
      from += part.length;
      if (filled === pending.length) {
        yield pending;
        filled = 0;
      }
    }
  }
  if (at < skip + length) throw wrong(`${at} (it is cut)`);
  if (filled > 0) yield pending.subarray(0, filled);
}

async function* chunksOf(file: TreeFile): AsyncGenerator<Uint8Array> {
  const raw =
    file.place === undefined
      ? Readable.from([file.bytes()])
      : createReadStream(file.place, { highWaterMark: 1 << 18 });
  const packed = isGzip(file.head(2));
  // pipe() hands no errors on.
  const out = packed ? raw.pipe(createGunzip({ chunkSize: 1 << 18 })) : raw;
  raw.on("error", (error: Error) => out.destroy(error));
  try {
    for await (const chunk of out) yield chunk as Uint8Array;
  } catch (cause) {
    const fromSystem = cause instanceof Error && "syscall" in cause;
    throw fromSystem ? fileError(file.name, "readable", cause) : damagedGzip(file, cause);
  } finally {
    raw.destroy();
    out.destroy();
  }
}
