#!/usr/bin/env node
/** @file The `potstill` executable: all commands, and `bench`, which stands above what it measures. */
import { main } from "../distill/cli/main.ts";
import { benchCommand } from "./command.ts";

process.exitCode = await main(process.argv.slice(2), {
  names: ["bench"],
  add: (parser) => parser.command(benchCommand),
});
