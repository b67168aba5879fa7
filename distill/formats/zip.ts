/** @file Zip archives, read by their central directory (PKWARE APPNOTE 6.3), zip64 included. */
import { constants } from "node:buffer";
import { crc32, inflateRawSync } from "node:zlib";

import { pathInside } from "./archive-path.ts";
import { refusing, type ByteSource, type Refuse } from "./source.ts";

/** A file of an archive. */
export interface ZipEntry {
  /** Relative, with `/`; never leads out of the archive. */
  readonly path: string;
  /** Unpacked, in bytes. */
  readonly size: number;
}

export interface ZipOptions {
  /** What one deflated file may unpack to, in bytes. */
  readonly mostBytes?: number;
}

interface Entry extends ZipEntry {
  readonly packed: number;
  readonly deflated: boolean;
  readonly crc: number;
  /** Of the local header. */
  readonly at: number;
  /** As the archive spells the path, to be compared with the local header. */
  readonly rawName: Buffer;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
const MOST_COMMENT = 0xffff;
/** No run of deflate packs better than 258 bytes in 2 bits. */
const MOST_DEFLATION = 1032;
const ENCRYPTED = 1;
const UTF8 = 0x800;

/** Whether the bytes start as a zip archive does that is not empty. */
export function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/** The files of a zip archive, by path; each is unpacked when it is asked for. */
export class ZipArchive {
  readonly name: string;
  private readonly source: ByteSource;
  private readonly files = new Map<string, Entry>();
  private readonly mostBytes: number;
  private readonly refuse: Refuse;
  /** Where the central directory starts, and files must have ended. */
  private readonly filesEnd: number;

  /** Reads the directory. Throws `FileError` when it is damaged, encrypted or split, or a path leads out. */
  constructor(source: ByteSource, { mostBytes = 2 ** 31 }: ZipOptions = {}) {
    this.name = source.name;
    this.source = source;
    this.mostBytes = Math.min(mostBytes, constants.MAX_LENGTH);
    this.refuse = refusing(source.name);
    const { at, size, count } = findDirectory(source, this.refuse);
    this.filesEnd = at;
    this.readDirectory(Buffer.from(source.read(at, size)), count);
    this.checkNoOverlap();
  }

  /** Files in the order of the directory; folders are left out. */
  get entries(): readonly ZipEntry[] {
    return [...this.files.values()];
  }

  has(path: string): boolean {
    return this.files.has(path);
  }

  /** The content of a file. Throws `FileError` when there is none of that path, or it is damaged. */
  read(path: string): Uint8Array {
    const entry = this.files.get(path);
    if (entry === undefined) return this.refuse(`must contain ${JSON.stringify(path)}`, "none");
    const bytes = this.unpack(entry, this.source.read(this.dataStart(entry), entry.packed));
    const got = crc32(bytes);
    if (got !== entry.crc) {
      this.refuse(`${quoted(path)} must have checksum ${entry.crc}`, `${got} (it is damaged)`);
    }
    return bytes;
  }

  private unpack({ path, size, deflated }: Entry, packed: Uint8Array): Uint8Array {
    if (!deflated) return packed;
    let bytes: Uint8Array | undefined;
    try {
      // One byte more than promised tells a file that unpacks to more; a limit of 0 is not allowed.
      bytes = inflateRawSync(packed, { maxOutputLength: size + 1 });
    } catch {
      // Told below.
    }
    if (bytes?.length === size) return bytes;
    return this.refuse(
      `${quoted(path)} must unpack to ${size} bytes`,
      bytes ? bytes.length : "damage",
    );
  }

  private readDirectory(bytes: Buffer, count: number): void {
    let at = 0;
    for (let i = 0; i < count; i++) {
      if (at + CENTRAL_BYTES > bytes.length || bytes.readUInt32LE(at) !== CENTRAL) {
        this.refuse(`the zip directory must have ${count} entries`, i);
      }
      const nameBytes = bytes.readUInt16LE(at + 28);
      const extraBytes = bytes.readUInt16LE(at + 30);
      const commentBytes = bytes.readUInt16LE(at + 32);
      const nameStart = at + CENTRAL_BYTES;
      const extraStart = nameStart + nameBytes;
      const next = extraStart + extraBytes + commentBytes;
      if (next > bytes.length) this.refuse("the zip directory must hold its entries", "a cut one");
      this.addEntry(
        bytes.subarray(at, nameStart),
        bytes.subarray(nameStart, extraStart),
        bytes.subarray(extraStart, extraStart + extraBytes),
      );
      at = next;
    }
  }

  private addEntry(fixed: Buffer, rawName: Buffer, extra: Buffer): void {
    const flags = fixed.readUInt16LE(8);
    const name = rawName.toString((flags & UTF8) !== 0 ? "utf8" : "latin1");
    const path = pathInside(name);
    if (path === undefined) {
      return this.refuse("paths must stay inside the archive", quoted(name));
    }
    if (name.endsWith("/")) return;
    const method = fixed.readUInt16LE(10);
    if ((flags & ENCRYPTED) !== 0) this.refuse(`${quoted(path)} must not be encrypted`, "that");
    if (method !== 0 && method !== 8) {
      this.refuse(`${quoted(path)} must be stored or deflated`, `method ${method}`);
    }
    const { size, packed, at } = this.sizes(path, fixed, extra);
    const deflated = method === 8;
    if (at + LOCAL_BYTES + packed > this.filesEnd) {
      this.refuse(`${quoted(path)} must end before the zip directory`, `${packed} bytes at ${at}`);
    }
    if (deflated ? size > packed * MOST_DEFLATION : size !== packed) {
      this.refuse(`${quoted(path)} of ${packed} packed bytes can't unpack to as many`, size);
    }
    if (deflated && size > this.mostBytes) {
      this.refuse(`${quoted(path)} must unpack to at most ${this.mostBytes} bytes`, size);
    }
    if (this.files.has(path)) this.refuse("every path must occur once", `${quoted(path)} again`);
    this.files.set(path, {
      path,
      size,
      packed,
      deflated,
      crc: fixed.readUInt32LE(16),
      at,
      rawName: Buffer.from(rawName),
    });
  }

