/**
 * @file Files that readers once went wrong on, each by what it did then. To add one that
 * `readers.test.ts` has found: a test named after what was wrong, with the least file that shows it.
 */
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { recipeToYaml } from "../../distill/recipe-file.ts";
import { resolveRecipe } from "../../distill/recipe.ts";
import { findRuns } from "../../distill/report/folder.ts";
import { updateOf } from "../../distill/report/reader.ts";
import { locked } from "../../distill/resume/lock.ts";
import { madeRecipe } from "../support/run-folder.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-found-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

it.each(["null", "5", "[]", '{"pid":1}', '{"pid":"1","host":2,"begun":3}'])(
  "a lock that is JSON of another kind, %s, stopped everybody for ever",
  async (text) => {
    const path = join(root, "run.lock");
    writeFileSync(path, text);
    utimesSync(path, 1, 1);
    expect(await locked(path, root, () => Promise.resolve("done"))).toBe("done");
  },
);

it("a recipe of two billion iterations kept the report counting", () => {
  const recipe = resolveRecipe(madeRecipe(2_000_000_000), {
    ...{ sequential: true, current_max_start_epoch: 1, expansion_end_epoch: 1_000_000_000 },
    ...{ max_start_epoch: 5, teachers: { epochs: 50 } },
  });
  writeFileSync(join(root, "recipe.yaml"), recipeToYaml(recipe));
  const [run] = findRuns([root]);
  const { messages } = updateOf(run!);
  const [told] = messages.flatMap((message) => (message.kind === "run" ? message.recipes : []));
  expect(told!.maxStart).toEqual([
    ...[
      [1, 1],
      [250_000_001, 2],
      [500_000_001, 3],
      [750_000_001, 4],
      [1_000_000_001, 5],
    ],
  ]);
});
