/** @file Distilled sets that commands are given: any kind of file, and flags for what it does not say. */
import type { Argv } from "yargs";
import { buildModel, type Model } from "../../models/index.ts";
import type { Source } from "../data/dataset.ts";
import { outlineOf, type Outline } from "../data/known.ts";
import type { Whitening } from "../data/preprocess.ts";
import { fitWhitening } from "../data/zca.ts";
import type { DistilledFile } from "../distilled.ts";
import type { SetKind } from "../exchange/kind.ts";
import { isSelfDescribing, PUBLISHED_WIDTH, readSet, toldBy } from "../exchange/load.ts";
import type { Told } from "../exchange/published-set.ts";
import { FileError } from "../files.ts";
import { DSA_STRATEGY, isStrategy, STRATEGY_RULE } from "../training/strategy.ts";
import { progressFor, withAdapter, type CommonArguments } from "./options.ts";
import { UsageError } from "./usage.ts";

/** What flags say of a set or of trajectories. */
export interface ToldArguments {
  readonly dataset: string | undefined;
  readonly network: string | undefined;
  readonly width: number | undefined;
  readonly zca: boolean;
  readonly augmentation: string;
}

/** What is read, and what is said of it on the command line of `command`. */
export interface ToldSource extends CommonArguments, ToldArguments {
  readonly command: string;
  readonly path: string;
  /** Learning rate where the set has none. */
  readonly lr: number | undefined;
}

/** Flags for what the source may not say. */
export function toldOptions<T>(yargs: Argv<T>): Argv<T & ToldArguments> {
  const group = "Where the source does not say:";
  return yargs
    .option("dataset", { type: "string", requiresArg: true, group, describe: "Its data set" })
    .option("network", { type: "string", requiresArg: true, group, describe: "Its network" })
    .option("width", {
      type: "number",
      requiresArg: true,
      group,
      describe: `The network's width [${PUBLISHED_WIDTH}]`,
    })
    .option("zca", {
      type: "boolean",
      default: false,
      group,
      describe: "It is of whitened images, not of normalised ones",
    })
    .option("augmentation", {
      type: "string",
      requiresArg: true,
      default: DSA_STRATEGY,
      group,
      describe: "How it was augmented; none, or operators of DSA",
    });
}

/** Throws `UsageError` where `--augmentation` is none. */
export function checkAugmentation(command: string, augmentation: string): void {
  if (!isStrategy(augmentation))
    throw new UsageError(
      `${command}: --augmentation must be ${STRATEGY_RULE}, got ${augmentation}`,
    );
}

/** The network for the images and classes of a data set. */
export function modelFor(
  { channels, height, classes }: Outline | Source,
  network: string,
  width: number,
): Model {
  return buildModel(network, { channels, size: height, classes: classes.length }, { width });
}

/** What the arguments must say where the files don't. Throws `UsageError`. */
export function taskBy({ command, path, dataset, network, width = PUBLISHED_WIDTH }: ToldSource) {
  if (dataset === undefined || network === undefined)
    throw new UsageError(
      `${command}: --dataset and --network must say what ${path} is of, got ${dataset ?? network ?? "neither"}`,
    );
  return { dataset, network, width };
}

/** The whitening of a data set's training images, which the device computes. */
async function whiteningOf(args: CommonArguments, source: Source): Promise<Whitening> {
  const progress = progressFor(args);
  progress.start("fit whitening", 100);
  try {
    const report = (part: number): void => progress.update(Math.floor(100 * part));
    return await withAdapter(args, (gpu) => fitWhitening(gpu, source.train, source, { report }));
  } finally {
    progress.stop();
  }
}

/** What files say themselves must be what the arguments say, where they say it. Throws `FileError`. */
export function checkTold(
  found: { readonly dataset: string; readonly network: string; readonly width: number },
  { path, dataset, network, width }: ToldSource,
): void {
  const wanted = { dataset: dataset && (outlineOf(dataset)?.name ?? dataset), network, width };
  for (const key of ["dataset", "network", "width"] as const)
    if (wanted[key] !== undefined && wanted[key] !== found[key])
      throw new FileError(
        `${path}: ${key} must be ${wanted[key]} as --${key} says, got ${found[key]}`,
      );
}

/**
 * The distilled set in a file or folder of a kind.
 * @throws FileError when it is damaged, or says something else than the flags; UsageError when neither
 * says what it is of.
 */
export async function setAt(kind: SetKind, source: ToldSource): Promise<DistilledFile> {
  const { path, lr } = source;
  const told = (): Promise<Told> =>
    toldBy({ ...source, ...taskBy(source) }, (data) => whiteningOf(source, data));
  const file = await readSet(kind, path, told, lr);
  if (isSelfDescribing(kind, path)) checkTold(file.meta, source);
  return file;
}
