/** @file What kind of distilled set or trajectories a file or folder holds, by its content. */
import { readdirSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";

import { fileError, FileError } from "../files.ts";
import { OpenFile } from "../formats/source.ts";
import { isZip, ZipArchive } from "../formats/zip.ts";
import { listTeachers } from "../teachers/trajectory.ts";
import { isPictureFolder } from "./picture-folder.ts";
import { isPublishedSet } from "./published-set.ts";
import { replayBuffers } from "./replay-buffer.ts";

/** Kinds of distilled sets. */
export const SETS = ["safetensors", "npz", "png", "published"] as const;
/** Kinds of trajectories: a folder of our teachers, and the published layout. */
export const TRAJECTORIES = ["teachers", "replay"] as const;

export type SetKind = (typeof SETS)[number];
export type TrajectoryKind = (typeof TRAJECTORIES)[number];
export type Kind = SetKind | TrajectoryKind;

export const isSet = (kind: Kind): kind is SetKind => SETS.some((set) => set === kind);

/** What is at `path`. Throws `FileError` when it is none of the kinds, or can't be read. */
export function kindOf(path: string): Kind {
  let folder: boolean;
  try {
    folder = statSync(path).isDirectory();
  } catch (cause) {
    throw fileError(path, "readable", cause);
  }
  return folder ? kindOfFolder(path) : kindOfFile(path);
}

function kindOfFolder(path: string): Kind {
  if (isPublishedSet(path)) return "published";
  if (isPictureFolder(path)) return "png";
  if (replayBuffers(path).length > 0) return "replay";
  if (listTeachers(path).length > 0) return "teachers";
  const sets = readdirSync(path).filter((name) => /^distilled-ipc\d+\.safetensors$/.test(name));
  if (sets.length > 0) {
    throw new FileError(
      `${path}: must be one set or its teachers, got a run (name ${join(path, sets[0]!)} or ${join(path, "buffer")})`,
    );
  }
  throw new FileError(
    `${path}: a folder must hold images_best.pt, labels.csv, replay_buffer_0.pt or teacher-0000.safetensors, got none of them`,
  );
}

function kindOfFile(path: string): Kind {
  using source = new OpenFile(path);
  const start = source.read(0, Math.min(source.size, 10));
  if (isZip(start)) {
    const { entries } = new ZipArchive(source);
    if (entries.some(({ path: name }) => name.endsWith("/data.pkl"))) return pickled(path);
    if (entries.some(({ path: name }) => name.endsWith(".npy"))) return "npz";
  }
  // The older .pt format starts with a pickle, a safetensors file with a length and a JSON object.
  if (start[0] === 0x80 && start[1] === 2) return pickled(path);
  if (start[8] === 0x7b) return "safetensors";
  throw new FileError(
    `${path}: must be a distilled set (.safetensors or .npz) or a replay buffer (.pt), got another file`,
  );
}

/** A .pt file is a replay buffer, unless it is a part of a published set. */
function pickled(path: string): Kind {
  if (!/^(?:images|labels|lr)_/.test(basename(path))) return "replay";
  throw new FileError(`${path}: a published set must be named by its folder, got one of its files`);
}

/** The kind that a path to be written asks for by its ending, where there is one. */
export function kindByEnding(path: string): Kind | undefined {
  const ending = extname(path).toLowerCase();
  if (ending === ".safetensors") return "safetensors";
  return ending === ".npz" ? "npz" : undefined;
}
