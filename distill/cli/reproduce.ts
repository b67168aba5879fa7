/** @file `potstill reproduce`: a published recipe done again, and its published number beside ours. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { confidenceInterval } from "../evaluation/interval.ts";
import type { ResultRow } from "../evaluation/table.ts";
import { FileError } from "../files.ts";
import { publishedFor, publishedRecipes, type Published } from "../published.ts";
import { shippedRecipes } from "../recipe-file.ts";
import { readAbout } from "../resume/about.ts";
import { recipeId } from "../resume/checkpoint.ts";
import { runState } from "../resume/folder.ts";
import { closest } from "../spelling.ts";
import { carryThrough, flags, type DistillArguments } from "./distill.ts";
import { checkpointOption, commonOptions } from "./options.ts";
import { printResult, shownTable } from "./output.ts";
import { overridesOf, recipeOptions, teachersFlag, workFor } from "./settings.ts";
import { UsageError } from "./usage.ts";

interface ReproduceArguments extends Omit<
  DistillArguments,
  "resume" | "overwrite" | "tensorboard" | "dry-run"
> {
  readonly name: string;
}

/** A published number and ours as sentences; `changed` are the settings that are not as published. */
export function besidePublished(
  { accuracy, source }: Published,
  row: Pick<ResultRow, "mean" | "std" | "seeds">,
  changed: readonly string[],
): string {
  const percent = (x: number): string => (100 * x).toFixed(1);
  const interval = confidenceInterval(row, row.seeds);
  const spread = interval
    ? ` (95 % interval ${percent(interval[0])} to ${percent(interval[1])}, ${row.seeds} networks)`
    : " (one network, so without an interval)";
  return [
    `published: ${percent(accuracy)} % (${source})`,
    `here:      ${percent(row.mean)} ± ${percent(row.std)} %${spread}`,
    ...(changed.length > 0
      ? [`not as published, so the two do not compare: ${changed.join(", ")}`]
      : []),
  ].join("\n");
}

/** Settings that flags change, as they are written. */
const changedBy = (args: ReproduceArguments): string[] =>
  Object.entries(overridesOf({ ...args }, flags)).flatMap(([key, value]: [string, unknown]) =>
    typeof value === "object" && value !== null
      ? Object.entries(value).map(([inner, set]) => `${key}.${inner} ${String(set)}`)
      : [`${key} ${String(value)}`],
  );

export const reproduceCommand: CommandModule<object, ReproduceArguments> = {
  command: "reproduce <name>",
  describe: "Do a published recipe again, or go on with it, and print its number beside ours",
  builder: (yargs) =>
    commonOptions(
      recipeOptions(yargs, flags, teachersFlag)
        .positional("name", {
          type: "string",
          demandOption: true,
          describe: `A published recipe: ${publishedRecipes.join(", ")}`,
        })
        .option("out", {
          type: "string",
          requiresArg: true,
          describe: "Folder of the run [runs/reproduce-<name>]",
        })
        .option("checkpoint-every", checkpointOption),
    )
      .example("$0 reproduce cifar-10-ipc1", "the published settings, to the number of the paper")
      .example(
        "$0 reproduce cifar-10-ipc1 --iterations 100",
        "fewer iterations, told in the result",
      ),
  handler: async (args) => {
    const { name } = args;
    const published = publishedFor(name);
    const file = shippedRecipes().get(name);
    if (!published || file === undefined) {
      const near = closest(name, publishedRecipes);
      const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
      throw new UsageError(
        `reproduce: the recipe must be one of ${publishedRecipes.join(", ")}, got "${name}"${hint}`,
      );
    }
    const folder = args.out ?? join("runs", `reproduce-${name}`);
    const given = { ...args, recipe: file, dataset: undefined };
    const plain = { ...{ tensorboard: false, "dry-run": false, overwrite: false } };
    let rows: ResultRow[];
    if (runState(folder) === "none")
      rows = await carryThrough({ ...given, ...plain, out: folder, resume: undefined });
    else {
      const { recipe } = await workFor(given, flags, "reproduce");
      const [begun] = Object.values(readAbout(folder).recipes);
      if (begun !== recipeId(recipe))
        throw new FileError(
          `${folder}: must have a run of ${name} with these settings (${recipeId(recipe)}), got another (${begun ?? "none"}); use another --out`,
        );
      rows = await carryThrough({ ...args, ...plain, out: undefined, resume: folder });
    }
    const changed = changedBy(args);
    const [row] = rows;
    const interval = confidenceInterval(row!, row!.seeds);
    printResult(args, { published, row, interval, changed }, () =>
      [shownTable(rows), "", besidePublished(published, row!, changed)].join("\n"),
    );
  },
};
