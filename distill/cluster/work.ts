/** @file What a command divides: a folder's units by their names, in a file that every shard writes alike. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

import { FileError, readBytes, writeAtomic } from "../files.ts";

/** Commands whose work is divided. */
export const DIVIDED = ["teach", "evaluate", "compare"] as const;
export type Divided = (typeof DIVIDED)[number];

/** Everything that a command does in a folder, done or not. */
export interface WorkList {
  readonly command: Divided;
  /**
   * Names of the units, in the order of the result: the file of a unit's result is named after it.
   * A unit's result depends on its name and the recipe alone, not on who does which units.
   */
  readonly units: readonly string[];
}

/** A name serves as a file's on every file system. */
export const UNIT_NAME = /^[A-Za-z0-9][A-Za-z0-9._=-]{0,199}$/;

const FORMAT = "potstill-work 1";
const unit = z.string().regex(UNIT_NAME);
const schema = z.object({
  format: z.literal(FORMAT),
  command: z.enum(DIVIDED),
  units: z.array(unit).readonly(),
});

export const workFile = (folder: string): string => join(folder, "work.json");

/** Records what there is to do; the same from every shard, so it is of no matter who is last. Throws `FileError`. */
export function recordWork(folder: string, { command, units }: WorkList): void {
  const path = workFile(folder);
  const content = `${JSON.stringify({ format: FORMAT, command, units })}\n`;
  if (existsSync(path) && Buffer.from(readBytes(path)).toString() === content) return;
  writeAtomic(path, content);
}

/** What there is to do in a folder. Throws `FileError` when it is not known. */
export function readWork(folder: string): WorkList {
  const path = workFile(folder);
  const must = `must list the units of ${DIVIDED.join(", ")}, as these commands write it`;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(readBytes(path)).toString());
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new FileError(`${path}: ${must}, got no JSON (the file is damaged)`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new FileError(`${path}: ${must}, got another file`);
  return parsed.data;
}
