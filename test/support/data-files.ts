/** @file Small files of data sets, made and damaged for tests. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import fc from "fast-check";
import { expect } from "vitest";

import { DataError } from "../../distill/data/dataset.ts";
import { FileError } from "../../distill/files.ts";
import { mutated, mutations } from "./mutation.ts";

/** Files of a folder by relative path. */
export type Files = Readonly<Record<string, Uint8Array | string>>;

/** Writes the files into a folder that holds nothing else. */
export function writeFiles(folder: string, files: Files): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

/** All files but some. */
export const without = (files: Files, ...names: readonly string[]): Files =>
  Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)));

/** An IDX file of bytes. */
export function idx(shape: readonly number[], data: ArrayLike<number>): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = 8;
  header[3] = shape.length;
  shape.forEach((axis, i) => header.writeUInt32BE(axis, 4 + 4 * i));
  return Buffer.concat([header, Uint8Array.from(data)]);
}

/** Bytes that look random and are the same every time. */
export function noise(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** Records of CIFAR-10 in the official binary layout: classes by turns, images of noise. */
export const cifarRecords = (count: number, seed: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, i) => [Uint8Array.of(i % 10), noise(3072, seed + i)]).flat(),
  );

/**
 * Loads the files 500 times, one of them damaged each time: `load` may succeed or refuse them in one
 * sentence that names the folder, and nothing else; at least `least` times it must refuse.
 */
export async function expectOnlyRefusals(
  folder: string,
  files: Files,
  load: (folder: string) => Promise<unknown>,
  { least = 100, headBytes = 64 }: { least?: number; headBytes?: number } = {},
): Promise<void> {
  writeFiles(folder, files);
  const entries = Object.entries(files).map(
    ([path, content]) => [path, Buffer.from(content)] as const,
  );
  const one = fc
    .constantFrom(...entries)
    .chain(([path, bytes]) =>
      mutations(bytes.length, headBytes).map((changes) => ({ path, bytes, changes })),
    );
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(one, async ({ path, bytes, changes }) => {
      writeFileSync(join(folder, path), mutated(bytes, changes));
      try {
        await load(folder);
      } catch (error) {
        refused++;
        if (!(error instanceof DataError || error instanceof FileError)) throw error;
        expect(error.message).toContain(folder);
        expect(error.message).not.toContain("\n");
      } finally {
        writeFileSync(join(folder, path), bytes);
      }
    }),
    { numRuns: 500, seed: 11 },
  );
  expect(refused).toBeGreaterThan(least);
}

/** The refusal of `load`, paths under the folder shortened. */
export async function refusal(load: () => Promise<unknown>, folder: string): Promise<string> {
  try {
    await load();
  } catch (error) {
    if (!(error instanceof DataError || error instanceof FileError)) throw error;
    return error.message.replaceAll(`${folder}/`, "").replaceAll(folder, "the folder");
  }
  throw new Error("the files were accepted");
}
