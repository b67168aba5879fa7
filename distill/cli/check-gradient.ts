/** @file `potstill check-gradient`: a recipe's gradient against differences of its loss, and TESLA's against it. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { Random, type Gpu } from "../../engine/index.ts";
import { buildModel } from "../../models/index.ts";
import {
  compareGradients,
  QUANTITIES,
  smoothNetwork,
  type CheckOptions,
  type Comparison,
} from "../matching/check.ts";
import { openRunFolder } from "../files.ts";
import { depthMask } from "../matching/masks.ts";
import { DistillError, matchingOptions, planMatching } from "../matching/match.ts";
import { recipeFlags, type Recipe } from "../recipe.ts";
import { openRun, startOf, teachersOf, type RunContext } from "../run.ts";
import { drawIteration } from "../matching/schedule.ts";
import { aligned } from "../evaluation/table.ts";
import { drawTable, minibatchTables } from "../matching/unroll.ts";
import { commonOptions, progressFor, withGpu, type CommonArguments } from "./options.ts";
import { printResult } from "./output.ts";
import { recipeOptions, teachersFlag, workFor, type RecipeArguments } from "./settings.ts";

interface CheckArguments extends CommonArguments, RecipeArguments {
  readonly out: string | undefined;
}

const flags = recipeFlags();

/** What float32 allows differences to be off, with room. */
const TOLERANCE = 0.01;

const percent = (x: number): string => `${Number((100 * x).toPrecision(2))} %`;

/** The comparisons as a table: the gradient's norm, its errors against differences, and TESLA's against it. */
export function formatComparisons(
  rows: readonly Comparison[],
  network: string,
  smooth: string | undefined,
): string {
  const twin = smooth === undefined || smooth === network ? [] : [`differences, ${smooth}`];
  const head = ["gradient of", "norm", `differences, ${network}`, ...twin];
  return aligned([
    [...head, "TESLA's error", "TESLA's cosine"],
    ...rows.map((row) => [
      row.quantity,
      row.norm.toExponential(2),
      percent(row.differences),
      ...(twin.length > 0 ? [percent(row.smooth!)] : []),
      percent(row.teslaError),
      row.teslaCosine.toFixed(4),
    ]),
  ]);
}

/**
 * What the table says.
 * @throws DistillError when the exact gradient is not that of the loss.
 */
export function verdict(
  rows: readonly Comparison[],
  network: string,
  smooth: string | undefined,
): string {
  const kinks = `${network} has kinks, at which its loss jumps: differences of it are right to a few percent at best.`;
  if (smooth === undefined) return kinks;
  const worst = Math.max(...rows.map((row) => row.smooth ?? row.differences));
  if (!(worst <= TOLERANCE))
    throw new DistillError(
      `check-gradient: the exact gradient must agree with differences to ${percent(TOLERANCE)}, got ${percent(worst)} for ${smooth}`,
    );
  const agrees = `The exact gradient agrees with differences to ${percent(worst)}.`;
  return smooth === network ? agrees : `${agrees} ${kinks}`;
}

/** A recipe's first iteration, from the start of its range, on the set that a run would start from. */
async function firstIteration(
  gpu: Gpu,
  context: RunContext,
  recipe: Recipe,
): Promise<CheckOptions> {
  const { model } = context;
  const teachers = await teachersOf(context, recipe);
  const random = new Random(recipe.seed).stream("check");
  const set = await startOf(context, recipe, teachers, random.stream("start"));
  const images = set.labels.length / model.task.classes;
  const { micro } = planMatching(model, recipe, images, gpu.facts);
  const options = {
    ...matchingOptions(model, recipe, images),
    micro,
    nearest: false,
    trajectories: 1,
  };
  const { channels, size } = model.task;
  const shape = { channels, height: size, width: size };
  const drawn = { recipe, teachers: teachers.count, images, shape, continuous: false, random };
  const { teacher, start, minibatches, augmentations } = drawIteration(drawn, 0);
  return {
    options,
    values: {
      ...{ images: set.images, labels: set.labels, lr: Float32Array.of(recipe.lr_teacher) },
      start: teachers.snapshot(teacher, start),
      target: teachers.snapshot(teacher, start + recipe.expert_epochs),
      ...minibatchTables(options, minibatches),
      ...(augmentations.length > 0 ? { draws: drawTable(options, augmentations) } : {}),
      ...(options.weighted ? { importance: depthMask(model.size, recipe.pad_ratio) } : {}),
    },
    // Hard labels have no gradient.
    quantities: QUANTITIES.filter((name) => name !== "labels" || recipe.labels === "soft"),
    random,
  };
}

export const checkGradientCommand: CommandModule<object, CheckArguments> = {
  command: "check-gradient [dataset]",
  describe: "Compare a recipe's exact gradient with differences of its loss, and TESLA's with it",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs, flags, teachersFlag).option("out", {
        type: "string",
        requiresArg: true,
        describe: "Folder whose teachers are followed, or trained [runs/<dataset>-ipc<ipc>]",
      }),
    ).example("$0 check-gradient digits --ipc 10", "the gradient of ten images a class"),
  handler: async (args) => {
    const work = await workFor({ ...args }, flags, "check-gradient");
    const { recipe, source, model } = work;
    const { network, width } = recipe;
    const smooth = smoothNetwork(network);
    const own = smooth === undefined || smooth === network;
    await withGpu(args, [work], async (gpu) => {
      const out = args.out ?? join("runs", `${source.name}-ipc${recipe.ipc}`);
      const progress = progressFor(args);
      const context = await openRun(gpu, work, openRunFolder(out), progress);
      const check = await firstIteration(gpu, context, recipe);
      let begun = false;
      const report = (done: number, of: number): void => {
        if (!begun) progress.start("check-gradient", of);
        begun = true;
        progress.update(done);
      };
      let rows: Comparison[];
      try {
        const twin = own ? undefined : buildModel(smooth, model.task, { width });
        rows = await compareGradients(gpu, { ...check, smooth: twin, report });
      } finally {
        progress.stop();
      }
      printResult(
        args,
        { network, smooth, rows },
        () => `${formatComparisons(rows, network, smooth)}\n\n${verdict(rows, network, smooth)}`,
      );
    });
  },
};
