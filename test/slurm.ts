/**
 * @file Divided work on a real Slurm, set up on this machine and taken down: `tsx test/slurm.ts`, as root, with
 * Debian's slurmctld, slurmd, slurm-client and munge installed.
 */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const TEACH = [
  ...["teach", "digits", "--experts", "8", "--epochs", "25", "--width", "16"],
  ...["--momentum", "0.9", "--quiet"],
];
const folder = mkdtempSync(join(tmpdir(), "potstill-slurm-"));
const environment = { ...process.env, SLURM_CONF: join(folder, "slurm.conf") };
const pidFiles = ["slurmd.pid", "slurmctld.pid", "munged.pid"].map((name) => join(folder, name));

/** What a program prints. */
const run = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, args, { env: environment, encoding: "utf8", cwd: folder }).trim();

const potstill = (...args: readonly string[]): string =>
  run(
    process.execPath,
    "--import",
    import.meta.resolve("tsx"),
    `${ROOT}bench/potstill.ts`,
    ...args,
  );

async function begin(): Promise<void> {
  const key = join(folder, "munge.key");
  writeFileSync(key, randomBytes(1024), { mode: 0o400 });
  const socket = join(folder, "munge.socket");
  run(
    ...(["munged", "--force", `--key-file=${key}`, `--socket=${socket}`] as const),
    ...[`--pid-file=${join(folder, "munged.pid")}`, `--log-file=${join(folder, "munged.log")}`],
    `--seed-file=${join(folder, "munged.seed")}`,
  );
  for (const name of ["state", "spool"]) mkdirSync(join(folder, name));
  const host = hostname().split(".")[0]!;
  const settings = {
    ClusterName: "local",
    SlurmctldHost: `${host}(127.0.0.1)`,
    ...{ AuthType: "auth/munge", AuthInfo: `socket=${socket}` },
    ...{ SlurmUser: "root", SlurmdUser: "root" },
    ...{ StateSaveLocation: join(folder, "state"), SlurmdSpoolDir: join(folder, "spool") },
    SlurmctldPidFile: join(folder, "slurmctld.pid"),
    SlurmdPidFile: join(folder, "slurmd.pid"),
    SlurmctldLogFile: join(folder, "slurmctld.log"),
    SlurmdLogFile: join(folder, "slurmd.log"),
    ...{ ProctrackType: "proctrack/linuxproc", TaskPlugin: "task/none" },
    ...{ SelectType: "select/cons_tres", SelectTypeParameters: "CR_Core" },
    ...{ ReturnToService: "2", MpiDefault: "none", KillWait: "10" },
    JobAcctGatherType: "jobacct_gather/none",
    AccountingStorageType: "accounting_storage/none",
  };
  const cpus = availableParallelism();
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const node = `NodeName=${host} NodeAddr=127.0.0.1 CPUs=${cpus} RealMemory=8000 State=UNKNOWN`;
  const partition = "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP";
  writeFileSync(environment.SLURM_CONF, [...lines, node, partition, ""].join("\n"));
  run("slurmctld");
  await pause(2000);
  run("slurmd");
  for (let i = 0; i < 30 && !run("sinfo", "-h", "-o", "%T").includes("idle"); i++)
    await pause(1000);
  console.log(run("sinfo"));
}

/** Ends the daemons, by the numbers in their files. */
async function end(): Promise<void> {
  for (const file of pidFiles) {
    try {
      process.kill(Number(readFileSync(file, "utf8")));
      await pause(1000);
    } catch {
      // It was not started, or is gone.
    }
  }
}

/** Submits the teachers as an array into a folder; returns the numbers of the array and of the gather job. */
function submit(out: string, tasks: number): [array: string, gather: string] {
  const own = [
    "submit",
    "slurm",
    "--tasks",
    String(tasks),
    "--cpus",
    "1",
    "--memory",
    "1G",
    "--go",
  ];
  const said = potstill(...own, ...TEACH, "--out", join(folder, out));
  console.log(said);
  const [, array, gather] = /^job (\d+) of .* then job (\d+) gathers/.exec(said)!;
  return [array!, gather!];
}

