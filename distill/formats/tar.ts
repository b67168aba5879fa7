/** @file Tar archives: ustar, with the long names of pax and GNU; only regular files come out. */
import { pathInside } from "./archive-path.ts";
import { refusing, type ByteSource, type Refuse } from "./source.ts";

/** A regular file of an archive. */
export interface TarFile {
  /** Relative, with `/`; never leads out of the archive. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  read(): Uint8Array;
}

const BLOCK = 512;
/** Of a pax header or a GNU long name. */
const MOST_NAME_BYTES = 1 << 20;

/**
 * The regular files of a tar archive, in order. Folders, links and devices are left out. Throws
 * `FileError` when the archive is damaged or cut, has sparse files, or a path leads out of it.
 */
export function* tarFiles(source: ByteSource): Generator<TarFile> {
  const refuse = refusing(source.name);
  let everywhere: PaxRecords = {};
  let next: PaxRecords = {};
  for (let at = 0; ;) {
    const header = Buffer.from(source.read(at, BLOCK));
    if (header.every((byte) => byte === 0)) return;
    checkSum(header, at, refuse);
    const type = header.toString("latin1", 156, 157);
    const records = { ...everywhere, ...next };
    const size = records.size ?? sizeIn(header, refuse);
    const dataAt = at + BLOCK;
    const content = () => source.read(dataAt, size);
    if (dataAt + size > source.size) {
      refuse(`the tar archive must have ${size} bytes at byte ${dataAt}`, "a cut file");
    }
    const longName = () =>
      size <= MOST_NAME_BYTES
        ? Buffer.from(content())
        : refuse(`tar headers must have at most ${MOST_NAME_BYTES} bytes`, size);
    if (type === "x" || type === "g") {
      const records = paxRecords(longName(), refuse);
      if (type === "x") next = { ...next, ...records };
      else everywhere = { ...everywhere, ...records };
    } else if (type === "L") {
      next = { ...next, path: textIn(longName()) };
    } else if (type === "S" || type === "M") {
      refuse("tar files must be plain ones", "a sparse or split file");
    } else if (type === "0" || type === "\0" || type === "7") {
      const name = records.path ?? nameIn(header);
      next = {};
      // Old archives mark a folder only by its name.
      if (!name.endsWith("/")) {
        const path = pathInside(name);
        if (path === undefined) {
          return refuse("paths must stay inside the archive", JSON.stringify(name.slice(0, 100)));
        }
        yield { path, size, read: content };
      }
    } else if (type !== "K") {
      next = {};
    }
    at = dataAt + Math.ceil(size / BLOCK) * BLOCK;
  }
}

/** Of a pax header, what matters here. */
interface PaxRecords {
  readonly path?: string;
  readonly size?: number;
}

/** Records `length key=value\n`, the length counting all of itself. */
function paxRecords(bytes: Buffer, refuse: Refuse): PaxRecords {
  const records: { path?: string; size?: number } = {};
  for (let at = 0; at < bytes.length;) {
    const digits = /^\d{1,7} /.exec(bytes.toString("latin1", at, at + 8))?.[0] ?? "";
    const end = at + Number(digits);
    if (digits === "" || end <= at + digits.length || end > bytes.length || bytes[end - 1] !== 10) {
      return refuse("pax headers must be records of a length, a key and a value", "damage");
    }
    const record = bytes.toString("utf8", at + digits.length, end - 1);
    const equals = record.indexOf("=");
    const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
    if (key.startsWith("GNU.sparse.")) refuse("tar files must be plain ones", "a sparse file");
    if (key === "path") records.path = value;
    if (key === "size") {
      const size = /^\d{1,15}$/.test(value) ? Number(value) : undefined;
      records.size = size ?? refuse("a pax size must be a whole number", JSON.stringify(value));
    }
    at = end;
  }
  return records;
}

/** The header's sum of bytes, its own field taken as spaces; some old programs summed signed bytes. */
function checkSum(header: Buffer, at: number, refuse: Refuse): void {
  const wanted = octal(header, 148, 8);
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    unsigned += header[i]!;
    signed += header.readInt8(i);
  }
  if (wanted === unsigned || wanted === signed) return;
  refuse(
    `a tar header with checksum ${unsigned} must be at byte ${at}`,
    wanted ?? "no tar header (the file is damaged, or no tar archive)",
  );
}

function sizeIn(header: Buffer, refuse: Refuse): number {
  // GNU writes what octal digits can't as a big-endian number behind a byte 0x80.
  if (header[124] === 0x80) {
    const value = header.readBigUInt64BE(128);
    const most = BigInt(Number.MAX_SAFE_INTEGER);
    if (header.readUInt32BE(124) === 0x80000000 && value <= most) return Number(value);
  }
  return octal(header, 124, 12) ?? refuse("a tar size must be an octal number", "else");
}

function octal(header: Buffer, at: number, length: number): number | undefined {
  const text = header.toString("latin1", at, at + length);
  const digits = /^ *([0-7]+)[ \0]*$/.exec(text)?.[1];
  if (digits !== undefined) return parseInt(digits, 8);
  return /^[ \0]*$/.test(text) ? 0 : undefined;
}

/** Name of a ustar header, its prefix before it; GNU keeps other things in the prefix's place. */
function nameIn(header: Buffer): string {
  const name = textIn(header.subarray(0, 100));
  const prefix = textIn(header.subarray(345, 500));
  const ustar = header.toString("latin1", 257, 263) === "ustar\0";
  return ustar && prefix !== "" ? `${prefix}/${name}` : name;
}

/** UTF-8 up to the first zero. */
function textIn(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}
