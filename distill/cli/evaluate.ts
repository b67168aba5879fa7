/** @file `potstill evaluate`: what networks trained on a distilled set reach, beside real images. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { shownShard } from "../cluster/shard.ts";
import { describePreprocessing } from "../data/preprocess.ts";
import { assess } from "../evaluation/assess.ts";
import { assessShare } from "../evaluation/divided.ts";
import { BASELINES, NEED_TEACHERS, type Baseline } from "../evaluation/baselines.ts";
import { networkPool } from "../evaluation/pool.ts";
import { formatScores, robustScores } from "../evaluation/robust.ts";
import { checksumOf } from "../evaluation/score.ts";
import { formatDetails, resultsJson } from "../evaluation/table.ts";
import { openRunFolder, writeAtomic } from "../files.ts";
import { recipeFlags } from "../recipe.ts";
import { makerOf } from "../resume/about.ts";
import { UnfinishedEvaluation } from "../resume/evaluation.ts";
import { aloneIn } from "../resume/folder.ts";
import { despiteLoss } from "../resume/lost.ts";
import { teachersOf } from "../run.ts";
import { interruptible } from "./interruption.ts";
import { printResult, shownTable } from "./output.ts";
import {
  commonOptions,
  lanesFor,
  progressFor,
  shardFor,
  shardOption,
  withSeedLanes,
  type ShardArguments,
} from "./options.ts";
import { checkAugmentation, toldOptions } from "./set-file.ts";
import { overridesOf } from "./settings.ts";
import { baselinesOf, baselinesOption, networksOption } from "./table-options.ts";
import { subjectOf, taskOf, type Subject, type SubjectArguments } from "./subject.ts";
import { UsageError } from "./usage.ts";

interface EvaluateArguments extends SubjectArguments, ShardArguments {
  readonly networks: string;
  readonly baselines: string | undefined;
  readonly ipc: string | undefined;
  readonly hard: boolean;
  readonly scores: boolean;
  readonly details: boolean;
}

/** Settings of the protocol, each by its short name, too. */
const flags = recipeFlags().filter(({ name }) => name.startsWith("evaluation."));

const shortName = (name: string): string => name.slice("evaluation.".length);

/** Numbers joined by commas. Throws `UsageError`. */
function countsOf(text: string): number[] {
  return text.split(",").map((word) => {
    const count = Number(word);
    if (!/^\d+$/.test(word) || count < 1)
      throw new UsageError(
        `evaluate: --ipc must be whole numbers from 1 joined by commas, got "${word}"`,
      );
    return count;
  });
}

/** What a run is compared with by default, and a data set alone. */
function usualBaselines({ isRun, sets }: Subject): readonly Baseline[] {
  if (isRun) return ["full", "random", "random-soft"];
  return sets.length === 0 ? BASELINES : [];
}

/** The baselines that the scores need, besides those that are wanted. */
function withNeeded(baselines: readonly Baseline[], args: EvaluateArguments): Baseline[] {
  const needed = args.scores || args.hard ? (["full", "random", "random-soft"] as const) : [];
  return BASELINES.filter((name) => [...baselines, ...needed].includes(name));
}

