/** @file `potstill data`: which data sets are here, what is in them, and fetching those that are not. */
import type { CommandModule } from "yargs";
import { aligned } from "../evaluation/table.ts";
import { channelStatistics, DataError, type Source, type Split } from "../data/dataset.ts";
import { download, md5Of } from "../data/download.ts";
import { datasetNames, outlineOf } from "../data/known.ts";
import { dataFolder, downloadFolder, locate, locatePath, type Located } from "../data/locate.ts";
import { officialFile, officialOf } from "../data/official.ts";
import { checkDataset, loadSource } from "../data/registry.ts";
import { createProgress, type Progress } from "../progress.ts";
import { dataOption } from "./options.ts";
import { outputOptions, printResult, type OutputArguments } from "./output.ts";
import { UsageError } from "./usage.ts";

interface DataArguments extends OutputArguments {
  readonly dataset: string | undefined;
  readonly data: string | undefined;
  readonly size: number | undefined;
  readonly download: boolean;
}

/** Files whose checksums are told; a folder of pictures has more. */
const MOST_FILES = 16;

/** The known sets: what they are, and where they were found. */
function knownSets(folder: string) {
  return datasetNames.map((name) => {
    const { channels, height, width, classes, train, test } = outlineOf(name)!;
    const images = [channels, height, width];
    return { name, images, classes: classes.length, train, test, files: whereabouts(name, folder) };
  });
}

/** A line for each known set. */
export function formatSets(folder: string): string {
  const rows = knownSets(folder).map(({ name, images, classes, train, test, files }) => [
    name,
    images.join(" x "),
    ...[classes, train, test].map(String),
    files,
  ]);
  return aligned([["data set", "images", "classes", "training", "test", "files"], ...rows]);
}

function whereabouts(name: string, folder: string): string {
  if (name === "digits") return "come with the program";
  try {
    using tree = locate(outlineOf(name)!, folder).tree;
    return tree.name;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return error.message.startsWith("dataset: ") ? "not here" : error.message;
  }
}

/** What is in a set. */
function factsOf(source: Source) {
  const {
    name,
    id,
    channels,
    height,
    width,
    classes,
    train,
    test,
    normalisation,
    notes = [],
  } = source;
  return {
    ...{
      name,
      id,
      images: [channels, height, width],
      classes,
      train: train.count,
      test: test.count,
    },
    ...{ published: normalisation, computed: channelStatistics(train, source), notes },
  };
}

/** What is in a set and its files: facts one a line. */
function formatSet(source: Source, located: Located | undefined): string {
  const { channels, height, width, classes, train, test, normalisation, notes = [] } = source;
  const computed = channelStatistics(train, source);
  const numbers = (values: readonly number[]): string =>
    values.map((value) => value.toFixed(4)).join(" ");
  const constants = ({ mean, std }: typeof computed): string =>
    `mean ${numbers(mean)}, std ${numbers(std)}`;
  const rows: [string, string][] = [
    ["data set", source.name],
    ["id", source.id],
    ["images", `${channels} x ${height} x ${width}`],
    ["classes", `${classes.length}: ${classes.join(", ")}`],
    ["training", countsOf(train, classes)],
    ["test", countsOf(test, classes)],
    ["published", normalisation ? constants(normalisation) : "none"],
    ["computed", constants(computed)],
    [
      "files",
      located ? `${located.detected.kind} in ${located.tree.name}` : "come with the program",
    ],
    ...notes.map((note): [string, string] => ["note", note]),
  ];
  return [...rows.map(([name, text]) => `${name.padEnd(9)}  ${text}`), ...checksums(located)].join(
    "\n",
  );
}

function countsOf({ count, labels }: Split, classes: readonly string[]): string {
  const counts = new Array<number>(classes.length).fill(0);
  for (const label of labels) counts[label]!++;
  const same = counts.every((n) => n === counts[0]);
  const each = same
    ? `${counts[0]!} a class`
    : counts.map((n, k) => `${classes[k]!} ${n}`).join(", ");
  return `${count} images: ${each}`;
}

/** A line a file: its MD5, and whether an official file has it. */
function checksums(located: Located | undefined): string[] {
  if (!located) return [];
  const { tree } = located;
  const onDisk = tree.files.flatMap(({ place }) => (place === undefined ? [] : [place]));
  const paths = onDisk.length > 0 ? onDisk : [tree.name];
  if (paths.length > MOST_FILES) return [];
  return paths.map((path) => {
    const md5 = md5Of(path);
    const official = officialFile(md5);
    return `${" ".repeat(11)}${path}  md5 ${md5}  ${official === undefined ? "not known" : `the official ${official}`}`;
  });
}

async function fetchSet(dataset: string, folder: string, progress: Progress): Promise<void> {
  const outline = outlineOf(dataset);
  const official = outline && officialOf(outline.name);
  if (!outline || !official)
    throw new UsageError(
      `--download must come with a set that is published: ${datasetNames.filter(officialOf).join(", ")}, got "${dataset}"`,
    );
  const paths = await download(official.files, downloadFolder(outline, folder), progress);
  for (const path of paths) progress.log(`${path}: fetched, its checksum is the official one`);
}

export const dataCommand: CommandModule<object, DataArguments> = {
  command: "data [dataset]",
  describe: "Show which data sets are here and what is in one, or fetch one",
  builder: (yargs) =>
    outputOptions(dataOption(yargs))
      .positional("dataset", { type: "string", describe: "Name of a data set, or a path" })
      .option("download", {
        type: "boolean",
        default: false,
        describe: "Fetch the official files into the folder of data sets, checksums verified",
      })
      .option("size", {
        type: "number",
        requiresArg: true,
        describe: "Pixels along a side that pictures are brought to",
      })
      .example("$0 data fashion-mnist --download", "fetch Fashion-MNIST into ./data/fashion-mnist"),
  handler: async (args) => {
    const { dataset, data, download: wanted, size, quiet } = args;
    const folder = dataFolder(data);
    if (dataset === undefined) {
      if (wanted)
        throw new UsageError("--download must come with the name of a data set, got none");
      printResult(args, knownSets(folder), () => formatSets(folder));
      return;
    }
    checkDataset(dataset);
    const progress = createProgress({ quiet });
    if (wanted) await fetchSet(dataset, folder, progress);
    const source = await loadSource(dataset, { data, size, progress });
    const outline = outlineOf(dataset);
    if (outline?.name === "digits") {
      printResult(args, factsOf(source), () => formatSet(source, undefined));
      return;
    }
    const located = outline ? locate(outline, folder) : locatePath(dataset);
    using tree = located.tree;
    const files = { kind: located.detected.kind, path: tree.name };
    printResult(args, { ...factsOf(source), files }, () => formatSet(source, { ...located, tree }));
  },
};
