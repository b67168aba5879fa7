/** @file `potstill gather`: whether divided work is complete, and its results together. */
import { join } from "node:path";
import type { CommandModule } from "yargs";
import { gather, type Gathered } from "../cluster/gather.ts";
import type { Result } from "../cluster/results.ts";
import { forgetTasks } from "../cluster/tasks.ts";
import { readWork, type Divided } from "../cluster/work.ts";
import { ComparisonGatherer } from "../evaluation/compare-gather.ts";
import { RowGatherer } from "../evaluation/divided.ts";
import { resultsJson } from "../evaluation/table.ts";
import { FileError, writeAtomic } from "../files.ts";
import { readTrajectory, type Teacher } from "../teachers/trajectory.ts";
import { sharedFolder } from "./options.ts";
import { outputOptions, shownTable, type OutputArguments } from "./output.ts";
import { accuracyOf } from "./teach.ts";

interface GatherArguments extends OutputArguments {
  readonly folder: string;
}

/** Units are named up to this number. */
const NAMED = 10;

function listed(units: readonly string[]): string {
  const more = units.length - NAMED;
  return `${units.slice(0, NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** What is not as it must be, as one sentence, or nothing. */
export function incomplete(
  folder: string,
  { units, missing, damaged }: Gathered,
): string | undefined {
  const lost = [
    ...(missing.length > 0 ? [`${missing.length} missing (${listed(missing)})`] : []),
    ...(damaged.length > 0
      ? [`${damaged.length} damaged (${listed(damaged.map(({ problem }) => problem))})`]
      : []),
  ];
  if (lost.length === 0) return undefined;
  const advice = damaged.length > 0 ? "remove what is damaged and run" : "run";
  return `${folder}: all ${units} units must be there, got ${lost.join(" and ")}; ${advice} the same command again`;
}

export const gatherCommand: CommandModule<object, GatherArguments> = {
  command: "gather <folder>",
  describe: "Check that divided work is complete, and put its results together",
  builder: (yargs) =>
    outputOptions(yargs)
      .positional("folder", sharedFolder)
      .example("$0 gather runs/digits-teachers", "after teach in shards"),
  handler: ({ folder, json }) => {
    const { command } = readWork(folder);
    const collected = collect(command, folder);
    const gathered = gather(folder, collected.add);
    if (json) console.log(JSON.stringify(gathered, null, 2));
    const problem = incomplete(folder, gathered);
    if (problem !== undefined) throw new FileError(problem);
    forgetTasks(folder);
    const told = collected.finish();
    if (!json) console.log(told);
  },
};

/** What takes the results of a command's units and, of all of them, makes what it makes; and says so. */
interface Collected {
  readonly add: (unit: string, result: Result) => void;
  readonly finish: () => string;
}

function collect(command: Divided, folder: string): Collected {
  switch (command) {
    case "teach": {
      const teachers: Teacher[] = [];
      return {
        add: (unit) => void teachers.push(readTrajectory(join(folder, `${unit}.safetensors`))),
        finish: () => `all ${teachers.length} teachers are in ${folder}, ${accuracyOf(teachers)}`,
      };
    }
    case "evaluate": {
      const results = new RowGatherer();
      return {
        add: (unit, result) => results.add(unit, result),
        finish: () => {
          const rows = results.rows().map(({ row }) => row);
          writeAtomic(join(folder, "results.json"), resultsJson(rows));
          return shownTable(rows);
        },
      };
    }
    case "compare": {
      const comparison = new ComparisonGatherer(folder);
      return {
        add: (unit, result) => comparison.add(unit, result),
        finish: () => shownTable(comparison.finish()),
      };
    }
  }
}
