/**
 * @file Every reader of files, on damaged and on random ones: it reads, or refuses in sentences, in
 * bounded time and memory. More by hand: `POTSTILL_FUZZ_FILES=20000 npx vitest run
 * test/distill/readers.test.ts`. What that finds becomes a case of `found-files.test.ts`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import fc from "fast-check";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { DataError } from "../../distill/data/dataset.ts";
import { FileError } from "../../distill/files.ts";
import { RecipeError } from "../../distill/recipe.ts";
import { ModelError } from "../../models/index.ts";
import { mutated, mutations } from "../support/mutation.ts";
import { otherNames, readers, type Reader } from "../support/readers.ts";

const RUNS = Number(process.env["POTSTILL_FUZZ_FILES"] ?? 60);
const SEED = Number(process.env["POTSTILL_FUZZ_SEED"] ?? 1);
/** Of the processor: how long the machine takes depends on what else it does. */
const MOST_MS = 1500;
const MOST_BYTES = 256 << 20;

let root: string;
beforeAll(() => {
  vi.stubEnv("POTSTILL_CACHE", "");
  root = mkdtempSync(join(tmpdir(), "potstill-readers-"));
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

/** What stands in a good file's place: a damaged copy, its beginning and noise, or noise alone. */
function badFiles(good: Uint8Array): fc.Arbitrary<Uint8Array> {
  const damaged = mutations(good.length, 256).map((changes) => mutated(good, changes));
  const noise = fc.uint8Array({ maxLength: 400 });
  const begun = fc
    .tuple(fc.nat(Math.min(good.length, 600)), noise)
    .map(([kept, rest]) => Buffer.concat([good.subarray(0, kept), rest]));
  return fc.oneof({ weight: 6, arbitrary: damaged }, { weight: 1, arbitrary: begun }, noise);
}

const EXPECTED = [FileError, DataError, RecipeError, ModelError];

/** Reads, and returns whether it was refused, as it must be. */
async function refused({ read, lenient }: Reader, folder: string): Promise<boolean> {
  try {
    await read(folder);
    return false;
  } catch (error) {
    if (lenient || !EXPECTED.some((kind) => error instanceof kind)) throw error;
    const { message } = error as Error;
    // Recipes have a sentence for each problem.
    const sentences = error instanceof RecipeError ? message.split("\n") : [message];
    for (const sentence of sentences) expect(sentence).toMatch(/^\S.{0,600}: \S.{0,600}$/);
    return true;
  }
}

it.each(Object.entries(readers))(
  "of %s reads or refuses, whatever the file",
  async (name, reader) => {
    const folder = mkdtempSync(join(root, "files-"));
    const files = await reader.make(folder);
    const good = new Map(files.map((file) => [file, readFileSync(join(folder, file))]));
    expect(await refused(reader, folder), name).toBe(name === "run.lock");
    const bad = fc
      .constantFrom(...good)
      .chain(([file, content]) => badFiles(content).map((bytes) => ({ file, bytes })));
    let count = 0;
    const before = process.memoryUsage().arrayBuffers;
    await fc.assert(
      fc.asyncProperty(bad, async ({ file, bytes }) => {
        for (const [other, content] of good) writeFileSync(join(folder, other), content);
        writeFileSync(join(folder, file), bytes);
        const begun = process.cpuUsage();
        if (await refused(reader, folder)) count++;
        const { user } = process.cpuUsage(begun);
        expect(user / 1000).toBeLessThan(MOST_MS);
      }),
      { numRuns: RUNS, seed: SEED },
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MOST_BYTES);
    if (!reader.lenient && name !== "checkpoint" && name !== "unfinished teacher")
      expect(count).toBeGreaterThan(RUNS / 6);
  },
  60_000 + 20 * RUNS,
);

/** Names by which something of the package reads files. */
const READS =
  /^(?:read|decode|parse|load|import|unpickle|gunzip|unpacked|detect|kindOf|check|find|identify|last|list|known)[A-Z]?|^(?:tarFiles|ZipArchive|locked|Unfinished\w+)$/;

it("has a row for every function that reads files", async () => {
  const source = fileURLToPath(new URL("../../distill/", import.meta.url));
  const modules = readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /(?<!\.d)\.ts$/.test(entry.name))
    .map((entry) => relative(source, join(entry.parentPath, entry.name)))
    .filter((path) =>
      /^(?:formats|data|exchange|resume|report|cluster|teachers)\/|^[\w-]+\.ts$/.test(path),
    )
    .filter((path) => !path.startsWith("report/page/"));
  expect(modules.length).toBeGreaterThan(60);
  const names = new Set<string>();
  for (const path of modules) {
    const module = (await import(join(source, path))) as Record<string, unknown>;
    for (const [name, value] of Object.entries(module))
      if (typeof value === "function" && READS.test(name)) names.add(name);
  }
  const rows = new Set(Object.values(readers).flatMap((reader) => reader.of));
  expect([...names].filter((name) => !rows.has(name) && !(name in otherNames))).toEqual([]);
  expect(Object.keys(otherNames).filter((name) => rows.has(name))).toEqual([]);
});
