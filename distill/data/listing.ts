/** @file Which pictures a tree holds, and the class and split of each, by the folders they lie in. */
import { DataError } from "./dataset.ts";
import { testImages } from "./split.ts";
import type { Tree, TreeFile } from "./tree.ts";

export interface Picture {
  readonly file: TreeFile;
  readonly label: number;
}

/** Pictures of a set in the order of their paths, with the names of the classes. */
export interface Listing {
  /** Names of the classes' folders, sorted: the order of the labels. */
  readonly folders: readonly string[];
  /** The same, or what words.txt calls them. */
  readonly classes: readonly string[];
  readonly train: readonly Picture[];
  readonly test: readonly Picture[];
}

/** A picture and its path below some folder, in parts: its class, then maybe folders, its name. */
interface Placed {
  readonly file: TreeFile;
  readonly parts: readonly string[];
}

const PICTURE = /\.(?:png|jpe?g)$/i;
const TRAIN = /^train(?:ing)?$/i;
/** In this order: a `test` whose pictures have no class is passed over, as Tiny ImageNet's. */
const TESTS = [/^test(?:ing)?$/i, /^val(?:id|idation)?$/i];
const MOST_CLASSES = 2 ** 16;
/** Of a text file of names, in bytes. */
const MOST_TEXT = 1 << 25;

/**
 * The pictures of a tree: `train/<class>/…` with `test/<class>/…` or `val/<class>/…` (or `val/` with
 * Tiny ImageNet's val_annotations.txt), or `<class>/…` alone, of which a fifth of each class, always
 * the same, is for testing. Folders around these are passed through. Undefined when there are none.
 * @throws DataError when a picture has no class, or a class too few pictures.
 */
export function listPictures(tree: Tree): Listing | undefined {
  const placed = tree.files
    .filter(({ path }) => PICTURE.test(path))
    .map((file): Placed => ({ file, parts: file.path.split("/") }));
  if (placed.length === 0) return undefined;
  // Where `train` lies: above a class and a picture, with as few folders around it as possible.
  const depths = placed.map(({ parts }) =>
    parts.slice(0, -2).findIndex((part) => TRAIN.test(part)),
  );
  const depth = Math.min(...new Set(depths.filter((at) => at >= 0)));
  if (depth === Infinity) return halved(tree, withoutCommonFolders(placed));
  const root = placed[depths.indexOf(depth)]!.parts.slice(0, depth);
  const half = (name: RegExp): Placed[] =>
    placed
      .filter(({ parts }) => root.every((part, i) => parts[i] === part) && name.test(parts[depth]!))
      .map(({ file, parts }) => ({ file, parts: parts.slice(depth + 1) }));
  const train = half(TRAIN);
  const folders = classFolders(tree, train);
  for (const files of TESTS.map(half)) {
    const test = annotated(tree, files, folders) ?? byFolder(files, folders);
    if (test.length > 0)
      return { folders, classes: namesOf(tree, folders), train: byFolder(train, folders), test };
  }
  return halved(tree, train);
}

/** One folder a class, split the same way every time. */
function halved(tree: Tree, placed: readonly Placed[]): Listing {
  const folders = classFolders(tree, placed);
  const pictures = byFolder(placed, folders);
  const forTest = testImages(
    pictures.map(({ label }) => label),
    folders,
    tree.name,
  );
  return {
    folders,
    classes: namesOf(tree, folders),
    train: pictures.filter((_, i) => !forTest.has(i)),
    test: pictures.filter((_, i) => forTest.has(i)),
  };
}

/** Without the folders that all pictures lie in, as far as a class remains. */
function withoutCommonFolders(placed: readonly Placed[]): readonly Placed[] {
  const [first] = placed[0]!.parts;
  const common = placed.every(({ parts }) => parts.length > 2 && parts[0] === first);
  if (!common) return placed;
  return withoutCommonFolders(placed.map(({ file, parts }) => ({ file, parts: parts.slice(1) })));
}

