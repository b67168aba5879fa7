/** @file Data sets by name. */
import { closest } from "../spelling.ts";
import { DataError, type Dataset } from "./dataset.ts";
import { loadDigits } from "./digits.ts";

const loaders: Readonly<Record<string, () => Dataset>> = { digits: () => loadDigits() };

/** Names that {@link loadDataset} knows. */
export const datasetNames: readonly string[] = Object.keys(loaders);

/**
 * The data set called `name`.
 * @throws DataError when there is none of that name, or its files are damaged.
 */
export function loadDataset(name: string): Dataset {
  const load = loaders[name];
  if (load) return load();
  const near = closest(name, datasetNames);
  const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
  throw new DataError(`dataset: must be one of ${datasetNames.join(", ")}, got "${name}"${hint}`);
}
