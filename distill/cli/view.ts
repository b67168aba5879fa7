/** @file `potstill view`: the report of runs, served while they go on or written into one file. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { CommandModule } from "yargs";
import { exportReport } from "../report/export.ts";
import { serveReport } from "../report/server.ts";
import { outputOptions, printResult, type OutputArguments } from "./output.ts";
import { UsageError } from "./usage.ts";

interface ViewArguments extends OutputArguments {
  readonly runs: string[];
  readonly port: number | undefined;
  readonly open: boolean;
  readonly export: string | undefined;
}

const HIGHEST_PORT = 65535;

export const viewCommand: CommandModule<object, ViewArguments> = {
  command: "view [runs..]",
  describe: "Show runs in the browser, live while they go on",
  builder: (yargs) =>
    outputOptions(yargs)
      .positional("runs", {
        type: "string",
        array: true,
        default: ["runs"],
        describe: "Folders of runs, or folders that hold them",
      })
      .option("port", {
        type: "number",
        requiresArg: true,
        describe: "Port of 127.0.0.1 to serve at [any that is free]",
      })
      .option("open", { type: "boolean", default: false, describe: "Open the browser, too" })
      .option("export", {
        type: "string",
        requiresArg: true,
        describe: "Write the report into this file of HTML, and serve nothing",
      })
      .example("$0 view", "all runs in runs/")
      .example("$0 view runs/a runs/b --open", "two runs side by side")
      .example("$0 view runs/demo --export demo.html", "a file to send to somebody"),
  handler: async (args) => {
    const { runs, port, open, export: file } = args;
    if (file !== undefined) {
      if (port !== undefined || open)
        throw new UsageError("--export must be without --port and --open, got both");
      await exportReport(runs, file);
      printResult(args, { file }, () => `Report written to ${file}.`);
      return;
    }
    if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= HIGHEST_PORT))
      throw new UsageError(`--port must be an integer in 0..${HIGHEST_PORT}, got ${port}`);
    await using report = await serveReport(runs, port);
    const { url } = report;
    printResult(args, { url }, () => `Report at ${url} (Ctrl-C ends it)`);
    if (open) openBrowser(report.url);
    await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  },
};

/** Opens an address in the user's browser; where there is none, the printed address remains. */
function openBrowser(url: string): void {
  const [command, ...args] =
    process.platform === "darwin"
      ? ["open", url]
      : process.platform === "win32"
        ? ["cmd", "/c", "start", "", url]
        : ["xdg-open", url];
  const child = spawn(command, args, { stdio: "ignore", detached: true });
  child.on("error", () => console.error(`potstill: no browser could be opened for ${url}`));
  child.unref();
}
