/** @file `npm run results:digits`: the table of docs/results-digits.md, from teachers to the page. */
import { dataFrom, progressFor, withLanes } from "../distill/cli/options.ts";
import { strictly } from "../distill/cli/usage.ts";
import { compare, type Entry } from "../distill/evaluation/compare.ts";
import { markdownResults, type ResultRow } from "../distill/evaluation/table.ts";
import { writeAtomic } from "../distill/files.ts";
import { readRecipe, shippedRecipes } from "../distill/recipe-file.ts";
import { resolveRecipe } from "../distill/recipe.ts";
import { workOf } from "../distill/run.ts";
import { madeBy, makePage, resultsOptions, type Made } from "./results-page.ts";

const RECIPES = ["digits-ipc1", "digits-ipc10", "digits-ipc50"] as const;
const NETWORKS = "ConvNetD2,ConvNetD3,MLP,LeNet";
const BASELINES = ["full", "random", "random-soft", "herding", "k-center"] as const;

/** Settings by which the command is tried, and no number means anything. */
const QUICK = { iterations: 2, evaluation: { num_eval: 2, epoch_eval_train: 3 } };

function pageOf(rows: readonly ResultRow[], made: Made): string {
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

${madeBy("npm run results:digits", made)}
`;
}

const words = process.argv.slice(2);
const parser = resultsOptions(words, "digits", "docs/results-digits.md");

await makePage(
  () => strictly(parser, words).parseAsync(),
  async (args) => {
    const { page, out: folder, quick } = args;
    const begun = performance.now();
    const entryOf = async (name: string): Promise<Entry> => {
      const shipped = readRecipe(shippedRecipes().get(name)!);
      const recipe = quick ? resolveRecipe(shipped, QUICK) : shipped;
      return { name, work: await workOf(recipe, dataFrom(args)) };
    };
    const [first, ...others] = RECIPES;
    const entries = [await entryOf(first), ...(await Promise.all(others.map(entryOf)))] as const;
    const works = entries.map(({ work }) => work);
    const { recipe } = entries[0].work;
    const progress = progressFor(args);
    const common = { networks: NETWORKS, baselines: BASELINES, folder, progress };
    await withLanes(args, works, async (gpus) => {
      const rows = await compare({ gpus, entries, ...common });
      const minutes = ((performance.now() - begun) / 60_000).toFixed(1);
      const time = `${minutes} minutes, teachers and distillation included`;
      const { facts } = gpus[0];
      writeAtomic(page, pageOf(rows, { facts, recipe, more: [["time", time]] }));
      console.log(`${page}: ${rows.length} rows in ${minutes} minutes`);
    });
  },
);