function classFolders(tree: Tree, placed: readonly Placed[]): string[] {
  const bare = placed.find(({ parts }) => parts.length < 2);
  if (bare)
    throw new DataError(
      `${bare.file.name}: a picture must lie in the folder of its class, got none`,
    );
  const folders = [...new Set(placed.map(({ parts }) => parts[0]!))].sort();
  if (folders.length < 2 || folders.length > MOST_CLASSES)
    throw new DataError(
      `${tree.name}: must hold a folder of pictures for each of 2 to ${MOST_CLASSES} classes, got ${folders.length}`,
    );
  const listed = textOf(tree, "wnids.txt")?.split(/\s+/).filter(Boolean);
  const missing = listed?.find((name) => !folders.includes(name));
  const extra = listed && folders.find((name) => !listed.includes(name));
  if (missing !== undefined || extra !== undefined)
    throw new DataError(
      `${tree.name}: folders of classes must be those in wnids.txt, got ${missing === undefined ? `${extra!} too` : `none for ${missing}`}`,
    );
  return folders;
}

/** Labels by the first part of the paths; none when no picture lies in the folder of a class. */
function byFolder(placed: readonly Placed[], folders: readonly string[]): Picture[] {
  const labels = new Map(folders.map((name, label) => [name, label]));
  if (!placed.some(({ parts }) => labels.has(parts[0]!))) return [];
  return placed.map(({ file, parts }) => {
    const label = parts.length > 1 ? labels.get(parts[0]!) : undefined;
    if (label === undefined)
      throw new DataError(
        `${file.name}: a picture for testing must lie in the folder of a class that has training pictures, got ${parts.length > 1 ? parts[0]! : "none"}`,
      );
    return { file, label };
  });
}

/** Labels by val_annotations.txt, a line a picture: its name, its class and a box, tabs between. */
function annotated(
  tree: Tree,
  placed: readonly Placed[],
  folders: readonly string[],
): Picture[] | undefined {
  const name = "val_annotations.txt";
  const text = placed.length === 0 ? undefined : textOf(tree, name);
  if (text === undefined || placed.some(({ parts }) => folders.includes(parts[0]!)))
    return undefined;
  const labels = new Map(folders.map((folder, label) => [folder, label]));
  const byName = new Map<string, number>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === "") continue;
    const [picture, folder = ""] = line.split("\t");
    const label = labels.get(folder);
    if (label === undefined)
      throw new DataError(
        `${tree.name}, ${name}, line ${i + 1}: must name a picture and a class that has training pictures, got ${JSON.stringify(line.slice(0, 60))}`,
      );
    byName.set(picture!, label);
  }
  // Beside val/ there is test/, whose pictures have no class.
  if (!placed.some(({ parts }) => byName.has(parts.at(-1)!))) return undefined;
  return placed.map(({ file, parts }) => {
    const label = byName.get(parts.at(-1)!);
    if (label === undefined) throw new DataError(`${file.name}: must be in ${name}, got no line`);
    return { file, label };
  });
}

/** What words.txt calls WordNet numbers, its first word of several; as they are where it is silent. */
function namesOf(tree: Tree, folders: readonly string[]): string[] {
  const words = new Map<string, string>();
  for (const line of textOf(tree, "words.txt")?.split(/\r?\n/) ?? []) {
    const [number, names = ""] = line.split("\t");
    words.set(number!, names.split(",")[0]!.trim());
  }
  return folders.map((name) => words.get(name) ?? name);
}

/** The text file of that name, the one with the shortest path. Throws `DataError` when it is huge. */
function textOf(tree: Tree, name: string): string | undefined {
  const [file] = tree.files
    .filter(({ path }) => path === name || path.endsWith(`/${name}`))
    .sort((a, b) => a.path.length - b.path.length);
  if (file === undefined) return undefined;
  if (file.size > MOST_TEXT)
    throw new DataError(`${file.name}: must have at most ${MOST_TEXT} bytes, got ${file.size}`);
  return Buffer.from(file.bytes()).toString("utf8");
}