  /** Sizes and place of an entry; those that don't fit 32 bits stand in its zip64 field. */
  private sizes(
    path: string,
    fixed: Buffer,
    extra: Buffer,
  ): { size: number; packed: number; at: number } {
    const wide = zip64Field(extra);
    let used = 0;
    const next = (narrow: number): number => {
      if (narrow !== 0xffffffff) return narrow;
      if (wide === undefined || used + 8 > wide.length) {
        return this.refuse(`${quoted(path)} must have its sizes in a zip64 field`, "none");
      }
      used += 8;
      return this.whole(wide.readBigUInt64LE(used - 8));
    };
    // In this order, and only those that are needed.
    const size = next(fixed.readUInt32LE(24));
    const packed = next(fixed.readUInt32LE(20));
    const at = next(fixed.readUInt32LE(42));
    return { size, packed, at };
  }

  /** Files that share bytes are how a small archive unpacks to a huge one. */
  private checkNoOverlap(): void {
    const inOrder = [...this.files.values()].sort((a, b) => a.at - b.at);
    for (const [i, { path, at, packed }] of inOrder.entries()) {
      const next = inOrder[i + 1];
      if (next !== undefined && at + LOCAL_BYTES + packed > next.at) {
        this.refuse(`${quoted(path)} must end before ${quoted(next.path)}`, "an overlap");
      }
    }
  }

  /** Where the bytes of a file start, behind its local header. */
  private dataStart({ path, at, packed, rawName }: Entry): number {
    const header = Buffer.from(this.source.read(at, LOCAL_BYTES));
    if (header.readUInt32LE(0) !== LOCAL) {
      this.refuse(`${quoted(path)} must have a local header at byte ${at}`, "none");
    }
    const nameBytes = header.readUInt16LE(26);
    const start = at + LOCAL_BYTES + nameBytes + header.readUInt16LE(28);
    if (start + packed > this.filesEnd) {
      this.refuse(`${quoted(path)} must end before the zip directory`, "a longer one");
    }
    if (!rawName.equals(this.source.read(at + LOCAL_BYTES, nameBytes))) {
      this.refuse(`${quoted(path)} must have the same path in its local header`, "another");
    }
    return start;
  }

  private whole(value: bigint): number {
    return wholeNumber(value, this.refuse);
  }
}

/** The central directory's place, from the record at the very end of the file. */
function findDirectory(
  source: ByteSource,
  refuse: Refuse,
): { at: number; size: number; count: number } {
  const tailBytes = Math.min(source.size, END_BYTES + MOST_COMMENT);
  const tail = Buffer.from(source.read(source.size - tailBytes, tailBytes));
  let end = tailBytes - END_BYTES;
  while (
    end >= 0 &&
    !(tail.readUInt32LE(end) === END && tail.readUInt16LE(end + 20) === tailBytes - END_BYTES - end)
  ) {
    end--;
  }
  if (end < 0) return refuse("must end as a zip archive does (the file is cut or damaged)", "else");
  const endAt = source.size - tailBytes + end;
  const wide = findDirectory64(source, endAt, refuse);
  if (!wide && (tail.readUInt16LE(end + 4) !== 0 || tail.readUInt16LE(end + 6) !== 0)) {
    refuse("must be a whole zip archive", "a part of a split one");
  }
  const directory = wide ?? {
    count: tail.readUInt16LE(end + 10),
    size: tail.readUInt32LE(end + 12),
    at: tail.readUInt32LE(end + 16),
  };
  const { at, size, count } = directory;
  if (at + size > endAt || count * CENTRAL_BYTES > size) {
    refuse(
      "the zip directory must lie before the end record",
      `${count} entries in ${size} bytes at ${at}`,
    );
  }
  return directory;
}

function findDirectory64(
  source: ByteSource,
  endAt: number,
  refuse: Refuse,
): { at: number; size: number; count: number } | undefined {
  if (endAt < 20) return undefined;
  const locator = Buffer.from(source.read(endAt - 20, 20));
  if (locator.readUInt32LE(0) !== LOCATOR64) return undefined;
  const at = wholeNumber(locator.readBigUInt64LE(8), refuse);
  if (at + 56 > endAt) refuse("the zip64 record must lie before its locator", `byte ${at}`);
  const record = Buffer.from(source.read(at, 56));
  if (record.readUInt32LE(0) !== END64) refuse(`a zip64 record must be at byte ${at}`, "none");
  const [count, size, start] = [32, 40, 48].map((i) =>
    wholeNumber(record.readBigUInt64LE(i), refuse),
  );
  return { at: start!, size: size!, count: count! };
}

/** The field of header id 1 among an entry's extra fields. */
function zip64Field(extra: Buffer): Buffer | undefined {
  for (let at = 0; at + 4 <= extra.length;) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1) return extra.subarray(at + 4, end);
    at = end;
  }
  return undefined;
}

function wholeNumber(value: bigint, refuse: Refuse): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return value <= most ? Number(value) : refuse(`zip64 numbers must be at most ${most}`, value);
}

const quoted = (path: string): string => JSON.stringify(path.slice(0, 100));
