/** @file `npm run results:cifar`: CIFAR-10 on a GPU, as much of the published work as a given time allows. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { interruptible } from "../distill/cli/interruption.ts";
import { dataFrom, progressFor, withGpu } from "../distill/cli/options.ts";
import { resultsIn } from "../distill/cli/resuming.ts";
import { printResult } from "../distill/cli/output.ts";
import { strictly } from "../distill/cli/usage.ts";
import { outlineOf } from "../distill/data/known.ts";
import { compare } from "../distill/evaluation/compare.ts";
import {
  FileError,
  openRunFolder,
  proveWritable,
  readBytes,
  writeAtomic,
} from "../distill/files.ts";
import { estimate } from "../distill/probe.ts";
import { formatTime } from "../distill/progress.ts";
import { publishedFor } from "../distill/published.ts";
import { readRecipe, shippedRecipes } from "../distill/recipe-file.ts";
import { resolveRecipe, type RecipeOverrides } from "../distill/recipe.ts";
import { makerOf, versionsWith } from "../distill/resume/about.ts";
import { recipeId } from "../distill/resume/checkpoint.ts";
import { aloneIn, runState } from "../distill/resume/folder.ts";
import { despiteLoss } from "../distill/resume/lost.ts";
import { openRun, trainTeachers, workOf } from "../distill/run.ts";
import { readTrajectory, teacherFile } from "../distill/teachers/trajectory.ts";
import type { Gpu } from "../engine/index.ts";
import { cifarPage, type CifarResults, type Done } from "./cifar-page.ts";
import { commit } from "./commit.ts";
import { iterationBeside, type Beside } from "./iteration-beside.ts";
import { pythonsFor } from "./peers/peers.ts";
import { makePage, resultsOptions } from "./results-page.ts";
import { StageMeter } from "./stages.ts";
import { parseTime, planFor, type Plan } from "./time-plan.ts";

const RECIPES = ["cifar-10-ipc1", "cifar-10-ipc10"] as const;

/** What is wanted where there is time for it. */
const WANTED: RecipeOverrides = { teachers: { experts: 20, epochs: 50 } };

/** Settings by which the command is tried, and no number means anything; a CPU would whiten for minutes. */
const QUICK: RecipeOverrides = {
  ...{ zca: false, width: 4, syn_steps: 2, expert_epochs: 1, batch_syn: 10, iterations: 3 },
  max_start_epoch: 2,
  teachers: { experts: 2, epochs: 2, batch: 32 },
  evaluation: { num_eval: 2, epoch_eval_train: 3 },
};
const QUICK_SEQUENCE: RecipeOverrides = { current_max_start_epoch: 1, expansion_end_epoch: 2 };

const words = process.argv.slice(2);
const usualPage = join("runs", "results-cifar", "results-cifar.md");
const parser = resultsOptions(words, "cifar", usualPage)
  .option("time", {
    type: "string",
    requiresArg: true,
    default: "8h",
    describe: "How long all of it may take, as teachers and iterations are planned for",
  })
  .option("python", {
    type: "string",
    requiresArg: true,
    describe: "The Python that has PyTorch, to time it beside",
  });
type Arguments = Awaited<ReturnType<typeof parser.parseAsync>>;

/** The recipes with what is wanted of them; `more` comes last. */
async function recipesFor(args: Arguments, more: RecipeOverrides = {}): Promise<Done[]> {
  const done: Done[] = [];
  for (const name of RECIPES) {
    const published = readRecipe(shippedRecipes().get(name)!);
    const wanted = args.quick ? QUICK : WANTED;
    const recipe = resolveRecipe(published, {
      ...wanted,
      ...(args.quick && published.sequential ? QUICK_SEQUENCE : {}),
      ...more,
      teachers: { ...wanted.teachers, ...more.teachers },
    });
    done.push({ name, published, work: await workOf(recipe, dataFrom(args)) });
  }
  return done;
}

const planFile = z.object({
  /** Of the time, the recipes, and what made it. */
  id: z.string(),
  plan: z.object({
    experts: z.int().min(1),
    iterations: z.int().min(1),
    whole: z.boolean(),
    expected: z.number(),
  }),
});

