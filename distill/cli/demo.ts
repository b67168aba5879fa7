/** @file `npm run demo`: the handwritten digits distilled to 1 and 10 images a class, and the proof. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import yargs from "yargs";
import { compare } from "../evaluation/compare.ts";
import { readRecipe, shippedRecipes } from "../recipe-file.ts";
import { workOf } from "../run.ts";
import { reportError } from "./main.ts";
import { commonOptions, dataFrom, progressFor, withLanes } from "./options.ts";
import { shownTable } from "./output.ts";
import { strictly } from "./usage.ts";

try {
  const words = process.argv.slice(2);
  const parser = commonOptions(yargs(words).scriptName("npm run demo --"));
  const args = await strictly(parser, words).parseAsync();
  const shipped = shippedRecipes();
  const entryOf = async (name: string) => ({
    name,
    work: await workOf(readRecipe(shipped.get(name)!), dataFrom(args)),
  });
  const entries = [await entryOf("digits-ipc1"), await entryOf("digits-ipc10")] as const;
  const works = entries.map(({ work }) => work);
  const begun = performance.now();
  await withLanes(args, works, async (gpus) => {
    const folder = join("runs", "demo");
    // A demo shows all of the work, every time.
    rmSync(folder, { recursive: true, force: true });
    const progress = progressFor(args);
    const { name, kind } = gpus[0].facts;
    progress.log(`adapter: ${name} (${kind})`);
    const rows = await compare({ gpus, entries: [...entries], folder, progress });
    console.log(`\n${shownTable(rows)}\n`);
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    console.log(
      `Done in ${seconds} s. Look at the images-*.png in runs/demo/digits-ipc1 and -ipc10.`,
    );
  });
} catch (error) {
  process.exitCode = reportError(error);
}
