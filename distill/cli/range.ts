/** @file `potstill range`: start epochs and image rate that suit a data set and size, from its teachers. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { Random } from "../../engine/index.ts";
import { openRunFolder } from "../files.ts";
import {
  probeEpochs,
  proposeRange,
  type EpochProbe,
  type ProposedRange,
} from "../matching/range.ts";
import { recipeFlags } from "../recipe.ts";
import { openRun, startOf, teachersOf } from "../run.ts";
import { aligned } from "../evaluation/table.ts";
import { commonOptions, progressFor, withGpu, type CommonArguments } from "./options.ts";
import { printResult } from "./output.ts";
import { recipeOptions, teachersFlag, workFor, type RecipeArguments } from "./settings.ts";

interface RangeArguments extends CommonArguments, RecipeArguments {
  readonly out: string | undefined;
}

const flags = recipeFlags();

/** The probes as a table, and what is proposed, as flags. */
function formatRange(probes: readonly EpochProbe[], proposed: ProposedRange): string {
  const rows = probes.map(({ epoch, moved, loss, gradient }) => [
    String(epoch),
    `${(100 * moved).toFixed(1)} %`,
    loss.toFixed(3),
    gradient.toExponential(1),
  ]);
  const table = aligned([["epoch", "teacher moves", "matching loss", "gradient a pixel"], ...rows]);
  const settings = Object.entries(proposed).map(([name, value]) => `--${name} ${value}`);
  return [table, "", `proposed: ${settings.join(" ")}`].join("\n");
}

export const rangeCommand: CommandModule<object, RangeArguments> = {
  command: "range [dataset]",
  describe: "Propose start epochs and lr_img from the teachers' own movement",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs, flags, teachersFlag).option("out", {
        type: "string",
        requiresArg: true,
        describe: "Folder whose teachers are asked, or trained [runs/<dataset>-ipc<ipc>]",
      }),
    ).example("$0 range digits --ipc 10", "a range for ten images a class"),
  handler: async (args) => {
    const work = await workFor({ ...args }, flags, "range");
    const { recipe, source, model } = work;
    await withGpu(args, [work], async (gpu) => {
      const out = args.out ?? join("runs", `${source.name}-ipc${recipe.ipc}`);
      const progress = progressFor(args);
      const context = await openRun(gpu, work, openRunFolder(out), progress);
      const teachers = await teachersOf(context, recipe);
      const random = new Random(recipe.seed).stream("range");
      const start = await startOf(context, recipe, teachers, random.stream("start"));
      progress.start("range", recipe.teachers.epochs - recipe.expert_epochs + 1);
      let probes: EpochProbe[];
      try {
        const report = (done: number): void => progress.update(done);
        probes = await probeEpochs({ gpu, model, recipe, teachers, start, random, report });
      } finally {
        progress.stop();
      }
      const squares = start.images.reduce((sum, v) => sum + v * v, 0);
      const rms = Math.sqrt(squares / start.images.length);
      const proposed = proposeRange(probes, rms);
      printResult(args, { probes, proposed }, () => formatRange(probes, proposed));
    });
  },
};
