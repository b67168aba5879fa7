/** @file `potstill info`: the adapter that would be used here and what it can do, or a program's launches. */

import type { Argv, CommandModule } from "yargs";

import type { AdapterFacts } from "../../engine/index.ts";
import { versionsWith } from "../resume/about.ts";
import { outputOptions, type OutputArguments } from "./output.ts";
import { adapterOptions, withAdapter, type AdapterArguments } from "./options.ts";
import {
  describeProgram,
  PROCEDURES,
  shownProgram,
  SIZES,
  type GivenSizes,
  type Procedure,
} from "./program.ts";
import { UsageError } from "./usage.ts";

interface InfoArguments extends AdapterArguments, OutputArguments, GivenSizes {
  readonly program: string | undefined;
  readonly procedure: Procedure | undefined;
}

const told = (text: string) => (text === "" ? "not told" : text);

/** What `potstill info` prints: a line for every fact, limits one a line. */
export function formatFacts(facts: AdapterFacts, versions: Record<string, string>): string {
  const { subgroupSize: size } = facts;
  const subgroups = size
    ? `${size.min}${size.max > size.min ? ` to ${size.max}` : ""} lanes`
    : "none";
  const rows: [string, string][] = [
    ["adapter", facts.name],
    ["kind", facts.kind],
    ["vendor", told(`${facts.vendor} ${facts.architecture}`.trim())],
    ["driver", told(facts.driver)],
    ["backend", facts.backend],
    ["checks", facts.checks],
    ["precision", facts.precision],
    ["subgroups", subgroups],
    ["timestamps", facts.timestamps ? "yes" : "no"],
    ["features", facts.features.join(", ")],
    [
      "versions",
      Object.entries(versions)
        .map((entry) => entry.join(" "))
        .join(", "),
    ],
  ];
  const limits = Object.entries(facts.limits).map(
    ([name, value]) => `  ${name.padEnd(42)} ${value}`,
  );
  return [...rows.map(([name, text]) => `${name.padEnd(11)} ${text}`), "limits", ...limits].join(
    "\n",
  );
}

/** Flags that say something of a program, and nothing without one. */
const PROGRAM_FLAGS = [...Object.keys(SIZES), "procedure"];

/** `--width`, `--size` and their like. */
function sizeOptions<T>(yargs: Argv<T>): Argv<T> {
  for (const [name, describe] of Object.entries(SIZES))
    yargs.option(name, { type: "number", requiresArg: true, describe, group: "With --program:" });
  return yargs;
}

function tell(facts: AdapterFacts, json: boolean): string {
  const versions = versionsWith(facts);
  return json ? JSON.stringify({ ...facts, versions }, null, 2) : formatFacts(facts, versions);
}

export const infoCommand: CommandModule<object, InfoArguments> = {
  command: "info",
  describe: "Show the adapter that would be used and what it can do, or a program's launches",
  builder: (yargs) =>
    sizeOptions(
      outputOptions(adapterOptions(yargs))
        .option("program", {
          type: "string",
          requiresArg: true,
          describe: "Show the launches of the program that distils with this network or recipe",
        })
        .option("procedure", {
          choices: PROCEDURES,
          requiresArg: true,
          describe: "The one procedure to show [all]",
          group: "With --program:",
        }),
    ).example(
      "$0 info --program ConvNetD3 --batch 10 --procedure adjoint",
      "what one step backwards costs",
    ),
  handler: async (args) => {
    const { program, procedure, json } = args;
    const alone = PROGRAM_FLAGS.find((flag) => args[flag as keyof InfoArguments] !== undefined);
    if (program === undefined && alone !== undefined)
      throw new UsageError(`--${alone} must come with --program NAME, got none`);
    const shown = program === undefined ? undefined : await shownProgram(program, sizesOf(args));
    const options = { procedure, json, run: args.profile !== undefined };
    await withAdapter(args, async (gpu) => {
      console.log(shown ? await describeProgram(gpu, shown, options) : tell(gpu.facts, json));
    });
  },
};

/** The sizes that flags give. */
function sizesOf(args: InfoArguments): GivenSizes {
  const names = Object.keys(SIZES) as (keyof GivenSizes)[];
  return Object.fromEntries(names.map((name) => [name, args[name]]));
}
