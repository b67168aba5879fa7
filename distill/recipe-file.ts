/** @file Recipes as YAML: read from files that may extend others, written into a run's folder. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { isMap, isScalar, LineCounter, parseDocument, stringify, type Document } from "yaml";

import { readBytes } from "./files.ts";
import { underMethod } from "./matching/methods.ts";
import { checkedRecipe, GROUPS, KEYS, RecipeError, type Path, type Recipe } from "./recipe.ts";
import { closest } from "./spelling.ts";

/** What a recipe file says itself, and where its lines are. */
interface Layer {
  readonly values: Readonly<Record<string, unknown>>;
  /** File and line of the value at a path, when the file has it. */
  readonly locate: (path: Path) => string | undefined;
}

/**
 * The recipe in a YAML `text`; `source` is its path, and names it in errors. With `extends: NAME` or
 * a path relative to the file's folder, it takes from that recipe whatever it does not say itself.
 * Throws `FileError` and `RecipeError`.
 */
export function parseRecipe(text: string, source: string): Recipe {
  return recipeOf(layersOf(text, source, []), source);
}

/** The recipe in a file. Throws as `parseRecipe`. */
export function readRecipe(path: string): Recipe {
  return parseRecipe(textOf(path), path);
}

/**
 * The recipes of a run's folder: `recipe.yaml` holds one recipe, or several by name. Throws
 * `FileError` and `RecipeError`.
 */
export function readRecipes(path: string): Recipe[] {
  const text = textOf(path);
  const value: unknown = parseDocument(text, { prettyErrors: false }).toJS({ maxAliasCount: 10 });
  const several =
    isGroup(value) &&
    Object.keys(value).length > 0 &&
    ![...KEYS, "extends"].some((key) => key in value) &&
    Object.values(value).every(isGroup);
  if (!several) return [parseRecipe(text, path)];
  return Object.entries(value).map(([name, entry]) =>
    checkedRecipe(entry, () => `${path}, ${name}`),
  );
}

/** The recipe as YAML, keys in the order of the schema: the same recipe gives the same text. */
export function recipeToYaml(settings: Recipe): string {
  return stringify(ordered(settings), { lineWidth: 0 });
}

/** Several recipes as YAML, each under its name. */
export function recipesToYaml(recipes: Readonly<Record<string, Recipe>>): string {
  const entries = Object.entries(recipes).map(([name, settings]) => [name, ordered(settings)]);
  return stringify(Object.fromEntries(entries), { lineWidth: 0 });
}

/** The recipes that come with the package, name → file. */
export const shippedRecipes = (): Map<string, string> => yamlFiles("./recipes/");

/**
 * The file of a recipe that is named: a shipped recipe's, else the name is the file's own path.
 * @throws RecipeError when it is neither.
 */
export function recipeFile(name: string): string {
  const shipped = shippedRecipes();
  const file = shipped.get(name) ?? name;
  if (!existsSync(file))
    throw new RecipeError([
      `${name}: must be a recipe file or a shipped recipe, got neither${nearest(name, shipped)}`,
    ]);
  return file;
}

/** ` (did you mean …?)` where some recipe's name is near. */
function nearest(name: string, recipes: ReadonlyMap<string, string>): string {
  const near = closest(name, [...recipes.keys()]);
  return near === undefined ? "" : ` (did you mean ${near}?)`;
}

/** What shipped recipes have in common, name → file; none of them is a whole recipe. */
const bases = (): Map<string, string> => yamlFiles("./recipes/bases/");

function yamlFiles(folder: string): Map<string, string> {
  const url = new URL(folder, import.meta.url);
  const files = readdirSync(url).filter((file) => file.endsWith(".yaml"));
  return new Map(
    files.sort().map((file) => [file.slice(0, -5), fileURLToPath(new URL(file, url))]),
  );
}

const textOf = (path: string): string => new TextDecoder().decode(readBytes(path));

const isGroup = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A file's layer, then that of what it extends, and so on; `above` are the files that led to it. */
function layersOf(text: string, source: string, above: readonly string[]): Layer[] {
  const layer = layerOf(text, source);
  // What is no group at all is for the schema to refuse.
  if (!isGroup(layer.values)) return [layer];
  const { extends: wanted, ...values } = layer.values;
  if (wanted === undefined) return [layer];
  const problem = (must: string): RecipeError =>
    new RecipeError([`${layer.locate(["extends"])!}: extends must be ${must}`]);
  if (typeof wanted !== "string")
    throw problem(`a recipe's name or file, got ${JSON.stringify(wanted)}`);
  const shipped = new Map([...bases(), ...shippedRecipes()]);
  const file = shipped.get(wanted) ?? resolve(dirname(source), wanted);
  if (!existsSync(file))
    throw problem(
      `a shipped recipe or a file, got ${JSON.stringify(wanted)}${nearest(wanted, shipped)}`,
    );
  const chain = [...above, resolve(source)];
  if (chain.includes(file)) throw problem(`another recipe, got itself by way of ${wanted}`);
  return [{ ...layer, values }, ...layersOf(textOf(file), file, chain)];
}

function layerOf(text: string, source: string): Layer {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => `${source}, line ${lines.linePos(offset).line}`;
  if (document.errors.length > 0)
    throw new RecipeError(
      document.errors.map(
        ({ message, pos }) => `${at(pos[0])}: must be YAML, got an error (${message})`,
      ),
    );
  let values: unknown;
  try {
    values = document.toJS({ maxAliasCount: 10 });
  } catch (cause) {
    throw new RecipeError([`${source}: must be plain YAML, got ${String(cause)}`]);
  }
  const locate = (path: Path): string | undefined => {
    const offset = offsetOf(document, path);
    return offset === undefined ? undefined : at(offset);
  };
  return { values: values as Layer["values"], locate };
}

/** What the layers say together, each over those below it, as a recipe. */
function recipeOf(layers: readonly Layer[], source: string): Recipe {
  const [first, ...others] = layers.map(({ values }) => values);
  const value = others.reduce((over, extended) => {
    const under = underMethod(extended, over);
    const merged = { ...under, ...over };
    for (const group of Object.keys(GROUPS)) {
      const [a, b] = [over[group], under[group]];
      if (isGroup(a) && isGroup(b)) merged[group] = { ...b, ...a };
    }
    return merged;
  }, first!);
  return checkedRecipe(value, (path) => {
    for (let length = path.length; length > 0; length--)
      for (const { locate } of layers) {
        const place = locate(path.slice(0, length));
        if (place !== undefined) return place;
      }
    return source;
  });
}

/** A recipe's settings in the order of the schema, those without a value left out. */
function ordered(settings: Recipe): Record<string, unknown> {
  const pick = (values: Readonly<Record<string, unknown>>, keys: readonly string[]) =>
    Object.fromEntries(
      keys.flatMap((key) => (values[key] === undefined ? [] : [[key, values[key]] as const])),
    );
  const out = pick(settings, KEYS);
  for (const [key, inner] of Object.entries(GROUPS))
    out[key] = pick(out[key] as Readonly<Record<string, unknown>>, inner);
  return out;
}

/** Where in the text the value at `path` begins, or its key when it has none. */
function offsetOf(document: Document.Parsed, path: Path): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const part of path) {
    if (!isMap(node)) return undefined;
    const pair = node.items.find(({ key }) => isScalar(key) && key.value === part);
    if (pair === undefined) return undefined;
    if (isScalar(pair.key)) offset = pair.key.range?.[0];
    node = pair.value;
  }
  return offset;
}