async function evaluateSubject(args: EvaluateArguments): Promise<void> {
  const chosen = args.baselines === undefined ? undefined : baselinesOf("evaluate", args.baselines);
  const counts = args.ipc === undefined ? undefined : countsOf(args.ipc);
  checkAugmentation("evaluate", args.augmentation);
  const { evaluation } = overridesOf({ ...args }, flags);
  const subject = await subjectOf(args, evaluation, chosen !== undefined && chosen.length > 0);
  const { source, plan, sets, own, model, recipe } = subject;
  const networks = networkPool(args.networks, taskOf(source), own);
  const asked = chosen ?? usualBaselines(subject);
  const baselines = sets.length > 0 ? withNeeded(asked, args) : asked;
  const needy = baselines.find((name) => name === "full" || NEED_TEACHERS.includes(name));
  if (needy !== undefined && !recipe)
    throw new UsageError(
      `evaluate: --recipe FILE must say how teachers are trained, for ${needy}; got none, and none is shipped for ${source.name}`,
    );
  const folder = openRunFolder(subject.folder);
  const progress = progressFor(args);
  const shard = shardFor(args);
  const assessed = (signal: AbortSignal): Promise<void> =>
    withSeedLanes(args, networks, plan, async ([gpu, ...beside]) => {
      const dataset = await subject.open(gpu, progress);
      const place = { gpu, beside, folder, progress, dataset, signal };
      const lanes = recipe && lanesFor(args, [{ recipe, source, model }], gpu);
      const options = {
        ...{ bench: place, plan, networks, own: own.network, sets, baselines, recipe },
        ...{
          ipcs: counts ?? subject.ipcs,
          hard: args.hard || args.scores,
          augmentations: args.scores,
        },
        advisers: { gpu, model, teachers: () => teachersOf({ ...place, lanes, model }, recipe!) },
      };
      if (shard) {
        const { own: units, all } = await assessShare(options, shard);
        const done = { folder, shard: shownShard(shard), units, of: all };
        printResult(
          args,
          done,
          () => `${shownShard(shard)}: its ${units} of ${all} units are in ${subject.folder}`,
        );
        return;
      }
      const contents = sets.map(({ file, key }) => [key, checksumOf(file)]);
      const what = [
        makerOf(gpu.facts),
        dataset.id,
        describePreprocessing(dataset.preprocessing),
        plan,
        contents,
      ];
      const unfinished = new UnfinishedEvaluation(folder, what);
      if (unfinished.known > 0)
        progress.log(
          `${folder}: goes on with an evaluation that was cut off, ${unfinished.known} of its networks are tested`,
        );
      const { rows, notes } = await assess({
        ...options,
        bench: { ...place, unfinished },
        onRows: (so) => writeAtomic(join(folder, "results.json"), resultsJson(so)),
      });
      unfinished.finish();
      const scores = robustScores(rows, args.hard || args.scores);
      printResult(args, rows, () => {
        const parts = [[shownTable(rows), ...notes].join("\n"), formatScores(scores)];
        if (args.details) parts.push(formatDetails(rows, dataset.classes));
        return parts.filter((part) => part !== "").join("\n\n");
      });
    });
  const goOn = "go on by the same command";
  const work = (): Promise<void> =>
    interruptible(goOn, (signal) => despiteLoss(() => assessed(signal), goOn, progress));
  // Shards share a folder.
  await (shard ? work() : aloneIn(folder, work));
}

export const evaluateCommand: CommandModule<object, EvaluateArguments> = {
  command: "evaluate [subject]",
  describe: "Train fresh networks on distilled sets or real images and test them",
  builder: (yargs) => {
    for (const { name, type } of flags)
      yargs.option(name, {
        ...{ type, requiresArg: type !== "boolean", alias: shortName(name) },
        group: "Protocol:",
      });
    return shardOption(commonOptions(toldOptions(yargs)))
      .positional("subject", {
        type: "string",
        describe:
          "Folder of a run; a distilled set: .safetensors, .npz, a folder of pictures or of images_best.pt; " +
          "or a data set, for its baselines alone",
      })
      .option("networks", networksOption)
      .option("baselines", {
        ...baselinesOption,
        describe: `${baselinesOption.describe} [full,random,random-soft for a run, all for a data set, none for a set]`,
      })
      .option("ipc", {
        type: "string",
        requiresArg: true,
        describe: "Images a class of the baselines, joined by commas [as many as the sets have]",
      })
      .option("hard", {
        type: "boolean",
        default: false,
        describe: "Evaluate with hard labels, too, and print the label-robust score",
      })
      .option("scores", {
        type: "boolean",
        default: false,
        describe: "As --hard, and with and without augmentation for the augmentation-robust score",
      })
      .option("details", {
        type: "boolean",
        default: false,
        describe: "Print confusion matrices and the accuracy of each class",
      })
      .option("recipe", {
        type: "string",
        requiresArg: true,
        describe: "Recipe of the teachers for a set or a data set [the shipped one]",
      })
      .option("teachers", {
        type: "string",
        requiresArg: true,
        describe: "Folder of teachers that are there [buffer in the folder of the results]",
      })
      .option("out", {
        type: "string",
        requiresArg: true,
        describe: "Folder of the results [the run's, or runs/<dataset>-evaluation]",
      })
      .example(
        "$0 evaluate runs/demo --networks ConvNetD2,MLP,LeNet",
        "do other networks learn, too?",
      )
      .example("$0 evaluate mine.safetensors --hard --details", "a set, and what its labels do")
      .example(
        "$0 evaluate digits --baselines random,herding,k-center,full --ipc 1,10,50",
        "real images alone",
      );
  },
  handler: evaluateSubject,
};
