/** @file Where the files of a known data set are looked for, and what is said when they are not there. */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { DataError } from "./dataset.ts";
import { detect, type Detected } from "./detect.ts";
import type { Outline } from "./known.ts";
import { officialOf } from "./official.ts";
import { openTree, type Tree } from "./tree.ts";

/** Folders and archives as torchvision and the archives themselves call them. */
const OTHER_PLACES: Readonly<Record<string, readonly string[]>> = {
  mnist: ["MNIST/raw"],
  "fashion-mnist": ["FashionMNIST/raw"],
  kmnist: ["KMNIST/raw"],
  emnist: ["emnist", "EMNIST/raw"],
  "cifar-10": [
    ...["cifar-10-batches-bin", "cifar-10-batches-py"],
    ...["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"],
  ],
  "cifar-100": [
    ...["cifar-100-binary", "cifar-100-python"],
    ...["cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"],
  ],
  "tiny-imagenet": ["tiny-imagenet-200", "tiny-imagenet-200.zip"],
};

const ARCHIVE = /\.(?:zip|tar|tar\.gz|tgz|npz|safetensors)$/i;

/** The folder of known data sets: as given, else `POTSTILL_DATA`, else `./data`. */
export function dataFolder(given?: string): string {
  const own = process.env["POTSTILL_DATA"];
  return given ?? (own === undefined || own === "" ? "data" : own);
}

/** Where a known set may be, the best place first. */
export function placesOf({ name }: Outline, folder: string): string[] {
  const others = OTHER_PLACES[name.startsWith("emnist-") ? "emnist" : name] ?? [];
  return [name, ...others].map((place) => join(folder, place));
}

/** Where the official files of a known set are put; those of EMNIST's sets are one. */
export function downloadFolder({ name }: Outline, folder: string): string {
  return join(folder, name.startsWith("emnist-") ? "emnist" : name);
}

/** A set with the files that it is read from; hold the tree by `using`. */
export interface Located {
  readonly tree: Tree;
  readonly detected: Detected;
}

/**
 * The files of a known set in the folder of data sets.
 * @throws DataError when they are not there, saying where they are looked for and where they come from,
 * or when others are there; FileError when they can't be read.
 */
export function locate(outline: Outline, folder: string): Located {
  const places = placesOf(outline, folder);
  for (const place of places) {
    const found = existsSync(place) ? open(place, outline) : undefined;
    if (found) return found;
  }
  throw new DataError(missing(outline, places));
}

/**
 * The set in the folder or file at `path`.
 * @throws DataError when there is no sign of a set, FileError when it can't be read.
 */
export function locatePath(path: string): Located {
  const found = open(path);
  if (found) return found;
  throw new DataError(
    `${path}: must hold IDX files, CIFAR's batches, arrays (.npz, .npy, .safetensors) or a folder of pictures for each class, got none of these`,
  );
}

/** What is in a folder or file, or in the one archive of a folder that holds nothing else of use. */
function open(path: string, wanted?: Outline): Located | undefined {
  const tree = openTree(path);
  try {
    const detected = detect(tree, wanted);
    if (detected) return { tree, detected };
    const archives = tree.files.filter(
      (file) => ARCHIVE.test(file.path) && file.place !== undefined,
    );
    const [archive] = archives;
    tree[Symbol.dispose]();
    const inside = archives.length === 1 && archive!.place !== path;
    return inside ? open(archive!.place!, wanted) : undefined;
  } catch (error) {
    tree[Symbol.dispose]();
    throw error;
  }
}

function missing({ name }: Outline, places: readonly string[]): string {
  const { page, files } = officialOf(name)!;
  const wanted = files.map((file) => `${file.name} (md5 ${file.md5})`).join(", ");
  return (
    `dataset: ${name} must be in ${places.join(" or ")} (--data or POTSTILL_DATA name another folder), got no files of it; ` +
    `download ${wanted} from ${page}, or let "potstill data ${name} --download" do it`
  );
}
