/** @file The choice among kernels: measured when asked for, remembered on disk, and without effect on results. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Gpu, matmul, Program, variable } from "../../../engine/index.ts";
import { cacheFolder, Choices } from "../../../engine/gpu/choices.ts";

/** More work than it takes to start a kernel, and offered in several ways. */
const PROCEDURES = {
  main: { y: matmul(variable("a", [128, 64]), variable("b", [64, 96])) },
};
const SMALL = { main: { y: matmul(variable("a", [16, 8]), variable("b", [8, 16])) } };

let scratch = "";
let folder = "";

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "potstill-test-"));
  folder = join(scratch, "cache");
  vi.stubEnv("POTSTILL_CACHE", folder);
  vi.stubEnv("POTSTILL_TUNE", "");
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true });
});

type Options = Parameters<typeof Program.compile>[2];

/** The shader that a device of its own takes, as a process of its own would. */
async function taken(options: Options = {}, procedures = PROCEDURES): Promise<string> {
  using gpu = await Gpu.open();
  using program = await Program.compile(gpu, procedures, options);
  return program.shaders("main")[0]!;
}

interface File {
  version: number;
  adapter: string;
  choices: Record<string, number>;
}

const files = (): string[] => readdirSync(scratch, { recursive: true, encoding: "utf8" });

/** The one file of the cache. */
function cacheFile(): { path: string; content: File } {
  const names = readdirSync(folder);
  expect(names).toEqual([expect.stringMatching(/^kernels-[0-9a-f]{16}\.json$/)]);
  const path = join(folder, names[0]!);
  return { path, content: JSON.parse(readFileSync(path, "utf8")) as File };
}

/** Measures, and makes the file say what it would hardly have found: that the last candidate is fastest. */
async function rememberTheLast(): Promise<{ last: string; path: string; content: File }> {
  const last = await taken({ candidate: 99 });
  expect(last).not.toBe(await taken({ candidate: 0 }));
  await taken({ tune: true });
  const { path, content } = cacheFile();
  const [key] = Object.keys(content.choices);
  let number = 0;
  while ((await taken({ candidate: number })) !== last) number++;
  const changed = { ...content, choices: { [key!]: number } };
  writeFileSync(path, JSON.stringify(changed));
  return { last, path, content: changed };
}

describe("a kernel that was not measured", () => {
  test("is the first candidate, and nothing is written", async () => {
    expect(await taken()).toBe(await taken({ candidate: 0 }));
    expect(files()).toEqual([]);
  });

  test("is measured when asked for, by the option or by POTSTILL_TUNE", async () => {
    await taken({ tune: true });
    const { path, content } = cacheFile();
    expect(Object.keys(content.choices)).toHaveLength(1);
    rmSync(path);
    vi.stubEnv("POTSTILL_TUNE", "1");
    await taken();
    expect(Object.keys(cacheFile().content.choices)).toEqual(Object.keys(content.choices));
  });

  test("is not measured where it has too little to do", async () => {
    await taken({ tune: true }, SMALL);
    expect(files()).toEqual([]);
  });
});

describe("a kernel that was measured", () => {
  test("is what was fastest, with and without tuning, and is not measured again", async () => {
    const { last, content } = await rememberTheLast();
    expect(await taken()).toBe(last);
    expect(await taken({ tune: true })).toBe(last);
    expect(cacheFile().content).toEqual(content);
  });

  test("keeps what other processes add meanwhile", async () => {
    using gpu = await Gpu.open();
    const [one, other] = [new Choices(gpu.facts), new Choices(gpu.facts)];
    one.add(new Map([["one", 1]]));
    other.add(new Map([["other", 2]]));
    expect(cacheFile().content.choices).toEqual({ one: 1, other: 2 });
    expect(new Choices(gpu.facts).get("one")).toBe(1);
  });
});

describe("a file that is of no use", () => {
  const useless: readonly (readonly [string, (content: File) => unknown])[] = [
    ["was cut off", (content) => JSON.stringify(content).slice(0, -9)],
    ["is empty", () => ""],
    ["is no object", () => "[1]"],
    ["has no numbers", (content) => ({ ...content, choices: { key: "first" } })],
    ["is of another adapter", (content) => ({ ...content, adapter: "another" })],
    ["is of another version", (content) => ({ ...content, version: 0 })],
    [
      "names a candidate that is not there",
      ({ choices, ...content }) => ({
        ...content,
        choices: Object.fromEntries(Object.keys(choices).map((key) => [key, 99])),
      }),
    ],
  ];

  test.each(useless)("because it %s is ignored, and written anew", async (_, damage) => {
    const { path, content } = await rememberTheLast();
    const damaged = damage(content);
    writeFileSync(path, typeof damaged === "string" ? damaged : JSON.stringify(damaged));
    expect(await taken()).toBe(await taken({ candidate: 0 }));
    await taken({ tune: true });
    const written = cacheFile().content;
    expect({ ...written, choices: Object.keys(written.choices) }).toEqual({
      ...content,
      choices: Object.keys(content.choices),
    });
    expect(Object.values(written.choices)[0]).toBeLessThan(99);
  });
});

describe("the folder of the cache", () => {
  test("is POTSTILL_CACHE, or else below XDG_CACHE_HOME or the home", () => {
    expect(cacheFolder()).toBe(folder);
    vi.stubEnv("POTSTILL_CACHE", undefined);
    vi.stubEnv("XDG_CACHE_HOME", scratch);
    expect(cacheFolder()).toBe(join(scratch, "potstill"));
    vi.stubEnv("XDG_CACHE_HOME", "");
    vi.stubEnv("HOME", scratch);
    expect(cacheFolder()).toBe(join(scratch, ".cache", "potstill"));
  });

  test.each(["", "file/below"])("may be none: %j", async (none) => {
    writeFileSync(join(scratch, "file"), "");
    vi.stubEnv("POTSTILL_CACHE", none === "" ? "" : join(scratch, none));
    await expect(taken({ tune: true })).resolves.toContain("Matrix products");
    expect(files()).toEqual(["file"]);
  });
});
