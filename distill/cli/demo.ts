/** @file `npm run demo`: the handwritten digits distilled to 1 and 10 images a class, and the proof. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import yargs from "yargs";
import { writeAtomic } from "../files.ts";
import { readRecipe, recipesToYaml, shippedRecipes } from "../recipe-file.ts";
import type { Recipe } from "../recipe.ts";
import {
  beginRun,
  distil,
  openRun,
  recordAccuracy,
  scoreDistilled,
  scoreRandom,
  scoreWhole,
  teachersOf,
  workOf,
  type RunContext,
} from "../run.ts";
import { formatTable, type ResultRow } from "../table.ts";
import { reportError } from "./main.ts";
import { commonOptions, dataFrom, progressFor, withGpu } from "./options.ts";
import { strictly } from "./usage.ts";

/** Distils by each recipe into the folder and returns the table's rows. */
async function demo(
  context: RunContext,
  recipes: readonly [Recipe, ...Recipe[]],
): Promise<ResultRow[]> {
  const { gpu, folder, progress } = context;
  const named = Object.fromEntries(recipes.map((recipe) => [`ipc${recipe.ipc}`, recipe]));
  writeAtomic(join(folder, "recipe.yaml"), recipesToYaml(named));
  progress.log(`adapter: ${gpu.facts.name} (${gpu.facts.kind})`);
  const rows = [await scoreWhole(context, recipes[0])];
  const teachers = await teachersOf(context, recipes[0]);
  for (const recipe of recipes) {
    await distil(context, recipe, teachers);
    rows.push(...(await scoreRandom(context, recipe, teachers)));
    const row = await scoreDistilled(context, recipe);
    recordAccuracy(folder, row);
    rows.push(row);
    writeAtomic(join(folder, "results.json"), `${JSON.stringify(rows, null, 2)}\n`);
  }
  return rows;
}

try {
  const words = process.argv.slice(2);
  const parser = commonOptions(yargs(words).scriptName("npm run demo --"));
  const args = await strictly(parser, words).parseAsync();
  const shipped = shippedRecipes();
  const recipe = (name: string): Recipe => readRecipe(shipped.get(name)!);
  const recipes = [recipe("digits-ipc1"), recipe("digits-ipc10")] as const;
  const begun = performance.now();
  const works = await Promise.all(recipes.map((recipe) => workOf(recipe, dataFrom(args))));
  await withGpu(args, works, async (gpu) => {
    // A demo shows all of the work, every time.
    rmSync(join("runs", "demo"), { recursive: true, force: true });
    const folder = beginRun(join("runs", "demo"));
    // Both recipes are of one data set and one network.
    const rows = await demo(openRun(gpu, works[0]!, folder, progressFor(args)), recipes);
    console.log(`\n${formatTable(rows)}\n`);
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    console.log(`Done in ${seconds} s. Look at runs/demo/images-ipc1.png and images-ipc10.png.`);
  });
} catch (error) {
  process.exitCode = reportError(error);
}