/** Tasks of an array that run, like 8_2. */
const running = (array: string): string[] =>
  run("squeue", "-h", "-r", "-j", array, "-t", "R", "-o", "%i")
    .split("\n")
    .filter((line) => line !== "");

const isQueued = (job: string): boolean =>
  run("squeue", "-h", "-o", "%i %A").split(/\s+/).includes(job);

async function finished(job: string): Promise<void> {
  while (isQueued(job)) await pause(500);
}

/** Times from a job's description. */
function times(job: string, what: "StartTime" | "EndTime"): number[] {
  const found = run("scontrol", "show", "job", job).matchAll(new RegExp(`${what}=(\\S+)`, "g"));
  return [...found].map(([, time]) => Date.parse(time!));
}

/** Digests of the results in a folder, by their names. */
const digests = (out: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(join(folder, out), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(folder, out, name)))
          .digest("hex"),
      ]),
  );

function check(holds: boolean, what: string): void {
  console.log(`${holds ? "ok" : "FAILED"}: ${what}`);
  if (!holds) process.exitCode = 1;
}

const same = (a: string, b: string): boolean =>
  JSON.stringify(digests(a)) === JSON.stringify(digests(b));

async function compareArrays(): Promise<void> {
  const [array, gather] = submit("four", 4);
  await finished(gather);
  check(Object.keys(digests("four")).length === 9, "an array of 4 made 8 teachers and their list");
  const ends = Math.max(...times(array, "EndTime"));
  check(
    times(gather, "StartTime")[0]! >= ends,
    "the job that gathers began when the last task had ended",
  );
  const log = readFileSync(join(folder, "four/logs", `${gather}_gather.log`), "utf8");
  check(/^all 8 teachers are in /m.test(log), `it said: ${log.trim().split("\n").at(-1)!}`);
  const [, one] = submit("one", 1);
  await finished(one);
  check(same("four", "one"), "an array of 1 made the same bytes");
}

/** Kills three tasks at random moments, in three ways, and lets them queue again. */
async function killAndRequeue(): Promise<void> {
  const [array, gather] = submit("killed", 4);
  const ways: [string, (job: string) => void][] = [
    ["requeued, as when the machine is taken away", (job) => run("scontrol", "requeue", job)],
    ["warned by SIGUSR1", (job) => run("scancel", "--batch", "--signal=USR1", job)],
    ["requeued", (job) => run("scontrol", "requeue", job)],
  ];
  for (const [way, kill] of ways) {
    while (running(array).length === 0) await pause(200);
    await pause(3000 + 6000 * Math.random());
    const jobs = running(array);
    const job = jobs[Math.floor(Math.random() * jobs.length)];
    if (job === undefined) continue;
    console.log(`task ${job}: ${way}`);
    kill(job);
    // A requeued task waits for a while; here it need not.
    await pause(3000);
    try {
      run("scontrol", "update", `JobId=${job}`, "StartTime=now");
    } catch {
      // It is running again.
    }
  }
  await finished(gather);
  const restarts = run("scontrol", "show", "job", array).match(/Restarts=[1-9]/g) ?? [];
  check(restarts.length > 0, `${restarts.length} tasks were started again`);
  check(same("killed", "one"), "after three kills the bytes are the same");
  const log = readFileSync(join(folder, "killed/logs", `${gather}_gather.log`), "utf8");
  check(/^all 8 teachers are in /m.test(log), "the job that gathers ran last and found all");
  const logs = readdirSync(join(folder, "killed/logs")).filter((name) => name.endsWith(".log"));
  for (const name of logs)
    console.log(`${name}: ${readFileSync(join(folder, "killed/logs", name), "utf8").trim()}`);
}

try {
  await begin();
  await compareArrays();
  await killAndRequeue();
} catch (error) {
  process.exitCode = 1;
  throw error;
} finally {
  await end();
  if (process.exitCode === undefined) rmSync(folder, { recursive: true, force: true });
  else console.log(`kept: ${folder}`);
}
