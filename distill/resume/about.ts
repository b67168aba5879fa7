/** @file `run.json`: what a run's folder says of itself: which program, adapter and recipe made it. */
import { execFileSync, type StdioOptions } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { z } from "zod";

import type { AdapterFacts } from "../../engine/index.ts";
import { BASELINES } from "../evaluation/baselines.ts";
import { FileError, readBytes, writeAtomic } from "../files.ts";

const FORMAT = "potstill-run";
const VERSION = 1;

const maker = z.object({
  potstill: z.string(),
  /** Of the program's own repository, where it runs from one. */
  commit: z.string().optional(),
  node: z.string(),
  webgpu: z.string(),
  adapter: z.string(),
  driver: z.string(),
  backend: z.string(),
});
/** What computes: where it is the same, so are the bits. */
export type Maker = Readonly<z.infer<typeof maker>>;

const about = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  command: z.enum(["distill", "compare"]),
  /** The recipes' ids, by the names of the runs in a comparison. */
  recipes: z.record(z.string(), z.string()),
  /** Of a comparison: its recipes in their order, networks and baselines. */
  comparison: z
    .object({
      entries: z.array(z.string()).min(1),
      networks: z.string(),
      baselines: z.array(z.enum(BASELINES)),
    })
    .optional(),
  seed: z.int(),
  precision: z.enum(["f32", "f16"]),
  made_by: maker,
  /** Others that went on with it. */
  resumed_by: z.array(maker),
});
export type About = Readonly<z.infer<typeof about>>;

export const aboutFile = (folder: string): string => join(folder, "run.json");

/** Versions of what makes runs. */
export function versionsWith(facts: AdapterFacts): Record<"potstill" | "webgpu" | "node", string> {
  return {
    potstill: packaged().version,
    webgpu: facts.webgpuVersion,
    node: process.versions.node,
  };
}

export function makerOf(facts: AdapterFacts): Maker {
  const commit = commitOf();
  const { name: adapter, driver, backend } = facts;
  const { potstill, webgpu, node } = versionsWith(facts);
  return {
    potstill,
    ...(commit === undefined ? {} : { commit }),
    node,
    webgpu,
    adapter,
    driver,
    backend,
  };
}

/** Writes `run.json`. Throws `FileError`. */
export function writeAbout(folder: string, told: Omit<About, "format" | "version">): void {
  const value = { format: FORMAT, version: VERSION, ...told } satisfies About;
  writeAtomic(aboutFile(folder), `${JSON.stringify(value, null, 2)}\n`);
}

/**
 * What `run.json` in a folder says.
 * @throws FileError when there is none, it is damaged, or a newer version wrote it.
 */
export function readAbout(folder: string): About {
  const path = aboutFile(folder);
  if (!existsSync(folder))
    throw new FileError(`${folder}: must be the folder of a run, got no such folder`);
  if (!existsSync(path))
    throw new FileError(`${folder}: must be the folder of a run, got one without run.json`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(readBytes(path)));
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(`${path}: must be JSON, got something else (the file is damaged)`);
  }
  const { format, version } = (value ?? {}) as Record<string, unknown>;
  if (format === FORMAT && version !== VERSION)
    throw new FileError(
      `${path}: must be of version ${VERSION}, got ${String(version)}; use the potstill that wrote it`,
    );
  const parsed = about.safeParse(value);
  if (parsed.success) return parsed.data;
  const key = parsed.error.issues[0]!.path.join(".");
  throw new FileError(`${path}: must be what a run says of itself, got another ${key || "value"}`);
}

/** What differs between makers, in words; nothing where bits are the same. */
export function unlike(before: Maker, now: Maker): string | undefined {
  const keys = Object.keys(maker.shape) as (keyof Maker)[];
  const others = keys.filter((key) => before[key] !== now[key]);
  if (others.length === 0) return undefined;
  const told = others.map(
    (key) => `${key} ${before[key] ?? "unknown"} is now ${now[key] ?? "unknown"}`,
  );
  return `${told.join(", ")}: results may differ in their last bits`;
}

/** The package's own manifest, and where it is. */
function packaged(): { readonly version: string; readonly root: string } {
  const require = createRequire(import.meta.url);
  const path = require.resolve("potstill/package.json");
  const { version } = JSON.parse(readFileSync(path, "utf8")) as { version: string };
  return { version, root: dirname(path) };
}

/** The commit that is checked out, where the program runs from its repository. */
function commitOf(): string | undefined {
  const { root } = packaged();
  if (!existsSync(join(root, ".git"))) return undefined;
  try {
    const quiet: StdioOptions = ["ignore", "pipe", "ignore"];
    const words = ["rev-parse", "HEAD"];
    return execFileSync("git", words, { cwd: root, encoding: "utf8", stdio: quiet }).trim();
  } catch {
    return undefined;
  }
}
