/**
 * @file Kills teach, distill and evaluate at random moments, goes on as a user would, and compares all that
 * they leave with what they leave undisturbed, byte for byte: `npx tsx test/kill.ts [rounds] [seed]`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { Random } from "../engine/index.ts";
import { contents } from "./support/run-cli.ts";

const CLI = fileURLToPath(new URL("../bench/potstill.ts", import.meta.url));
const LOADER = import.meta.resolve("tsx");

const TEACHERS = "teachers";
const RUN = "run";
/** The commands of a small piece of work, one after the other. */
const COMMANDS: readonly (readonly string[])[] = [
  [
    ...["teach", "digits", "--width", "4", "--experts", "2", "--epochs", "6"],
    ...["--momentum", "0.9", "--out", TEACHERS],
  ],
  [
    ...["distill", "digits", "--ipc", "1", "--width", "4", "--teachers", TEACHERS],
    ...["--iterations", "60", "--syn_steps", "5", "--max_start_epoch", "3"],
    ...["--checkpoint-every", "7", "--out", RUN],
    ...["--evaluation.epoch_eval_train", "30", "--evaluation.num_eval", "2"],
  ],
  ["evaluate", RUN],
];

/** What a user types to go on after `command` was killed. */
function again(command: readonly string[], folder: string): readonly string[] {
  const begun = command[0] === "distill" && existsSync(join(folder, RUN, "run.json"));
  return begun ? ["distill", "--resume", RUN] : command;
}

interface Ended {
  readonly code: number | null;
  readonly ms: number;
  readonly said: string;
}

/** What is measured of the adapter once holds for all rounds. */
const cacheOf = (folder: string): string => join(dirname(folder), "cache");

/** Runs a command in a folder to its end, or kills it after so many ms. */
async function run(command: readonly string[], folder: string, ms = Infinity): Promise<Ended> {
  const begun = performance.now();
  const words = ["--import", LOADER, CLI, ...command, "--quiet"];
  const env = { ...process.env, POTSTILL_CACHE: cacheOf(folder) };
  const child = spawn(process.execPath, words, {
    cwd: folder,
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (text: Buffer) => (said += text.toString()));
  const ended = once(child, "close") as Promise<[number | null]>;
  const quiet = new AbortController();
  if (Number.isFinite(ms))
    void pause(ms, undefined, { signal: quiet.signal }).then(
      () => child.kill("SIGKILL"),
      () => undefined,
    );
  const [code] = await ended;
  quiet.abort();
  return { code, ms: performance.now() - begun, said };
}

const succeeded = ({ code, said }: Ended): void => {
  if (code !== 0) throw new Error(`exit code ${code}: ${said}`);
};

/**
 * One round: the commands with a kill after `at` ms of their time, then all that is left of them; nothing
 * where they were done before.
 */
async function round(folder: string, at: number): Promise<string | undefined> {
  let time = at;
  let killed = "";
  for (const command of COMMANDS) {
    let ended = await run(command, folder, killed === "" ? time : Infinity);
    if (ended.code === null) {
      killed = `${command[0]!} killed after ${(ended.ms / 1000).toFixed(1)} s`;
      ended = await run(again(command, folder), folder);
    } else time -= ended.ms;
    succeeded(ended);
  }
  return killed === "" ? undefined : killed;
}

function differences(must: Record<string, string>, got: Record<string, string>): string[] {
  const paths = new Set([...Object.keys(must), ...Object.keys(got)]);
  return [...paths].filter((path) => must[path] !== got[path]);
}

/** Kills and compares so many times; returns how many rounds left the same. */
export async function killRounds(
  rounds: number,
  seed: number,
  report: (line: string) => void,
): Promise<number> {
  const root = mkdtempSync(join(tmpdir(), "potstill-kill-"));
  // One path for all: recipes name the folder of their teachers.
  const folder = join(root, "work");
  const random = new Random(seed).stream("kills");
  let same = 0;
  try {
    mkdirSync(folder);
    const times: number[] = [];
    for (const command of COMMANDS) {
      const ended = await run(command, folder);
      succeeded(ended);
      times.push(ended.ms);
    }
    report(`undisturbed: ${times.map((ms) => `${(ms / 1000).toFixed(1)} s`).join(", ")}`);
    const must = contents(folder);
    const total = times.reduce((a, b) => a + b, 0);
    for (let i = 1; i <= rounds;) {
      rmSync(folder, { recursive: true });
      mkdirSync(folder);
      // Accuracies of the whole training set are remembered from run to run.
      rmSync(join(cacheOf(folder), "evaluations"), { recursive: true, force: true });
      const told = await round(folder, random.uniform() * total);
      if (told === undefined) continue;
      const others = differences(must, contents(folder));
      if (others.length === 0) same++;
      const verdict = others.length === 0 ? "the same" : `others: ${others.join(", ")}`;
      report(`${i++}: ${told}: ${Object.keys(must).length} files, ${verdict}`);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
  return same;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [rounds = 20, seed = 0] = process.argv.slice(2).map(Number);
  const same = await killRounds(rounds, seed, (line) => process.stdout.write(`${line}\n`));
  process.stdout.write(`${same} of ${rounds} the same, byte for byte\n`);
  process.exitCode = same === rounds ? 0 : 1;
}
