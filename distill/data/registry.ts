/** @file Data sets by name. */
import { closest } from "../spelling.ts";
import { DataError, type Source } from "./dataset.ts";
import { loadDigits } from "./digits.ts";

type Loader = () => Source | Promise<Source>;

const loaders: Readonly<Record<string, Loader>> = { digits: () => loadDigits() };

/** Names that {@link loadSource} knows. */
export const datasetNames: readonly string[] = Object.keys(loaders);

/**
 * The raw data set called `name`.
 * @throws DataError when there is none of that name, or its files are damaged.
 */
export async function loadSource(name: string): Promise<Source> {
  const load = loaders[name];
  if (load) return load();
  const near = closest(name, datasetNames);
  const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
  throw new DataError(`dataset: must be one of ${datasetNames.join(", ")}, got "${name}"${hint}`);
}
