/** @file What the package says that it exports is there once it is built. */
import { existsSync, readFileSync } from "node:fs";

import { expect, it } from "vitest";

import * as engine from "../../engine/index.ts";
import * as potstill from "../../distill/index.ts";
import * as models from "../../models/index.ts";

it("has a source for every entry of the package's exports", () => {
  const manifest = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  ) as { exports: Record<string, string | { types: string; default: string }> };
  for (const [name, entry] of Object.entries(manifest.exports)) {
    if (typeof entry === "string") continue;
    const source = entry.default.replace("./dist/", "../../").replace(/\.js$/, ".ts");
    expect(existsSync(new URL(source, import.meta.url)), name).toBe(true);
    expect(entry.types, name).toBe(entry.default.replace(/\.js$/, ".d.ts"));
  }
});

it("offers the way from a recipe to a distilled set, and the engine beside it", () => {
  for (const name of ["readRecipe", "workOf", "openRun", "teachersOf", "distil", "readDistilled"])
    expect(potstill, name).toHaveProperty(name);
  expect(engine).toHaveProperty("Gpu");
  expect(models).toHaveProperty("buildModel");
});
