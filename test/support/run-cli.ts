/** @file Programs of the package in a process of their own, as a user starts them, and what they leave. */

import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  /** Without the lines that Dawn and the Vulkan driver print. */
  readonly stderr: string;
}

const ROOT = new URL("../../", import.meta.url);
/** By its place, so that it is found from every folder. */
const LOADER = import.meta.resolve("tsx");
const DRIVER = /^Warning: max\w+ artificially reduced .*\n/gm;

/** Starts `script`, a path from the root, in the folder `cwd`. */
function start(
  script: string,
  args: readonly string[],
  cwd: string,
  environment: NodeJS.ProcessEnv,
) {
  return spawn(
    process.execPath,
    ["--import", LOADER, fileURLToPath(new URL(script, ROOT)), ...args],
    { cwd, env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] },
  );
}

/** Runs `script`, a path from the root, in the folder `cwd` and waits for its end. */
export async function runScript(
  script: string,
  args: readonly string[],
  cwd: string = fileURLToPath(ROOT),
  environment: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const child = start(script, args, cwd, environment);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr: stderr.replace(DRIVER, "") };
}

/** Runs `potstill` with the arguments, in the folder `cwd`. */
export function runCli(
  args: readonly string[],
  cwd?: string,
  environment?: NodeJS.ProcessEnv,
): Promise<Finished> {
  return runScript("bench/potstill.ts", args, cwd, environment);
}

/** Starts `potstill` with the arguments, in the folder `cwd`, and leaves it alone. */
export function startCli(args: readonly string[], cwd: string): ChildProcess {
  const child = start("bench/potstill.ts", args, cwd, {});
  child.stdout.resume();
  child.stderr.resume();
  return child;
}

/** Contents of all files under a folder by their paths, without the times, which differ every time. */
export function contents(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(folder, path), readFileSync(path, "latin1")] as const)
      .map(([path, content]) => [path, path.endsWith("timing.jsonl") ? "" : content] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
