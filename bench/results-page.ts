/** @file What the commands that write a page of results have in common: flags, the comparison, and by whom it was made. */
import { join } from "node:path";
import yargs from "yargs";
import { commonOptions, type CommonArguments } from "../distill/cli/options.ts";
import { reportError } from "../distill/cli/main.ts";
import { markdownTable } from "../distill/evaluation/table.ts";
import { proveWritable } from "../distill/files.ts";
import type { Recipe } from "../distill/recipe.ts";
import type { AdapterFacts } from "../engine/index.ts";
import { commit } from "./commit.ts";

export interface ResultsArguments extends CommonArguments {
  readonly page: string;
  readonly quick: boolean;
  readonly out: string;
}

/** The flags of `npm run results:<name>`; `page` is where the page is by default. */
export const resultsOptions = (words: readonly string[], name: string, page: string) =>
  commonOptions(yargs([...words]).scriptName(`npm run results:${name} --`))
    .option("page", {
      type: "string",
      requiresArg: true,
      default: page,
      describe: "File of the page",
    })
    .option("quick", {
      type: "boolean",
      default: false,
      describe: "Hardly any training, to try the command; name another page",
    })
    .option("out", {
      type: "string",
      requiresArg: true,
      default: join("runs", `results-${name}`),
      describe: "Folder of the runs",
    });

/** Does the work of such a command, where the page can be written; errors end it as they end `potstill`. */
export async function makePage<A extends ResultsArguments>(
  parse: () => Promise<A>,
  work: (args: A) => Promise<void>,
): Promise<void> {
  try {
    const args = await parse();
    proveWritable(args.page);
    await work(args);
  } catch (error) {
    process.exitCode = reportError(error);
  }
}

export interface Made {
  readonly facts: AdapterFacts;
  readonly recipe: Recipe;
  /** Lines of the command's own. */
  readonly more: readonly (readonly [what: string, value: string])[];
}

/** The table of how a page's numbers were made; `command` is the one that makes them. */
export function madeBy(command: string, { facts, recipe, more }: Made): string {
  const { num_eval: seeds, epoch_eval_train: epochs, ...evaluation } = recipe.evaluation;
  const { batch, momentum, weight_decay: decay, lr = recipe.lr_teacher } = evaluation;
  return markdownTable([
    ["", ""],
    ["command", `\`${command}\``],
    ["seeds", `recipes' \`seed: ${recipe.seed}\`; networks 0 to ${seeds - 1}`],
    [
      "protocol",
      `${epochs} epochs, batch ${batch}, SGD with momentum ${momentum} and weight decay ${decay}; lr of distilled sets their own, else ${lr}; a tenth of it after half`,
    ],
    ["adapter", `${facts.name} (${facts.kind}), ${facts.driver}`],
    ["commit", commit()],
    ...more,
  ]);
}
