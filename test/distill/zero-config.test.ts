/** @file `potstill distill digits` alone: how its folder is named, and teachers that are there already. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { unusedFolder } from "../../distill/cli/resuming.ts";
import { createProgress } from "../../distill/progress.ts";
import { readRecipe } from "../../distill/recipe-file.ts";
import { findRuns } from "../../distill/report/folder.ts";
import { updateOf } from "../../distill/report/reader.ts";
import { readTrajectory } from "../../distill/teachers/trajectory.ts";
import { contents, runCli } from "../support/run-cli.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-zero-"));
});
afterAll(() => rmSync(root, { recursive: true }));

it("gives a run a number where its name is taken, and tells of runs that are unfinished", () => {
  const folder = join(root, "named");
  const made = (path: string, file: string): void => {
    mkdirSync(path);
    writeFileSync(join(path, file), "");
  };
  const lines: string[] = [];
  const progress = { ...createProgress({ quiet: true }), log: (line: string) => lines.push(line) };
  const next = (): string => unusedFolder(folder, "distill", progress);
  expect(next()).toBe(folder);
  made(folder, "results.json");
  expect([next(), lines]).toEqual([`${folder}-2`, []]);
  made(`${folder}-2`, "run.json");
  expect([next(), lines]).toEqual([
    `${folder}-3`,
    [
      `${folder}-2: has an unfinished run, which potstill distill --resume ${folder}-2 goes on with`,
    ],
  ]);
  // A folder without a run is used as it is.
  made(`${folder}-3`, "notes.txt");
  expect(next()).toBe(`${folder}-3`);
});

/** Accuracies of teachers that the report tells of a run. */
function accuraciesShown(folder: string): unknown {
  const [run] = findRuns([folder]);
  return updateOf(run!).messages.flatMap((told) => (told.kind === "run" ? told.teachers : []));
}

it("trains teachers once: a later run takes them, and one that is replaced keeps its own", async () => {
  const distill = (...more: string[]) =>
    runCli(
      [
        ...["distill", "digits", "--ipc", "1", "--width", "4", "--syn_steps", "2"],
        ...["--max_start_epoch", "1"],
        ...["--teachers.experts", "1", "--teachers.epochs", "3"],
        ...["--evaluation.epoch_eval_train", "2", "--evaluation.num_eval", "1", ...more],
      ],
      root,
    );
  const first = join(root, "runs", "digits-ipc1");
  const begun = await distill("--iterations", "2");
  expect([begun.code, begun.stderr]).toEqual([
    0,
    expect.stringMatching(
      /^run +runs\/digits-ipc1\n(?:.+\n)+time +about \S+: teachers \S+, matching .+\nteachers: 1 in/,
    ),
  ]);
  const before = contents(first);

  const second = await distill("--iterations", "3");
  expect(second.code).toBe(0);
  expect(second.stderr).toContain(
    "teachers: those in runs/digits-ipc1/buffer are the recipe's, and are taken\n",
  );
  expect(second.stderr).toMatch(/^time +about \S+: matching/m);
  expect(existsSync(`${first}-2/buffer`)).toBe(false);
  expect(readRecipe(`${first}-2/recipe.yaml`).teachers.folder).toBe(join(first, "buffer"));
  // The report shows how they did, and never reads another folder.
  expect(accuraciesShown(`${first}-2`)).toEqual(accuraciesShown(first));
  expect(accuraciesShown(first)).toEqual([
    readTrajectory(join(first, "buffer", "teacher-0000.safetensors")).meta.testAccuracy,
  ]);

  const again = await distill("--iterations", "2", "--overwrite");
  expect(again.code).toBe(0);
  expect(again.stderr).not.toContain("teachers: ");
  expect(contents(first)).toEqual(before);
});
