/** @file Which data a run was made with, kept in its folder. */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { FileError, readBytes, writeAtomic } from "../files.ts";
import type { Source } from "./dataset.ts";

const recordFile = (folder: string): string => join(folder, "data.json");

/** Writes `data.json`: name, id, shape, classes and counts of a source. Throws `FileError`. */
export function recordData(folder: string, source: Source): void {
  const { name, id, channels, height, width, classes, train, test, notes = [] } = source;
  const record = {
    ...{ name, id, images: [channels, height, width], classes },
    ...{ train: train.count, test: test.count, notes },
  };
  writeAtomic(recordFile(folder), `${JSON.stringify(record, null, 2)}\n`);
}

/** Throws `FileError` unless the run in `folder` was made with the same data, as far as it tells. */
export function checkData(folder: string, { name, id }: Source): void {
  const path = recordFile(folder);
  if (!existsSync(path)) return;
  const got = idIn(new TextDecoder().decode(readBytes(path)));
  if (got === id) return;
  throw new FileError(
    `${path}: the run's data must be ${name} as it is here (id ${id}), got ${got === undefined ? "no id" : `id ${got}`}`,
  );
}

function idIn(text: string): string | undefined {
  try {
    const record: unknown = JSON.parse(text);
    const id =
      typeof record === "object" && record !== null && "id" in record ? record.id : undefined;
    return typeof id === "string" ? id : undefined;
  } catch {
    return undefined;
  }
}
