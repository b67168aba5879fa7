/** @file `potstill convert`: distilled sets and trajectories from one kind of file to another. */
import { readdirSync, statSync } from "node:fs";
import type { CommandModule } from "yargs";
import { outlineOf } from "../data/known.ts";
import { describePreprocessing, normalise } from "../data/preprocess.ts";
import { loadSource } from "../data/registry.ts";
import { ZCA_EPS } from "../data/zca.ts";
import { writeDistilled, type DistilledFile } from "../distilled.ts";
import {
  isSet,
  kindByEnding,
  kindOf,
  SETS,
  TRAJECTORIES,
  type Kind,
  type SetKind,
} from "../exchange/kind.ts";
import { hardened } from "../exchange/labels.ts";
import { writeNpz } from "../exchange/npz.ts";
import { writePictureFolder } from "../exchange/picture-folder.ts";
import { writePublishedSet } from "../exchange/published-set.ts";
import {
  exportReplayBuffers,
  importReplayBuffers,
  replayBuffers,
} from "../exchange/replay-buffer.ts";
import { FileError, proveWritable } from "../files.ts";
import { TrajectoryBuffer } from "../teachers/trajectory.ts";
import { commonOptions, type CommonArguments } from "./options.ts";
import { printResult } from "./output.ts";
import {
  checkAugmentation,
  checkTold,
  modelFor,
  setAt,
  taskBy,
  toldOptions,
  type ToldArguments,
  type ToldSource,
} from "./set-file.ts";
import { UsageError } from "./usage.ts";

interface ConvertArguments extends CommonArguments, ToldArguments {
  readonly in: string | undefined;
  readonly out: string | undefined;
  readonly to: Kind | undefined;
  readonly lr: number | undefined;
  readonly hard: boolean;
  readonly half: boolean;
  readonly experts: number;
}

/** Arguments with both paths. */
type Paths = ConvertArguments & { readonly in: string; readonly out: string };

/** What is read, and what the arguments say of it. */
const toldOf = (args: Paths): ToldSource => ({ ...args, command: "convert", path: args.in });

/** What OUT becomes: as `--to` says, by its ending, else a folder of pictures or of the other kind. */
function targetOf(from: Kind, { out, to }: Paths): Kind {
  const folder = isSet(from) ? "png" : from === "replay" ? "teachers" : "replay";
  const target = to ?? kindByEnding(out) ?? folder;
  const choices: readonly Kind[] = isSet(from)
    ? SETS
    : TRAJECTORIES.filter((kind) => kind !== from);
  if (!choices.includes(target))
    throw new UsageError(
      `convert: what is read is ${from}, so --to must be ${choices.join(" or ")}, got ${target}`,
    );
  return target;
}

/** Nothing that is there may end up among what is written. Throws `FileError`. */
function checkPlace(path: string, kind: Kind): void {
  if (kind === "safetensors" || kind === "npz") {
    proveWritable(path);
    return;
  }
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && (!stat.isDirectory() || readdirSync(path).length > 0))
    throw new FileError(
      `${path}: must be a new or an empty folder, got ${stat.isDirectory() ? "files in it" : "a file"}`,
    );
}

function writeSet(kind: SetKind, path: string, file: DistilledFile, hard: boolean): void {
  const set = hard ? hardened(file) : file;
  if (kind === "safetensors") writeDistilled(path, set);
  else if (kind === "npz") writeNpz(path, set, { hard });
  else if (kind === "published") writePublishedSet(path, set, { hard });
  else writePictureFolder(path, set, { hard });
}

async function importTeachers(args: Paths): Promise<string> {
  const { dataset: name, network, width } = taskBy(toldOf(args));
  const dataset = normalise(await loadSource(name, { data: args.data }));
  const model = modelFor(dataset, network, width);
  const count = importReplayBuffers(replayBuffers(args.in), args.out, model, {
    dataset: dataset.name,
    data: dataset.id,
    preprocessing: args.zca
      ? describePreprocessing({ kind: "zca", eps: ZCA_EPS })
      : describePreprocessing(dataset.preprocessing),
    augmentation: args.augmentation,
    ...{ network, width },
    // Told by nobody: the published program's own.
    ...{ seed: 0, batch: 256, optimizer: "sgd", lr: 0.01, momentum: 0, weightDecay: 0 },
    ...{ rho: 0, alpha: 0, adaptive: false },
    precision: args.half ? "float16" : "float32",
  });
  return `${count} teachers of ${model.name}, ${model.size} parameters`;
}

