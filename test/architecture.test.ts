/** @file The house rules that a type checker does not know: file lengths, headers, and which way imports go. */

import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

const ROOT = new URL("../", import.meta.url);

/** Path and text of every file of an ending under the folders. */
function files(folders: readonly string[], ending: string): { path: string; text: string }[] {
  return folders.flatMap((folder) =>
    readdirSync(new URL(folder, ROOT), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(ending))
      .map((file) => `${folder}/${file}`)
      .map((path) => ({ path, text: readFileSync(new URL(path, ROOT), "utf8") })),
  );
}

const SOURCES = [".ts", ".tsx"].flatMap((ending) => files(["engine", "models", "distill"], ending));
const TESTS = files(["test"], ".ts");
const SHADERS = files(["shaders"], ".wgsl");

/** Lines that are neither blank nor comment, as ESLint's max-lines counts them. */
function codeLines(text: string): number {
  const lines = text.replace(/\/\*[^]*?\*\//g, "").split("\n");
  return lines.filter((line) => line.trim() !== "" && !line.trim().startsWith("//")).length;
}

/** What a file imports, as paths from the root; packages as they are written. */
function imports({ path, text }: { path: string; text: string }): string[] {
  const names = [...text.matchAll(/(?:\bfrom|^import|\bimport\()\s*"([^"]+)"/gm)];
  return names.map(([, name]) =>
    name!.startsWith(".")
      ? new URL(name!, new URL(path, ROOT)).href.slice(ROOT.href.length)
      : name!,
  );
}

/** Folders, and what files in them must not import. */
const ARROWS: readonly (readonly [folder: string, forbidden: RegExp])[] = [
  ["engine/graph/", /^engine\/(?!graph\/)/],
  ["engine/ops/", /^engine\/(?!(?:graph|ops)\/)/],
  ["engine/autodiff/", /^engine\/(?!(?:graph|ops|autodiff)\/)/],
  ["engine/cpu/", /^engine\/(?!(?:graph|cpu)\/)/],
  ["engine/gpu/", /^engine\/(?!(?:graph|ops|gpu)\/)/],
  ["engine/", /^(?:models|distill|bench|test)\//],
  ["models/", /^(?:distill|bench|test)\/|^engine\/(?!index\.ts$)/],
  ["distill/", /^(?:bench|test)\/|^engine\/(?!index\.ts$)/],
];

describe("a file", () => {
  test("has at most 400 lines of code", () => {
    const long = [...SOURCES, ...TESTS, ...SHADERS].filter(({ text }) => codeLines(text) > 400);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  test("starts by telling its subject", () => {
    const header = /^(?:#!.*\n)?\/\*\*\s+(?:\* )?@file \S/;
    const silent = [...SOURCES, ...TESTS].filter(({ text }) => !header.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test("of a shader starts with a comment", () => {
    expect(SHADERS.filter(({ text }) => !text.startsWith("// ")).map(({ path }) => path)).toEqual(
      [],
    );
  });

  test("is not named after nothing", () => {
    const empty = /\/(?:utils?|helpers?|common|types|manager|misc)\.ts$/;
    expect([...SOURCES, ...TESTS].filter(({ path }) => empty.test(path))).toEqual([]);
  });

  test("has no default export", () => {
    expect(
      SOURCES.filter(({ text }) => /^export default /m.test(text)).map(({ path }) => path),
    ).toEqual([]);
  });
});

describe("imports", () => {
  test.each(ARROWS)("of %s go one way", (folder, forbidden) => {
    const inside = SOURCES.filter(({ path }) => path.startsWith(folder));
    expect(inside.length).toBeGreaterThan(0);
    const wrong = inside.flatMap((file) =>
      imports(file)
        .filter((name) => forbidden.test(name))
        .map((name) => `${file.path} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("of WebGPU are in engine/gpu alone", () => {
    const wrong = SOURCES.filter(
      (file) => !file.path.startsWith("engine/gpu/") && imports(file).includes("webgpu"),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
    const buffers = SOURCES.filter(
      ({ path, text }) => !path.startsWith("engine/gpu/") && /\bGPU[A-Z]\w+/.test(text),
    );
    expect(buffers.map(({ path }) => path)).toEqual([]);
  });

  test("are found by the pattern that looks for them", () => {
    const example = { path: "models/x.ts", text: 'import { a } from "../engine/ops/pool.ts";\n' };
    expect(imports(example)).toEqual(["engine/ops/pool.ts"]);
    expect(SOURCES.flatMap(imports).length).toBeGreaterThan(100);
  });
});
