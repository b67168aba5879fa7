/**
 * @file Checkpoints of a run: all that it needs to go on after an iteration. The newest is kept and the
 * one before it, so that a damaged file costs some iterations only.
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { FileError, fileError, FileUnderWay } from "../files.ts";
import { decodeFloats, decodeHeader, encodeHeader } from "../formats/safetensors.ts";
import type { MatchState } from "../matching/match.ts";
import { recipeToYaml } from "../recipe-file.ts";
import type { Recipe } from "../recipe.ts";
import { withFile } from "../teachers/trajectory.ts";

const FORMAT = "potstill-checkpoint";
const VERSION = 1;

export interface Checkpoint {
  readonly state: MatchState;
  /** Iterations so far that changed nothing. */
  readonly skipped: number;
  /** How long the run's logs were, in bytes: what comes after was of iterations that are done again. */
  readonly logs: Readonly<Record<string, number>>;
}

type Floats = Float32Array<ArrayBuffer>;

/** What is not a tensor, as JSON. */
interface Saved extends Omit<Checkpoint, "state"> {
  /** What the run was to do. */
  readonly recipe: string;
  readonly state: Omit<MatchState, TensorName | "best">;
  readonly best: { readonly iteration: number; readonly score: number; readonly lr: number } | null;
}

const TENSORS = [
  ...(["images", "labels", "velocityImages", "velocityLabels"] as const),
  "averageImages",
] as const satisfies readonly (keyof MatchState)[];
type TensorName = (typeof TENSORS)[number];

/** What tells one recipe from another. */
export const recipeId = (recipe: Recipe): string =>
  createHash("sha256").update(recipeToYaml(recipe)).digest("hex").slice(0, 16);

/** The newest checkpoint of a run, then the one before it. */
const generations = (folder: string, { ipc }: Pick<Recipe, "ipc">): [string, string] => [
  join(folder, `checkpoint-ipc${ipc}.safetensors`),
  join(folder, `checkpoint-ipc${ipc}.before.safetensors`),
];

/**
 * Writes a checkpoint of the run in `folder`; `logs` names its logs, which are brought to the disk first.
 * The newest there is becomes the one before. Throws `FileError`.
 */
export function writeCheckpoint(
  folder: string,
  recipe: Recipe,
  { state, skipped }: Pick<Checkpoint, "state" | "skipped">,
  logs: readonly string[],
): void {
  const { best, ...rest } = state;
  const scalars = Object.entries(rest).filter(([, value]) => !(value instanceof Float32Array));
  const saved: Saved = {
    recipe: recipeId(recipe),
    skipped,
    logs: Object.fromEntries(logs.map((name) => [name, syncedBytes(join(folder, name))])),
    state: Object.fromEntries(scalars) as Saved["state"],
    best: best ? { iteration: best.iteration, score: best.score!, lr: best.lr } : null,
  };
  const tensors: [string, Floats][] = TENSORS.flatMap((name) =>
    state[name] ? [[name, state[name]] as [string, Floats]] : [],
  );
  if (best) tensors.push(["bestImages", best.images], ["bestLabels", best.labels]);
  const json = JSON.stringify(saved);
  const header = encodeHeader(
    Object.fromEntries(
      tensors.map(([name, { length }]) => [name, { dtype: "F32", shape: [length] }]),
    ),
    {
      format: FORMAT,
      version: String(VERSION),
      saved: json,
      checksum: checksumOf(
        json,
        tensors.map(([, values]) => values),
      ),
    },
  );
  const [newest, before] = generations(folder, recipe);
  using file = new FileUnderWay(newest);
  file.write(header);
  for (const [, values] of tensors) file.write(bytesOf(values));
  if (existsSync(newest)) renamed(newest, before);
  file.commit();
}

/** A run's checkpoint, or none, and why others are of no use. */
export interface Found {
  readonly checkpoint?: Checkpoint;
  readonly damage: readonly string[];
}

/**
 * The last good checkpoint of a run.
 * @throws FileError when there is one of another recipe, or that a newer version wrote.
 */