async function exportTeachers(args: Paths): Promise<string> {
  const buffer = new TrajectoryBuffer(args.in);
  const { dataset, network, width } = buffer.meta;
  checkTold(buffer.meta, toldOf(args));
  const known = outlineOf(dataset) ?? (await loadSource(args.dataset ?? dataset, args));
  const model = modelFor(known, network, width);
  const { experts, half } = args;
  const files = exportReplayBuffers(buffer, args.out, model, { experts, half });
  return `${buffer.count} experts of ${model.name} in ${files.length} files`;
}

/** Converts and says in a line what was written. */
async function convert(args: Paths): Promise<string> {
  const from = kindOf(args.in);
  const target = targetOf(from, args);
  if (!isSet(from)) {
    checkPlace(args.out, target);
    return from === "replay" ? importTeachers(args) : exportTeachers(args);
  }
  const file = await setAt(from, toldOf(args));
  checkPlace(args.out, target);
  writeSet(target as SetKind, args.out, file, args.hard);
  const { ipc, dataset, network } = file.meta;
  const labels = args.hard ? "hard" : "soft";
  return `${dataset}, ${ipc} images a class with ${labels} labels for ${network}`;
}

export const convertCommand: CommandModule<object, ConvertArguments> = {
  command: "convert [in] [out]",
  describe: "Exchange distilled sets and trajectories with other programs",
  builder: (yargs) =>
    commonOptions(toldOptions(yargs))
      .positional("in", {
        type: "string",
        describe:
          "A set: .safetensors, .npz, a folder of pictures with labels.csv, or of images_best.pt; or " +
          "trajectories: a folder of teachers, or of replay_buffer_0.pt and so on, or one of these",
      })
      .positional("out", { type: "string", describe: "What to write" })
      .option("to", {
        choices: [...SETS, ...TRAJECTORIES] as const,
        requiresArg: true,
        describe: "Kind of OUT [by its ending; a folder gets pictures, or the other trajectories]",
      })
      .option("lr", {
        type: "number",
        requiresArg: true,
        group: "Where the source does not say:",
        describe: "Learning rate to train with on a set",
      })
      .option("hard", {
        type: "boolean",
        default: false,
        describe: "Labels are classes, not logits",
      })
      .option("half", {
        type: "boolean",
        default: false,
        describe: "Trajectories are written as float16",
      })
      .option("experts", {
        type: "number",
        requiresArg: true,
        default: 10,
        describe: "Teachers in a replay buffer",
      })
      .example("$0 convert runs/mine/distilled-ipc10.safetensors mine.npz", "for numpy")
      .example("$0 convert mine.npz pictures", "to look at, and to edit")
      .example("$0 convert pictures mine.safetensors", "and back")
      .example("$0 convert runs/mine/buffer buffers", "teachers as replay_buffer_0.pt and so on")
      .example(
        "$0 convert logged/best best.safetensors --dataset cifar-10 --network ConvNet",
        "a published set, images_best.pt and labels_best.pt in a folder",
      ),
  handler: async (args) => {
    const { in: input, out, experts } = args;
    if (input === undefined || out === undefined)
      throw new UsageError(
        `convert: what to read and what to write must be given, got ${input ?? "neither"} (see --help)`,
      );
    checkAugmentation("convert", args.augmentation);
    if (!Number.isInteger(experts) || experts < 1)
      throw new UsageError(`convert: --experts must be a whole number from 1, got ${experts}`);
    const written = await convert({ ...args, in: input, out });
    printResult(args, { out, written }, () => `${out}: ${written}`);
  },
};
