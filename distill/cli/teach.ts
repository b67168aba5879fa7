/** @file `potstill teach`: teachers alone, for any number of runs that follow them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { CommandModule } from "yargs";
import type { Gpu } from "../../engine/index.ts";
import { summarise } from "../evaluation/evaluate.ts";
import { resolveTeaching, teachingFlags } from "../recipe.ts";
import { shownShard, unitsOf } from "../cluster/shard.ts";
import { asTask, type Told } from "../cluster/tasks.ts";
import { recordWork } from "../cluster/work.ts";
import { openRunFolder } from "../files.ts";
import type { Progress } from "../progress.ts";
import { despiteLoss } from "../resume/lost.ts";
import { openRun, trainTeachers, workOf } from "../run.ts";
import { checkTeachers } from "../teachers/teacher.ts";
import { readTrajectory, teacherFile, teacherName, type Teacher } from "../teachers/trajectory.ts";
import {
  commonOptions,
  dataFrom,
  lanesFor,
  progressFor,
  shardFor,
  shardOption,
  withGpu,
  type CommonArguments,
  type ShardArguments,
} from "./options.ts";
import { teachersLine } from "./dry-run.ts";
import { interruptible } from "./interruption.ts";
import { printResult } from "./output.ts";
import { namedRecipe, overridesOf, recipeOptions, type RecipeArguments } from "./settings.ts";

interface TeachArguments extends CommonArguments, RecipeArguments, ShardArguments {
  readonly out: string | undefined;
}

/** The folder is named by `--out`. */
const flags = teachingFlags().filter(({ name }) => name !== "teachers.folder");

/** Flags of every command: what they mean, they mean here. */
const TAKEN = new Set(["precision"]);

/** `--epochs` for `--teachers.epochs`. */
function shortName(name: string): string | undefined {
  const [group, key] = name.split(".");
  return group === "teachers" && key !== undefined && !TAKEN.has(key) ? key : undefined;
}

/** `test accuracy 93.2 ± 0.4 %` of teachers after their last epochs. */
export function accuracyOf(teachers: readonly Teacher[]): string {
  const { mean, std } = summarise(teachers.map(({ meta }) => meta.testAccuracy.at(-1)!));
  const percent = (x: number): string => (100 * x).toFixed(1);
  return `test accuracy ${percent(mean)} ± ${percent(std)} %`;
}

/** The same, `told` of what is done in units of `epochs` epochs. */
function counted(progress: Progress, epochs: number, told: Told): Progress {
  return {
    start: (label, total, before) => progress.start(label, total, before),
    update: (done, values) => {
      told(done / epochs);
      progress.update(done, values);
    },
    stop: () => progress.stop(),
    log: (line) => progress.log(line),
  };
}

const GO_ON = "go on by the same command";

export const teachCommand: CommandModule<object, TeachArguments> = {
  command: "teach [dataset]",
  describe: "Train teachers on the real data, or go on with some",
  builder: (yargs) =>
    shardOption(
      commonOptions(
        recipeOptions(yargs, flags, shortName).option("out", {
          type: "string",
          requiresArg: true,
          describe: "Folder of the teachers [runs/<dataset>-teachers]",
        }),
      ),
    )
      .example("$0 teach digits --experts 20 --epochs 30", "twenty teachers of the digits")
      .example("$0 distill digits --teachers runs/digits-teachers", "a run that follows them"),
  handler: async (args) => {
    const base = namedRecipe(args, "teach");
    const dataset = args.dataset ?? base?.dataset;
    const overrides = overridesOf({ ...args }, flags);
    const recipe = resolveTeaching(base, { ...overrides, dataset });
    const work = await workOf(recipe, dataFrom(args));
    const folder =
      args.out ?? recipe.teachers.folder ?? join("runs", `${work.source.name}-teachers`);
    const all = Array.from({ length: recipe.teachers.experts }, (_, i) => i);
    const shard = shardFor(args);
    const numbers = shard ? unitsOf(all, shard) : all;
    const train = async (gpu: Gpu): Promise<void> => {
      const lanes = lanesFor(args, [work], gpu);
      const context = await openRun(gpu, work, folder, progressFor(args));
      // Teachers of another kind are refused before anything is replaced.
      checkTeachers(recipe, context.dataset, openRunFolder(folder));
      recordWork(folder, { command: "teach", units: all.map(teacherName) });
      const there = numbers.filter((number) => existsSync(teacherFile(folder, number)));
      const units = { units: numbers.length, before: there.length };
      await asTask(folder, shard, units, (told) =>
        interruptible(GO_ON, async (signal) => {
          const teachers = numbers.length - there.length;
          if (teachers > 0 && !args.quiet && !args.json) {
            const { source, model } = work;
            const probed = { recipe, model, count: source.train.count, teachers, signal };
            const at = Math.min(teachers, lanes.most);
            context.progress.log(await teachersLine(gpu, { ...probed, lanes: at }));
          }
          const progress = counted(context.progress, recipe.teachers.epochs, told);
          await trainTeachers({ ...context, progress, lanes, signal }, recipe, folder, numbers);
        }),
      );
    };
    await despiteLoss(() => withGpu(args, [work], train), GO_ON, progressFor(args));
    const own = numbers.map((number) => readTrajectory(teacherFile(folder, number)));
    const { length } = own;
    const before = shard ? `${shownShard(shard)}: ` : "";
    const teachers = own.map(({ path, meta }) => ({ path, accuracy: meta.testAccuracy.at(-1)! }));
    printResult(args, { folder, ...(shard && { shard: shownShard(shard) }), teachers }, () =>
      length === 0
        ? `${before}none of the ${all.length} teachers is its own`
        : `${before}${length} teacher${length === 1 ? "" : "s"} in ${folder}, ${accuracyOf(own)}`,
    );
  },
};
