/** @file docs/recipes.md says of every setting what the program does, and of none that there is not. */
import { readFileSync } from "node:fs";

import { expect, it } from "vitest";

import { shippedRecipes } from "../../distill/recipe-file.ts";
import { recipeFlags } from "../../distill/recipe.ts";

const text = readFileSync(new URL("../../docs/recipes.md", import.meta.url), "utf8");

/** What comes between backticks. */
const quoted = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!);

it("is told of every setting, with its type or names and its default", () => {
  const rows = text
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => cells.length === 6 && /^`[\w.]+`$/.test(cells[1]!));
  const told = rows.map(([, key, takes, usual]) => {
    const names = quoted(takes!);
    const [value] = quoted(usual!);
    return [quoted(key!)[0], names.length > 0 ? names : takes, value];
  });
  const words = { number: "number", boolean: "true or false", string: "text" };
  const wanted = recipeFlags().map(({ name, type, usual, choices }) => [
    name,
    choices ?? words[type],
    usual === undefined ? undefined : String(usual),
  ]);
  const byName = (a: unknown[], b: unknown[]): number => String(a[0]).localeCompare(String(b[0]));
  expect(told.sort(byName)).toEqual(wanted.sort(byName));
});

it("names every shipped recipe", () => {
  const lines = text.split("\n");
  for (const name of shippedRecipes().keys()) {
    const [, set, ipc] = /^(.+)-(ipc\d+)$/.exec(name)!;
    const line = lines.find((row) => row.startsWith(`| \`${set!}-`));
    expect(line, name).toMatch(new RegExp(`-${ipc!}\``));
  }
});
