/** @file What was measured to be fastest on an adapter, remembered from process to process. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { AdapterFacts, Gpu } from "./device.ts";

/** Format of the file; another one is not read. */
const VERSION = 1;

/** What measurements hold for. */
const identityOf = ({ name, driver, backend, checks, subgroupSize, webgpuVersion }: AdapterFacts) =>
  JSON.stringify({ name, driver, backend, checks, subgroupSize, webgpuVersion });

export const hashOf = (text: string): string =>
  createHash("sha256").update(text).digest("hex").slice(0, 32);

/**
 * The folder of the cache: `POTSTILL_CACHE`, none if that is empty; else `potstill` in
 * `XDG_CACHE_HOME` or in `~/.cache`.
 */
export function cacheFolder(): string | undefined {
  const own = process.env["POTSTILL_CACHE"];
  if (own !== undefined) return own === "" ? undefined : own;
  const caches = process.env["XDG_CACHE_HOME"];
  return join(
    caches === undefined || caches === "" ? join(homedir(), ".cache") : caches,
    "potstill",
  );
}

/** Numbers of the fastest candidates by key. A file that cannot be read or written is as good as none. */
export class Choices {
  readonly file: string | undefined;
  private readonly identity: string;
  private readonly known: Map<string, number>;

  constructor(facts: AdapterFacts, folder = cacheFolder()) {
    this.identity = identityOf(facts);
    const file = `kernels-${hashOf(this.identity).slice(0, 16)}.json`;
    this.file = folder === undefined ? undefined : join(folder, file);
    this.known = this.load();
  }

  get(key: string): number | undefined {
    return this.known.get(key);
  }

  /** Adds choices, to those that other processes may have added meanwhile too, and writes the file. */
  add(choices: ReadonlyMap<string, number>): void {
    for (const [key, choice] of [...this.load(), ...choices]) this.known.set(key, choice);
    if (this.file === undefined) return;
    const choicesByKey = Object.fromEntries([...this.known].sort(([a], [b]) => (a < b ? -1 : 1)));
    const content = { version: VERSION, adapter: this.identity, choices: choicesByKey };
    try {
      replace(this.file, `${JSON.stringify(content, null, 2)}\n`);
    } catch {
      // A folder that cannot be written is no cache.
    }
  }

  private load(): Map<string, number> {
    if (this.file === undefined) return new Map();
    try {
      const content: unknown = JSON.parse(readFileSync(this.file, "utf8"));
      return new Map(this.isOurs(content) ? Object.entries(content.choices) : []);
    } catch {
      return new Map();
    }
  }

  private isOurs(content: unknown): content is { choices: Record<string, number> } {
    if (typeof content !== "object" || content === null) return false;
    const { version, adapter, choices } = content as Record<string, unknown>;
    if (version !== VERSION || adapter !== this.identity) return false;
    if (typeof choices !== "object" || choices === null) return false;
    return Object.values(choices).every((choice) => Number.isInteger(choice));
  }
}

/** Writes a file that nobody sees half written. */
function replace(file: string, text: string): void {
  const temporary = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true });
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

const opened = new WeakMap<Gpu, Choices>();

/** The choices of a device's adapter, loaded once. */
export function choicesOf(gpu: Gpu): Choices {
  let choices = opened.get(gpu);
  if (!choices) opened.set(gpu, (choices = new Choices(gpu.facts)));
  return choices;
}
