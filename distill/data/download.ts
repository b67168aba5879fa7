/** @file Official files fetched from their publishers, put in place only when their checksum is right. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { FileUnderWay, openRunFolder } from "../files.ts";
import { OpenFile } from "../formats/source.ts";
import type { Progress } from "../progress.ts";
import { DataError } from "./dataset.ts";
import type { OfficialFile } from "./official.ts";

const MIB = 2 ** 20;
/** No official file is larger. */
const MOST_BYTES = 2 ** 31;
const READ_BYTES = 4 * MIB;

/** MD5 of a file, in hexadecimal. Throws `FileError`. */
export function md5Of(path: string): string {
  using file = new OpenFile(path);
  const hash = createHash("md5");
  for (let at = 0; at < file.size; at += READ_BYTES)
    hash.update(file.read(at, Math.min(READ_BYTES, file.size - at)));
  return hash.digest("hex");
}

/**
 * Fetches those of the official files that are not in the folder yet; returns the paths of the new ones.
 * @throws DataError when one can't be fetched, is not the official one, or another file has its name;
 * FileError when the folder can't be written.
 */
export async function download(
  files: readonly OfficialFile[],
  folder: string,
  progress: Progress,
): Promise<string[]> {
  const fetched: string[] = [];
  for (const file of files) {
    const path = join(folder, file.name);
    if (existsSync(path)) {
      const got = md5Of(path);
      if (got === file.md5) continue;
      throw new DataError(
        `${path}: must be the official file (md5 ${file.md5}) or not there, got another (md5 ${got})`,
      );
    }
    openRunFolder(folder);
    await fetchFile(file, path, progress);
    fetched.push(path);
  }
  return fetched;
}

/** From the first of its addresses that has it. */
async function fetchFile(file: OfficialFile, path: string, progress: Progress): Promise<void> {
  let failure: unknown;
  for (const url of file.urls) {
    try {
      await fetchFrom(url, file.md5, path, progress);
      return;
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

async function fetchFrom(
  url: string,
  md5: string,
  path: string,
  progress: Progress,
): Promise<void> {
  const response = await reached(url, () => fetch(url));
  if (!response.ok || response.body === null)
    throw new DataError(`${url}: must be there, got status ${response.status}`);
  const told = Number(response.headers.get("content-length") ?? 0);
  using file = new FileUnderWay(path);
  const hash = createHash("md5");
  const chunks = (response.body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  progress.start(`download ${url} (MiB)`, Math.max(1, Math.ceil(told / MIB)));
  try {
    for (let bytes = 0; ;) {
      const next = await reached(url, () => chunks.next());
      if (next.done === true) break;
      bytes += next.value.length;
      if (bytes > MOST_BYTES)
        throw new DataError(`${url}: must have at most ${MOST_BYTES} bytes, got more`);
      hash.update(next.value);
      file.write(next.value);
      progress.update(Math.floor(bytes / MIB));
    }
  } finally {
    progress.stop();
    await chunks.return?.().catch(() => undefined);
  }
  const got = hash.digest("hex");
  if (got !== md5)
    throw new DataError(`${url}: must be the official file (md5 ${md5}), got another (md5 ${got})`);
  file.commit();
}

/** What `work` returns; its failure as a sentence that names the address. */
async function reached<T>(url: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const inner: unknown = cause instanceof Error ? (cause.cause ?? cause) : cause;
    const code = inner instanceof Error && "code" in inner ? String(inner.code) : String(inner);
    throw new DataError(`${url}: must be reachable, got ${code}`, { cause });
  }
}