/** The plan that a folder has, made by `make` where it has none. Throws `FileError` where it has another's. */
async function planIn(folder: string, id: string, make: () => Promise<Plan>): Promise<Plan> {
  const path = join(folder, "plan.json");
  if (existsSync(path)) {
    const text = new TextDecoder().decode(readBytes(path));
    const found = planFile.safeParse(parsed(text));
    if (found.success && found.data.id === id) return found.data.plan;
    throw new FileError(
      `${path}: must be a plan for this time, of these settings, this commit and adapter, got another; use another --out`,
    );
  }
  const plan = await make();
  writeAtomic(path, `${JSON.stringify({ id, plan }, null, 2)}\n`);
  return plan;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Trains the first teacher, measures the rest by a few steps, and plans. */
async function measure(
  gpu: Gpu,
  [first, ...others]: readonly [Done, ...Done[]],
  {
    folder,
    meter,
    time,
    signal,
  }: { folder: string; meter: StageMeter; time: number; signal: AbortSignal },
): Promise<Plan> {
  const { recipe, model } = first.work;
  const context = { ...(await openRun(gpu, first.work, folder, meter)), signal };
  const before = meter.all["teachers"]?.seconds ?? 0;
  const buffer = join(folder, "buffer");
  await trainTeachers(context, recipe, buffer, [0]);
  // What was trained of it before this process was counted, too.
  const teacher = meter.all["teachers"]?.seconds ?? before;
  const accuracy = readTrajectory(teacherFile(buffer, 0)).meta.testAccuracy.at(-1)!;
  meter.log(
    `a teacher takes ${formatTime(1000 * teacher)}, test accuracy ${(100 * accuracy).toFixed(1)} %`,
  );
  const all = [first, ...others];
  meter.start("measure", all.length);
  const measured: Awaited<ReturnType<typeof estimate>>[] = [];
  for (const { work } of all) {
    const { count } = work.source.train;
    // How long a teacher takes is known.
    const probed = { model, recipe: work.recipe, count, teachers: 0, lanes: 1, signal };
    measured.push(await estimate(gpu, probed));
    meter.update(measured.length);
  }
  meter.stop();
  const { experts } = recipe.teachers;
  const { iterations } = recipe;
  // Distilled images, and random ones with hard and with soft labels.
  const evaluation = 3 * measured.reduce((sum, some) => sum + some.evaluation / 1000, 0);
  const plan = planFor(
    time,
    { experts, iterations },
    {
      spent: meter.seconds,
      teacher,
      iterations: measured.map(({ matching }) => matching / 1000 / iterations),
      evaluation,
      // Twice the passes over the data that GSAM takes twice the gradients for.
      whole: recipe.evaluation.num_eval * teacher,
    },
  );
  meter.log(
    `${plan.experts} teachers and ${plan.iterations} iterations a set, about ${formatTime(1000 * plan.expected)} in all`,
  );
  return plan;
}

/** Does work that goes on in its folder by the same command: stopped, cut off, or its device lost. */
function resumable<T>(
  folder: string,
  progress: StageMeter,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const advice = "go on by the same command";
  return aloneIn(folder, () =>
    interruptible(advice, (signal) => despiteLoss(() => work(signal), advice, progress)),
  );
}

await makePage(
  () => strictly(parser, words).parseAsync(),
  async (args) => {
    const { page, out: folder } = args;
    const time = parseTime(args.time);
    const document = page.replace(/(?:\.md)?$/, ".json");
    openRunFolder(folder);
    for (const path of [page, document]) proveWritable(path);
    const wanted = await recipesFor(args);
    const ids = wanted.map(({ work }) => recipeId(work.recipe));
    const meter = new StageMeter(join(folder, "stages.json"), progressFor(args));
    const works = wanted.map(({ work }) => work);
    const made = await resumable(folder, meter, (signal) =>
      withGpu(args, works, async (gpu) => {
        const id = JSON.stringify([time, ids, makerOf(gpu.facts)]);
        meter.watch([gpu]);
        const [first, ...others] = wanted;
        const plan = await planIn(folder, id, () =>
          measure(gpu, [first!, ...others], { folder, meter, time, signal }),
        );
        const { experts, iterations } = plan;
        const done = await recipesFor(args, { iterations, teachers: { experts } });
        const [one, ...more] = done.map(({ name, work }) => ({ name, work }));
        const baselines = [
          ...(plan.whole ? (["full"] as const) : []),
          "random",
          "random-soft",
        ] as const;
        const common = { baselines, folder, progress: meter, signal };
        const entries = [one!, ...more] as const;
        const resume = runState(folder) === "unfinished";
        const rows =
          resultsIn(folder, meter) ?? (await compare({ gpus: [gpu], entries, ...common, resume }));
        return { plan, done, rows, facts: gpu.facts };
      }),
    );
    const { facts, done } = made;
    const beside: Beside[] = [];
    const pythons = pythonsFor(args.python);
    for (const { work } of done)
      beside.push(await iterationBeside(work.recipe, facts, { adapter: args.adapter, pythons }));
    const results: CifarResults = {
      ...made,
      ...{ stages: meter.all, beside, time, images: outlineOf("cifar-10")!.train },
    };
    const command = `npm run results:cifar -- --time ${args.time}${args.quick ? " --quick" : ""}`;
    const { recipe } = done[0]!.work;
    const versions = versionsWith(facts);
    const shown = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
    const took = formatTime(1000 * meter.seconds);
    const more = [
      ["versions", shown.join(", ")],
      ["time", `${took}, whitening, teachers and distillation included`],
    ] as const;
    writeAtomic(page, cifarPage(command, results, { facts, recipe, more }));
    const { name: adapter, driver, backend } = facts;
    const value = {
      ...{ adapter, driver, backend, versions, commit: commit(), command },
      ...{ plan: made.plan, seconds: meter.seconds, stages: meter.all, beside },
      recipes: Object.fromEntries(done.map(({ name, work }) => [name, work.recipe])),
      published: Object.fromEntries(done.map(({ name }) => [name, publishedFor(name)])),
      rows: made.rows,
    };
    writeAtomic(document, `${JSON.stringify(value, null, 2)}\n`);
    printResult(args, value, () => `${page}: ${made.rows.length} rows in ${took}`);
  },
);