export function lastCheckpoint(folder: string, recipe: Recipe): Found {
  const damage: string[] = [];
  for (const path of generations(folder, recipe)) {
    if (!existsSync(path)) continue;
    try {
      const checkpoint = readCheckpoint(path, recipe);
      for (const [name, bytes] of Object.entries(checkpoint.logs)) checkLength(folder, name, bytes);
      return { checkpoint, damage };
    } catch (error) {
      if (!(error instanceof FileError) || error instanceof OtherRun) throw error;
      damage.push(error.message);
    }
  }
  return { damage };
}

/** The earliest good checkpoint of a run: there are iterations after it to look at. Throws as {@link lastCheckpoint}. */
export function earliestCheckpoint(folder: string, recipe: Recipe): Checkpoint | undefined {
  const [newest, before] = generations(folder, recipe);
  for (const path of [before, newest]) {
    try {
      if (existsSync(path)) return readCheckpoint(path, recipe);
    } catch (error) {
      if (!(error instanceof FileError) || error instanceof OtherRun) throw error;
    }
  }
  return undefined;
}

/** Whether there is a good checkpoint of the recipe. */
export function hasCheckpoint(folder: string, recipe: Recipe): boolean {
  try {
    return lastCheckpoint(folder, recipe).checkpoint !== undefined;
  } catch (error) {
    if (error instanceof OtherRun) return false;
    throw error;
  }
}

/** Removes the checkpoints of a run. Throws `FileError`. */
export function removeCheckpoints(folder: string, recipe: Pick<Recipe, "ipc">): void {
  for (const path of generations(folder, recipe).reverse()) {
    try {
      rmSync(path, { force: true });
    } catch (cause) {
      throw fileError(path, "writable", cause);
    }
  }
}

/** A checkpoint that is whole, but not of this run: it is not to be replaced. */
class OtherRun extends FileError {}

function readCheckpoint(path: string, recipe: Recipe): Checkpoint {
  return withFile(path, (read, size) => {
    const { tensors, metadata } = decodeHeader(read, size, path);
    const { format, version, saved: json = "", checksum } = metadata;
    if (format !== FORMAT) throw new FileError(`${path}: must be a checkpoint, got another file`);
    if (version !== String(VERSION))
      throw new OtherRun(
        `${path}: must be of version ${VERSION}, got ${version ?? "none"}; go on with the potstill that wrote it`,
      );
    const values = Object.entries(tensors).map(([name, { begin, end }]): [string, Floats] => [
      name,
      decodeFloats("F32", read(begin, end - begin)),
    ]);
    if (
      checksum !==
      checksumOf(
        json,
        values.map(([, floats]) => floats),
      )
    )
      throw new FileError(`${path}: must have its checksum, got another (the file is damaged)`);
    const saved = JSON.parse(json) as Saved;
    if (saved.recipe !== recipeId(recipe))
      throw new OtherRun(
        `${path}: must be of the run's recipe (${recipeId(recipe)}), got one of ${saved.recipe}`,
      );
    const { bestImages, bestLabels, ...arrays } = Object.fromEntries(values);
    const { skipped, logs, best } = saved;
    const kept = best ? { ...best, images: bestImages!, labels: bestLabels! } : undefined;
    return { skipped, logs, state: { ...saved.state, ...arrays, best: kept } as MatchState };
  });
}

/** Of everything saved. */
const checksumOf = (saved: string, tensors: readonly Floats[]): string =>
  String(crc32(JSON.stringify([saved, ...tensors.map((values) => crc32(bytesOf(values)))])));

const bytesOf = (values: Floats): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Bytes of a log, all of them on the disk. */
function syncedBytes(path: string): number {
  let file: number | undefined;
  try {
    file = openSync(path, "a");
    fsyncSync(file);
    return statSync(path).size;
  } catch (cause) {
    throw fileError(path, "writable", cause);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function checkLength(folder: string, name: string, bytes: number): void {
  const path = join(folder, name);
  const got = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (got < bytes)
    throw new FileError(`${path}: must have the ${bytes} bytes of its checkpoint, got ${got}`);
}

function renamed(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (cause) {
    throw fileError(from, "writable", cause);
  }
}
