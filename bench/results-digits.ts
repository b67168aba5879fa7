/** @file `npm run results:digits`: the table of docs/results-digits.md, from teachers to the page. */
import { join } from "node:path";
import yargs from "yargs";
import { reportError } from "../distill/cli/main.ts";
import { commonOptions, dataFrom, progressFor, withLanes } from "../distill/cli/options.ts";
import { strictly } from "../distill/cli/usage.ts";
import { compare, type Entry } from "../distill/evaluation/compare.ts";
import { markdownResults, markdownTable, type ResultRow } from "../distill/evaluation/table.ts";
import { proveWritable, writeAtomic } from "../distill/files.ts";
import { readRecipe, shippedRecipes } from "../distill/recipe-file.ts";
import { resolveRecipe } from "../distill/recipe.ts";
import { workOf } from "../distill/run.ts";
import type { AdapterFacts } from "../engine/index.ts";
import { commit } from "./commit.ts";

const RECIPES = ["digits-ipc1", "digits-ipc10", "digits-ipc50"] as const;
const NETWORKS = "ConvNetD2,ConvNetD3,MLP,LeNet";
const BASELINES = ["full", "random", "random-soft", "herding", "k-center"] as const;

/** Settings by which the command is tried, and no number means anything. */
const QUICK = { iterations: 2, evaluation: { num_eval: 2, epoch_eval_train: 3 } };

interface Made {
  readonly facts: AdapterFacts;
  readonly epochs: number;
  readonly minutes: string;
}

function pageOf(rows: readonly ResultRow[], { facts, epochs, minutes }: Made): string {
  const { seeds } = rows[0]!;
  return `# The digits, by four networks

UCI's handwritten digits (8 by 8 pixels, 1300 for training, 130 of each class): sets of 1, 10 and 50 images
a class, each the training set of ${seeds} fresh networks, tested on the test images. Test accuracy in percent,
mean ± standard deviation over ${seeds} seeds.

Sets are distilled with ConvNetD2, 16 channels wide, by the recipes ${RECIPES.join(", ")};
the other networks have not been seen by then. ConvNetD3 is 16 wide, too. LeNet's convolutions pad images that are
smaller than 16 pixels. Herding and k-center choose by the features of the first teacher; random images are
other ones for every seed.

${markdownResults(rows)}

${markdownTable([
  ["", ""],
  ["command", "`npm run results:digits`"],
  ["seeds", `recipes' \`seed: 0\`; networks 0 to ${seeds - 1}`],
  [
    "protocol",
    `${epochs} epochs, batch 128, SGD with momentum 0.9 and weight decay 5e-4; lr of distilled sets their own, else 0.05; a tenth of it after half`,
  ],
  ["adapter", `${facts.name} (${facts.kind}), ${facts.driver}`],
  ["commit", commit()],
  ["time", `${minutes} minutes, teachers and distillation included`],
])}
`;
}

const words = process.argv.slice(2);
const parser = commonOptions(yargs(words).scriptName("npm run results:digits --"))
  .option("page", {
    type: "string",
    requiresArg: true,
    default: "docs/results-digits.md",
    describe: "File of the page",
  })
  .option("quick", {
    type: "boolean",
    default: false,
    describe: "Hardly any training, to try the command; name another page",
  })
  .option("out", {
    type: "string",
    requiresArg: true,
    default: join("runs", "results-digits"),
    describe: "Folder of the runs",
  });

try {
  const args = await strictly(parser, words).parseAsync();
  const { page, out: folder, quick } = args;
  proveWritable(page);
  const begun = performance.now();
  const entryOf = async (name: string): Promise<Entry> => {
    const shipped = readRecipe(shippedRecipes().get(name)!);
    const recipe = quick ? resolveRecipe(shipped, QUICK) : shipped;
    return { name, work: await workOf(recipe, dataFrom(args)) };
  };
  const [first, ...others] = RECIPES;
  const entries = [await entryOf(first), ...(await Promise.all(others.map(entryOf)))] as const;
  const { epoch_eval_train: epochs } = entries[0].work.recipe.evaluation;
  const works = entries.map(({ work }) => work);
  await withLanes(args, works, async (gpus) => {
    const progress = progressFor(args);
    const common = { networks: NETWORKS, baselines: BASELINES, folder, progress };
    const rows = await compare({ gpus, entries, ...common });
    const minutes = ((performance.now() - begun) / 60_000).toFixed(1);
    writeAtomic(page, pageOf(rows, { facts: gpus[0].facts, epochs, minutes }));
    console.log(`${page}: ${rows.length} rows in ${minutes} minutes`);
  });
} catch (error) {
  process.exitCode = reportError(error);
}
