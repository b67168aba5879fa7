/** @file Every reader of files: good files for it, and what reads them. `test/distill/readers.test.ts` damages them. */
import { readersOfData } from "./readers-data.ts";
import { readersOfRuns } from "./readers-runs.ts";

/** What is read, and how. */
export interface Reader {
  /** Exported names that the row is about. */
  readonly of: readonly string[];
  /** Puts good files into an empty folder and returns those that are damaged, one at a time. */
  make(folder: string): readonly string[] | Promise<readonly string[]>;
  read(folder: string): unknown;
  /** Whatever is damaged is no error, but taken for nothing. */
  readonly lenient?: true;
}

/** Rows by what is read. */
export const readers: Readonly<Record<string, Reader>> = { ...readersOfData, ...readersOfRuns };

/** Exported names that look like readers' and are none of files' bytes, or a part of one above, and why. */
export const otherNames: Readonly<Record<string, string>> = {
  checkDataset: "a name",
  checkGraph: "part of unpickle",
  checkNoRun: "whether files are there",
  checkPreprocessing: "values",
  checkRequest: "numbers",
  checkTeachers: "readTrajectory",
  checkedRecipe: "part of readRecipe",
  decodeElements: "part of decodeNpy",
  decodeFloats: "part of decodeSafetensors",
  lastElement: "numbers",
  loadBundle: "the package's own files",
  parseBytes: "a setting",
  parseDescr: "part of decodeNpy",
  parseStrategy: "a setting",
  readBytes: "bytes as they are",
  readCache: "the cache is trusted, and damage of any kind made good (registry.test.ts)",
};
