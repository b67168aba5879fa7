/** @file Pages of documentation: their links lead somewhere, and their commands exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";

import { COMMANDS } from "../../distill/cli/main.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pages = [
  ...["README.md", "distill/README.md", "engine/README.md", "bench/README.md"],
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md") && !path.startsWith("api"))
    .map((path) => join("docs", path)),
].map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

/** A heading as the part of a link after #. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} -]/gu, "")
    .replaceAll(" ", "-");

const anchorsIn = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchor(heading!));

it("has links that lead somewhere", () => {
  const links = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => ({ path, link: link! })),
  );
  expect(links.length).toBeGreaterThan(30);
  const dead = links.filter(({ path, link }) => {
    if (/^https?:/.test(link)) return false;
    const [file, part] = link.split("#") as [string, string?];
    const target = file === "" ? join(root, path) : join(root, dirname(path), file);
    if (!existsSync(target)) return true;
    return part !== undefined && !anchorsIn(readFileSync(target, "utf8")).includes(part);
  });
  expect(dead).toEqual([]);
});

it("names commands and scripts that there are", () => {
  const used = pages.flatMap(({ text }) => [...text.matchAll(/npx potstill ([a-z-]+)/g)]);
  expect(used.length).toBeGreaterThan(20);
  // The executable adds one.
  const commands = [...COMMANDS, "bench"];
  expect(used.map(([, name]) => name!).filter((name) => !commands.includes(name))).toEqual([]);
  const runs = pages.flatMap(({ text }) => [...text.matchAll(/npm run (?:-s )?([a-z:-]+)/g)]);
  expect(runs.length).toBeGreaterThan(5);
  expect(runs.map(([, name]) => name!).filter((name) => !(name in scripts))).toEqual([]);
});
