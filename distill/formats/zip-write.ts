/** @file Zip archives, written a file at a time: stored, with zip64 records throughout. */
import { crc32 } from "node:zlib";

export interface ZipFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** 1980-01-01: the same content gives the same bytes. */
const DATE = 0x21;
/** Of the format, 4.5: the first with zip64. */
const VERSION = 45;
const UTF8 = 0x800;
/** An extra field that pads, as PyTorch calls it; readers skip ids that they don't know. */
const PADDING = 0x4246;
/** Where a number stands in the zip64 field instead. */
const WIDE = 0xffffffff;

/**
 * The bytes of an archive of `files`, piece by piece, each file asked for only when its turn comes.
 * Sizes are kept in 64 bits always, as PyTorch and numpy do, so an archive may grow to any size. The
 * content of every file starts at a multiple of `align` bytes.
 */
export function* zipPieces(files: Iterable<ZipFile>, align = 64): Generator<Uint8Array> {
  const directory: Buffer[] = [];
  let at = 0;
  for (const { path, bytes } of files) {
    const name = Buffer.from(path);
    const crc = crc32(bytes);
    const wide = Buffer.alloc(20);
    wide.writeUInt16LE(1, 0);
    wide.writeUInt16LE(16, 2);
    wide.writeBigUInt64LE(BigInt(bytes.length), 4);
    wide.writeBigUInt64LE(BigInt(bytes.length), 12);
    const unpadded = at + 30 + name.length + wide.length + 4;
    const padding = Buffer.alloc(4 + ((align - (unpadded % align)) % align));
    padding.writeUInt16LE(PADDING, 0);
    padding.writeUInt16LE(padding.length - 4, 2);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    writeFacts(local, 4, crc, name.length, wide.length + padding.length);
    const header = Buffer.concat([local, name, wide, padding]);
    directory.push(centralEntry(name, crc, bytes.length, at));
    yield header;
    yield bytes;
    at += header.length + bytes.length;
  }
  const central = Buffer.concat(directory);
  yield central;
  yield endRecords(directory.length, central.length, at);
}

/** The archive as one array. */
export function encodeZip(files: Iterable<ZipFile>, align?: number): Uint8Array<ArrayBuffer> {
  return Buffer.concat([...zipPieces(files, align)]);
}

/** What local header and directory have in common, from the version on. */
function writeFacts(to: Buffer, at: number, crc: number, name: number, extra: number): void {
  to.writeUInt16LE(VERSION, at);
  to.writeUInt16LE(UTF8, at + 2);
  to.writeUInt16LE(DATE, at + 8);
  to.writeUInt32LE(crc, at + 10);
  to.writeUInt32LE(WIDE, at + 14);
  to.writeUInt32LE(WIDE, at + 18);
  to.writeUInt16LE(name, at + 22);
  to.writeUInt16LE(extra, at + 24);
}

function centralEntry(name: Buffer, crc: number, size: number, at: number): Buffer {
  const wide = Buffer.alloc(28);
  wide.writeUInt16LE(1, 0);
  wide.writeUInt16LE(24, 2);
  for (const [i, value] of [size, size, at].entries()) {
    wide.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  }
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50, 0);
  entry.writeUInt16LE(VERSION, 4);
  writeFacts(entry, 6, crc, name.length, wide.length);
  entry.writeUInt32LE(WIDE, 42);
  return Buffer.concat([entry, name, wide]);
}

/** The zip64 record, its locator and the old end record, which points at them. */
function endRecords(count: number, size: number, at: number): Buffer {
  const record = Buffer.alloc(56 + 20 + 22);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE(VERSION, 12);
  record.writeUInt16LE(VERSION, 14);
  for (const [i, value] of [count, count, size, at].entries()) {
    record.writeBigUInt64LE(BigInt(value), 24 + 8 * i);
  }
  record.writeUInt32LE(0x07064b50, 56);
  record.writeBigUInt64LE(BigInt(at + size), 64);
  record.writeUInt32LE(1, 72);
  record.writeUInt32LE(0x06054b50, 76);
  record.writeUInt16LE(0xffff, 84);
  record.writeUInt16LE(0xffff, 86);
  record.writeUInt32LE(WIDE, 88);
  record.writeUInt32LE(WIDE, 92);
  return record;
}
