/** @file Files that are there whole or not at all, and disk errors as one clear sentence. */
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";

import { isAlive } from "./alive.ts";

/** A file or folder that can't be used; the message is one sentence that names it. */
export class FileError extends Error {
  override readonly name = "FileError";
}

/** The content of a file. Throws `FileError`. */
export function readBytes(path: string): Uint8Array<ArrayBuffer> {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw fileError(path, "readable", cause);
  }
}

/**
 * Writes `content` (text as UTF-8) so that `path` holds either what it held before or all of it, even
 * after a power cut. Throws `FileError`.
 */
export function writeAtomic(path: string, content: Uint8Array | string): void {
  using file = new FileUnderWay(path);
  file.write(typeof content === "string" ? Buffer.from(content) : content);
  file.commit();
}

/**
 * A file that is written piece by piece: `path` holds what it held before until `commit`, and all of
 * it afterwards. It is a temporary file in the same folder, then fsync, rename, fsync of the folder.
 * Hold it by `using`: without `commit` nothing is left of it. Everything thrown is a `FileError`.
 */
export class FileUnderWay implements Disposable {
  readonly path: string;
  private readonly temporary: string;
  private handle: number | undefined;
  private length = 0;
  private committed = false;

  constructor(path: string) {
    this.path = path;
    this.temporary = temporaryIn(dirname(path));
    this.attempt(() => (this.handle = openSync(this.temporary, "wx")));
  }

  /** Writes at the end, or over what is already written from byte `at` on. */
  write(content: Uint8Array, at = this.length): void {
    this.attempt(() => writeWhole(this.handle!, content, at));
    this.length = Math.max(this.length, at + content.length);
  }

  /** Puts the file in its place. */
  commit(): void {
    this.attempt(() => {
      fsyncSync(this.handle!);
      this.close();
      renameSync(this.temporary, this.path);
      this.committed = true;
      syncFolder(dirname(this.path));
    });
  }

  [Symbol.dispose](): void {
    this.close();
    if (!this.committed) removeQuietly(this.temporary);
  }

  private close(): void {
    if (this.handle !== undefined) closeSync(this.handle);
    this.handle = undefined;
  }

  private attempt(work: () => void): void {
    try {
      work();
    } catch (cause) {
      throw fileError(this.path, "writable", cause);
    }
  }
}

/**
 * Creates the folder (and those above it) where missing, proves by a trial file that it can be
 * written, removes what killed processes left half-written in it and in the folders right below, and
 * returns its absolute path. Throws `FileError`.
 */
export function openRunFolder(path: string): string {
  const folder = resolve(path);
  const trial = temporaryIn(folder);
  try {
    createFolder(folder);
    // access(2) says yes to root on a full or read-only disk; only writing tells.
    writeSynced(trial, Buffer.from("potstill"));
    rmSync(trial);
    const below = readdirSync(folder, { withFileTypes: true });
    removeLeftovers(folder);
    for (const entry of below) if (entry.isDirectory()) removeLeftovers(join(folder, entry.name));
  } catch (cause) {
    removeQuietly(trial);
    throw fileError(path, "writable", cause);
  }
  return folder;
}

/**
 * Proves by a trial file beside it that `path` can be written, so that work whose result goes there does
 * not end in vain. Throws `FileError`.
 */
export function proveWritable(path: string): void {
  const trial = temporaryIn(dirname(path));
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw Object.assign(new Error(), { syscall: "open", code: "EISDIR" });
    writeSynced(trial, Buffer.from("potstill"));
    rmSync(trial);
  } catch (cause) {
    removeQuietly(trial);
    throw fileError(path, "writable", cause);
  }
}

/** What a system error code means: what had to hold, and what came instead. */
const MEANINGS: Readonly<Record<string, (access: string) => [must: string, got: string]>> = {
  ENOSPC: () => ["the disk must have room for it", "no space left"],
  EDQUOT: () => ["the disk must have room for it", "a quota that is used up"],
  EACCES: (access) => [`must be ${access} by this user`, "permission denied"],
  EPERM: (access) => [`must be ${access} by this user`, "operation not permitted"],
  EROFS: () => ["must be on a file system that can be written", "a read-only one"],
  ENOENT: (access) =>
    access === "readable" ? ["must exist", "no such file"] : ["its folder must exist", "none"],
  ENOTDIR: () => ["every part of its path but the last must be a folder", "a file"],
  EISDIR: () => ["must be a file", "a folder"],
  EEXIST: () => ["must be a folder", "a file"],
  ENAMETOOLONG: () => ["its name must be short enough for the file system", "a longer one"],
};

/**
 * `cause`, thrown by a file operation on `path`, as a `FileError` of one sentence. Anything but a
 * system error is returned as it is.
 */
export function fileError(path: string, access: "readable" | "writable", cause: unknown): Error {
  if (!(cause instanceof Error)) return new Error(String(cause));
  if (!("syscall" in cause && "code" in cause)) return cause;
  const code = String(cause.code);
  const [must, got] = MEANINGS[code]?.(access) ?? [`must be ${access}`, "an error"];
  return new FileError(`${path}: ${must}, got ${got} (${code})`, { cause });
}

/** With those above it. Node's own `recursive` calls a read-only file system a missing folder. */
function createFolder(folder: string): void {
  const parent = dirname(folder);
  if (parent !== folder && !existsSync(parent)) createFolder(parent);
  try {
    mkdirSync(folder);
  } catch (cause) {
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw cause;
  }
}

/** What temporary files of this machine's processes begin with: others may share the folder. */
const HERE = `.potstill-${createHash("sha256").update(hostname()).digest("hex").slice(0, 8)}-`;

function temporaryIn(folder: string): string {
  return join(folder, `${HERE}${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
}

/** Removes temporary files of processes of this machine that are no more. */
function removeLeftovers(folder: string): void {
  for (const name of namesIn(folder)) {
    if (!name.startsWith(HERE)) continue;
    const pid = Number(/^(\d+)-[0-9a-f]+\.tmp$/.exec(name.slice(HERE.length))?.[1]);
    if (pid > 0 && pid !== process.pid && !isAlive(pid)) removeQuietly(join(folder, name));
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // One that may not be read is none of ours.
    return [];
  }
}

function writeWhole(file: number, content: Uint8Array, at: number): void {
  // One write may take less than all of it.
  for (let done = 0; done < content.length;)
    done += writeSync(file, content, done, content.length - done, at + done);
}

function writeSynced(path: string, content: Uint8Array): void {
  const file = openSync(path, "wx");
  try {
    writeWhole(file, content, 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncFolder(folder: string): void {
  // Windows can't open a folder as a file; NTFS journals the rename itself.
  if (process.platform === "win32") return;
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } catch (cause) {
    // Some network file systems have no fsync for folders; the file itself is already safe.
    if (!(cause instanceof Error && "code" in cause && cause.code === "EINVAL")) throw cause;
  } finally {
    closeSync(handle);
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The first error is the one to report.
  }
}
