/** @file The files of a data set by relative path, in a folder or inside a zip or tar archive. */
import { readdirSync, realpathSync, statSync, type Stats } from "node:fs";
import { basename, join } from "node:path";

import { fileError } from "../files.ts";
import { gunzip, isGzip } from "../formats/gzip.ts";
import { inMemory, OpenFile, type ByteSource } from "../formats/source.ts";
import { tarFiles } from "../formats/tar.ts";
import { isZip, ZipArchive } from "../formats/zip.ts";
import { DataError } from "./dataset.ts";

export interface TreeFile {
  /** Relative to the tree, with `/`. */
  readonly path: string;
  /** Names the file in errors. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** The file itself, when it lies on the disk as it is. */
  readonly place?: string;
  /** When it was changed last, in ms; 0 where that is not told. */
  readonly changed: number;
  /** All of it. Throws `FileError`. */
  bytes(): Uint8Array;
  /** The first `length` bytes (at most 128 KiB), or all when it has fewer. Throws `FileError`. */
  head(length: number): Uint8Array;
}

/** Files of a data set. Hold it by `using`: an archive stays open. */
export interface Tree extends Disposable {
  /** Path of the folder or archive. */
  readonly name: string;
  /** Sorted by path, so that nothing depends on the file system's order. */
  readonly files: readonly TreeFile[];
}

/** Folders inside each other; deeper ones are none of a data set's. */
const MOST_DEPTH = 12;
/** ImageNet has 1.3 million. */
const MOST_FILES = 4_000_000;
/** A tar archive that is packed as a whole is unpacked in memory. */
const MOST_UNPACKED = 2 ** 31;
const TAR_MARK = 257;
const MOST_HEAD = 1 << 17;

/**
 * The files under a folder (hidden ones left out, links followed), of a zip or tar archive (a packed
 * one too), or the one file at `path`.
 * @throws FileError when it can't be read or the archive is damaged, DataError when a folder has no end.
 */
export function openTree(path: string): Tree {
  let stat;
  try {
    stat = statSync(path);
  } catch (cause) {
    throw fileError(path, "readable", cause);
  }
  if (stat.isDirectory()) return tree(path, folderFiles(path));
  const file = new OpenFile(path);
  try {
    const files = archiveFiles(file, path) ?? [diskFile(path, basename(path), stat)];
    return tree(path, files, file);
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

function tree(name: string, files: TreeFile[], held?: Disposable): Tree {
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { name, files, [Symbol.dispose]: () => held?.[Symbol.dispose]() };
}

/** The file at `disk`, under the name that it has in a tree. */
function diskFile(disk: string, path: string, stat: Stats): TreeFile {
  const read = (length?: number): Uint8Array => {
    using file = new OpenFile(disk);
    return file.read(0, Math.min(length ?? file.size, file.size));
  };
  return {
    ...{ path, name: disk, size: stat.size, place: disk, changed: stat.mtimeMs },
    bytes: () => read(),
    head: read,
  };
}

function folderFiles(root: string): TreeFile[] {
  const files: TreeFile[] = [];
  const walk = (folder: string, prefix: string, above: readonly string[]): void => {
    const real = realpathSync(folder);
    if (above.includes(real))
      throw new DataError(`${folder}: must not lead back to a folder above`);
    if (above.length >= MOST_DEPTH)
      throw new DataError(`${folder}: must be at most ${MOST_DEPTH} folders deep, got more`);
    const names = readdirSync(folder).filter((name) => !name.startsWith("."));
    for (const name of names) {
      const disk = join(folder, name);
      const stat = statSync(disk, { throwIfNoEntry: false });
      if (stat?.isDirectory()) walk(disk, `${prefix}${name}/`, [...above, real]);
      if (stat?.isFile()) files.push(diskFile(disk, `${prefix}${name}`, stat));
      if (files.length > MOST_FILES)
        throw new DataError(`${root}: must have at most ${MOST_FILES} files, got more`);
    }
  };
  try {
    walk(root, "", []);
  } catch (cause) {
    throw fileError(root, "readable", cause);
  }
  return files;
}

/** The files of an archive, or undefined when it is none. */
function archiveFiles(file: OpenFile, path: string): TreeFile[] | undefined {
  const head = file.read(0, Math.min(file.size, TAR_MARK + 5));
  const member = (
    { path: inner, size }: { path: string; size: number },
    bytes: () => Uint8Array,
  ): TreeFile => {
    // All of it is unpacked for its start, which is asked for more than once.
    let start: Uint8Array | undefined;
    return {
      ...{ path: inner, name: `${path}, ${inner}`, size, changed: 0, bytes },
      head: (length) => (start ??= bytes().slice(0, MOST_HEAD)).subarray(0, length),
    };
  };
  const tarMembers = (source: ByteSource) =>
    Array.from(tarFiles(source), (entry) => member(entry, () => entry.read()));
  if (isZip(head)) {
    const archive = new ZipArchive(file);
    return archive.entries.map((entry) => member(entry, () => archive.read(entry.path)));
  }
  if (isTar(head)) return tarMembers(file);
  if (!isGzip(head)) return undefined;
  const unpacked = gunzip(file.read(0, file.size), path, MOST_UNPACKED);
  return isTar(unpacked) ? tarMembers(inMemory(unpacked, path)) : undefined;
}

function isTar(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(TAR_MARK, TAR_MARK + 5)).toString("latin1") === "ustar";
}
