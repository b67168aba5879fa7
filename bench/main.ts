/** @file `npm run bench`: `potstill bench` by a shorter name. */
import yargs from "yargs";
import { reportError } from "../distill/cli/main.ts";
import { strictly } from "../distill/cli/usage.ts";
import { benchCommand } from "./command.ts";

const words = process.argv.slice(2);
try {
  const parser = yargs(["bench", ...words])
    .scriptName("potstill")
    .command(benchCommand);
  await strictly(parser, words).parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
