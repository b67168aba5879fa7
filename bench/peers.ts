/** @file `npm run bench:peers`: the same work in other frameworks, on the same adapter, in turns. */
import { execFileSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import yargs from "yargs";
import { commit } from "./commit.ts";
import { compare, type Entry, type Result } from "./peers/compare.ts";
import { commandOf, isInstalledHere, peerNames, pythonsFor, takes } from "./peers/peers.ts";
import type { OpenOptions } from "./peers/peer.ts";
import { selectPeers, selectRows } from "./peers/select.ts";
import type { Row } from "./peers/tasks.ts";
import { Session } from "./peers/session.ts";
import { heading, table } from "./peers/table.ts";

interface Arguments extends OpenOptions {
  readonly peers: readonly string[];
  readonly rows: readonly Row[];
  readonly quick: boolean;
  /** How long a peer may take for one answer, in ms. */
  readonly limitMs: number;
  /** Where PyTorch is looked for. */
  readonly pythons: readonly string[];
  readonly json: string | undefined;
}

const here = (name: string): string => fileURLToPath(new URL(`peers/${name}`, import.meta.url));

/** Installs the frameworks where that has not been done since their list changed. */
function install(): void {
  const installed = here("node_modules/.package-lock.json");
  const wanted = statSync(here("package-lock.json")).mtimeMs;
  if (existsSync(installed) && statSync(installed).mtimeMs >= wanted) return;
  console.log("installing the frameworks into bench/peers/node_modules (about 460 MB)");
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  try {
    execFileSync(npm, ["ci"], { cwd: here(""), stdio: ["ignore", "ignore", "inherit"] });
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `peers: \`npm ci\` in bench/peers must succeed once, with the registry within reach, got ${got}`,
      { cause },
    );
  }
}

/** Ours first, whether chosen or not: the others are measured against it. */
function entriesFor(args: Arguments, kind: Parameters<typeof takes>[1]): Entry[] {
  return ["ours", ...args.peers.filter((name) => name !== "ours")]
    .filter((name) => takes(name, kind))
    .map((name) => {
      const found = commandOf(name, args.pythons);
      if ("absent" in found) return { name, start: found };
      return { name, start: () => new Session(found.command, args.limitMs) };
    });
}

async function main(args: Arguments): Promise<void> {
  if (args.peers.some(isInstalledHere)) install();
  const sampling = args.quick
    ? { rounds: 3, sampleMs: 200, budgetMs: 15_000 }
    : { rounds: 7, sampleMs: 500, budgetMs: 60_000 };
  const versions: Record<string, string> = {};
  let header: { adapter: string; driver: string } | undefined;
  const rows: { readonly name: string; readonly results: readonly Result[] }[] = [];
  for (const row of args.rows) {
    const entries = entriesFor(args, row.task.kind);
    const results = await compare(row, entries, args, sampling, (facts) => {
      Object.assign(versions, facts.versions);
      if (header || !facts.adapter) return;
      const { name: adapter, driver } = facts.adapter;
      header = { adapter, driver };
      console.log(`${adapter} (${driver}), webgpu ${versions["webgpu"]}, commit ${commit()}`);
      console.log(
        `${args.checks} checks for ours, Dawn's own settings for peers; their polling ${args.slowPolling ? "slowed like ours" : "as it comes"}`,
      );
      console.log(heading);
    });
    rows.push({ name: row.name, results });
    console.log(table(row.name, results));
  }
  const shown = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  console.log(shown.join(", "));
  if (args.json === undefined) return;
  const { checks, slowPolling } = args;
  const document = { ...header, versions, commit: commit(), checks, slowPolling, rows };
  writeFileSync(args.json, `${JSON.stringify(document, null, 2)}\n`);
}

/** @throws Error that tells what an option must be. */
async function parseArguments(argv: readonly string[]): Promise<Arguments> {
  const args = await yargs(argv)
    .scriptName("npm run bench:peers --")
    .option("peers", {
      type: "string",
      requiresArg: true,
      describe: "Only peers whose names contain one of these, separated by commas",
    })
    .option("filter", {
      type: "string",
      requiresArg: true,
      describe: "Only rows whose name contains this",
    })
    .option("quick", { type: "boolean", default: false, describe: "Fewer rows and samples" })
    .option("large", {
      type: "boolean",
      default: false,
      describe: "The sizes that are distilled with instead, for a GPU; pick peers with --peers",
    })
    .option("adapter", {
      type: "string",
      requiresArg: true,
      default: process.env["POTSTILL_ADAPTER"] ?? "",
      describe: "hardware, lavapipe, swiftshader or part of a name",
    })
    .option("checks", {
      choices: ["safe", "fast"] as const,
      default: "safe" as const,
      describe: "What Dawn checks of our calls: all of it, or nothing",
    })
    .option("slow-polling", {
      type: "boolean",
      default: false,
      describe: "Slow Dawn's polling for the peers as our engine does for itself",
    })
    .option("limit", {
      type: "number",
      requiresArg: true,
      default: 300,
      describe: "Seconds that a peer may take to compile and run once",
    })
    .option("python", {
      type: "string",
      requiresArg: true,
      describe: "The Python that has PyTorch",
    })
    .option("json", {
      type: "string",
      requiresArg: true,
      describe: "Write the results to this file",
    })
    .strict()
    .fail((message, error) => {
      // yargs passes none where the message is its own.
      throw (error as Error | undefined) ?? new RangeError(message);
    })
    .parseAsync();
  if (!(args.limit > 0)) throw new RangeError(`--limit: must be above 0, got ${args.limit}`);
  return {
    peers: args.peers === undefined ? peerNames : selectPeers(args.peers),
    rows: selectRows(args),
    quick: args.quick,
    limitMs: args.limit * 1000,
    pythons: pythonsFor(args.python),
    adapter: args.adapter,
    checks: args.checks,
    slowPolling: args.slowPolling,
    json: args.json,
  };
}

try {
  await main(await parseArguments(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
