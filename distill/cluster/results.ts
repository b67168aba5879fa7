/** @file Results of units as small files of JSON with a checksum, each there whole or not at all. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";

import { fileError, FileError, readBytes, writeAtomic } from "../files.ts";

const schema = z.object({ unit: z.string(), crc32: z.number(), result: z.unknown() });

/** What a unit may result in: any JSON. */
export type Result = z.infer<ReturnType<typeof z.json>>;

const folderOf = (folder: string): string => join(folder, "units");
const fileOf = (folder: string, unit: string): string => join(folderOf(folder), `${unit}.json`);

/** Writes the result of a unit; a second time, by accident, it is the same. Throws `FileError`. */
export function writeResult(folder: string, unit: string, result: Result): void {
  const path = fileOf(folder, unit);
  try {
    mkdirSync(folderOf(folder), { recursive: true });
  } catch (cause) {
    throw fileError(folderOf(folder), "writable", cause);
  }
  const checksum = crc32(JSON.stringify([unit, result]));
  writeAtomic(path, `${JSON.stringify({ unit, crc32: checksum, result })}\n`);
}

/** The result of a unit. Throws `FileError` when it is not there or damaged. */
export function readResult(folder: string, unit: string): Result {
  const path = fileOf(folder, unit);
  const text = Buffer.from(readBytes(path)).toString();
  let parsed;
  try {
    parsed = schema.safeParse(JSON.parse(text));
  } catch {
    throw new FileError(`${path}: must be a unit's result, got no JSON (the file is damaged)`);
  }
  if (!parsed.success) throw new FileError(`${path}: must be a unit's result, got another file`);
  const { unit: name, crc32: checksum, result } = parsed.data;
  if (name !== unit) throw new FileError(`${path}: must be of unit ${unit}, got ${name}`);
  const got = crc32(JSON.stringify([unit, result]));
  if (got !== checksum)
    throw new FileError(
      `${path}: must have checksum ${checksum}, got ${got} (the file is damaged)`,
    );
  // Of that checksum it is what was written.
  return result as Result;
}

/** The result of a unit if it is there and whole; who finds it damaged does the unit again. */
export function knownResult(folder: string, unit: string): Result | undefined {
  try {
    return readResult(folder, unit);
  } catch (error) {
    if (error instanceof FileError) return undefined;
    throw error;
  }
}

/** Units whose results are in a folder, by one look at it, damaged or not. Throws `FileError`. */
export function listResults(folder: string): Set<string> {
  if (!existsSync(folderOf(folder))) return new Set();
  try {
    const names = readdirSync(folderOf(folder)).filter((name) => name.endsWith(".json"));
    return new Set(names.map((name) => name.slice(0, -".json".length)));
  } catch (cause) {
    throw fileError(folderOf(folder), "readable", cause);
  }
}
