/** @file `potstill status`: how divided work stands. */
import type { CommandModule } from "yargs";
import { statusOf, type Status } from "../cluster/status.ts";
import { formatTime } from "../progress.ts";
import { sharedFolder } from "./options.ts";
import { outputOptions, printResult, type OutputArguments } from "./output.ts";

interface StatusArguments extends OutputArguments {
  readonly folder: string;
}

/** The status as lines to read. */
export function formatStatus(
  { command, units, done, running, failed, waiting, begun, end }: Status,
  now = Date.now(),
): string {
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const lines = [`${command}: ${done} of ${count(units, "unit")} done`];
  const epochs = Object.entries(begun).map(([unit, epoch]) => `${unit} (epoch ${epoch})`);
  if (epochs.length > 0) lines.push(`begun: ${epochs.join(", ")}`);
  if (running.length > 0) lines.push(`running: ${count(running.length, "task")}`);
  if (waiting > 0)
    lines.push(
      `left by tasks that have ended: ${count(waiting, "unit")}, which needed others' first; run the tasks again`,
    );
  for (const { shard, of, host, problem = "silent for over a minute" } of failed)
    lines.push(`failed: shard ${shard}/${of} on ${host}: ${problem}`);
  if (end !== undefined)
    lines.push(
      `end: in about ${formatTime(end - now)} (${new Date(end).toISOString().slice(0, 16)}Z)`,
    );
  return lines.join("\n");
}

export const statusCommand: CommandModule<object, StatusArguments> = {
  command: "status <folder>",
  describe: "Say what of divided work is done, running and failed, and when it will end",
  builder: (yargs) =>
    outputOptions(yargs)
      .positional("folder", sharedFolder)
      .example("$0 status runs/digits-teachers", "while teach runs in shards"),
  handler: (args) => {
    const status = statusOf(args.folder);
    printResult(args, status, () => formatStatus(status));
  },
};
