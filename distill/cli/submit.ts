/** @file `potstill submit`: divided work as jobs of Slurm or Kubernetes. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Argv, CommandModule } from "yargs";
import { documents, gatherJob, indexedJob, volumeClaim } from "../cluster/kubernetes.ts";
import { arrayScript, gatherScript, type SlurmSubmission } from "../cluster/slurm.ts";
import {
  PASSES,
  quoted,
  sharedFolder,
  SubmissionError,
  type Submission,
} from "../cluster/submission.ts";
import type { Divided } from "../cluster/work.ts";
import { openRunFolder, writeAtomic } from "../files.ts";

interface TaskArguments {
  readonly name: string | undefined;
  readonly tasks: number;
  readonly most: number | undefined;
  readonly cpus: number;
  readonly gpus: number;
  readonly memory: string;
}

interface SlurmArguments extends TaskArguments {
  readonly time: string;
  readonly partition: string | undefined;
  readonly account: string | undefined;
  readonly setup: string | undefined;
  readonly program: string | undefined;
  readonly after: string | undefined;
  readonly go: boolean;
}

interface KubernetesArguments extends TaskArguments {
  readonly image: string;
  readonly storage: string;
  readonly "storage-class": string | undefined;
  readonly namespace: string | undefined;
}

const text = { type: "string", requiresArg: true } as const;
const number = { type: "number", requiresArg: true } as const;

function taskOptions<T>(yargs: Argv<T>): Argv<T & TaskArguments> {
  return yargs
    .option("name", { ...text, describe: "Name of the job [potstill-<command>]" })
    .option("tasks", { ...number, default: 8, describe: "Tasks that share out the units" })
    .option("most", { ...number, describe: "Tasks that run at a time at most [all]" })
    .option("cpus", { ...number, default: 2, describe: "CPU cores of a task" })
    .option("gpus", { ...number, default: 0, describe: "GPUs of a task; 0 computes on its cores" })
    .option("memory", { ...text, default: "8G", describe: "Memory of a task" });
}

/** @throws SubmissionError. */
function submissionOf(args: TaskArguments, command: readonly string[]): Submission {
  const folder = sharedFolder(command);
  const { tasks, most, cpus, gpus, memory, name = `potstill-${command[0]!}` } = args;
  for (const [flag, value, least] of [
    ["tasks", tasks, 1],
    ["most", most ?? 1, 1],
    ["cpus", cpus, 1],
    ["gpus", gpus, 0],
  ] as const)
    if (!Number.isInteger(value) || value < least)
      throw new SubmissionError(`--${flag} must be an integer from ${least}, got ${value}`);
  if (!/^\d+[KMGT]$/.test(memory))
    throw new SubmissionError(`--memory must be a size like 8G or 512M, got ${memory}`);
  if (!/^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$/.test(name))
    throw new SubmissionError(
      `--name must be of small letters, digits and -, 52 at most, got "${name}"`,
    );
  const passes = PASSES[command[0] as Divided];
  return { command, folder, name, tasks, passes, most, cpus, gpus, memory };
}

/** The words that started this program. */
const itself = (): string[] => [process.execPath, ...process.execArgv, resolve(process.argv[1]!)];

const slurm = (command: readonly string[]): CommandModule<object, SlurmArguments> => ({
  command: "slurm",
  describe: "An array of tasks and a job that gathers after it, as scripts for sbatch",
  builder: (yargs) =>
    taskOptions(yargs)
      .option("time", { ...text, default: "24:00:00", describe: "Of a task; then it queues again" })
      .option("partition", { ...text, describe: "Slurm's partition" })
      .option("account", { ...text, describe: "Slurm's account" })
      .option("setup", { ...text, describe: 'Shell commands first, like "module load node"' })
      .option("program", {
        ...text,
        describe: "What starts potstill there [as it was started here]",
      })
      .option("after", { ...text, describe: "Job whose success is waited for" })
      .option("go", { type: "boolean", default: false, describe: "Submit them, too" })
      .example(
        "$0 submit slurm --tasks 25 --gpus 1 teach cifar-10 --out runs/teachers",
        "a hundred teachers on 25 GPUs",
      ),
  handler: ({ time, partition, account, setup, program, after, go, ...args }) => {
    const submission = submissionOf(args, command);
    const { name } = submission;
    const folder = openRunFolder(submission.folder);
    const logs = join(folder, "logs");
    // Slurm starts no task whose log has no folder.
    mkdirSync(logs, { recursive: true });
    const job: SlurmSubmission = {
      ...{ ...submission, time, partition, account, setup, logs },
      program: program === undefined ? itself() : program.split(" "),
      cwd: process.cwd(),
    };
    const [array, gather] = [join(logs, `${name}.sh`), join(logs, `${name}-gather.sh`)];
    writeAtomic(array, arrayScript(job));
    writeAtomic(gather, gatherScript(job));
    if (!go) {
      const waits = after === undefined ? "" : `--dependency=afterok:${after} `;
      const next = `job=$(sbatch --parsable --dependency=afterok:$job ${quoted(array)})`;
      const words = [
        `job=$(sbatch --parsable ${waits}${quoted(array)})`,
        ...Array<string>(job.passes - 1).fill(next),
        `sbatch --dependency=afterok:$job ${quoted(gather)}`,
      ];
      console.log(words.join(" && "));
      return;
    }
    const ids: string[] = [];
    for (let before = after; ids.length < job.passes; before = ids.at(-1)) {
      const waits = before === undefined ? [] : [`--dependency=afterok:${before}`];
      ids.push(sbatch(["--parsable", ...waits, array]));
    }
    const last = sbatch(["--parsable", `--dependency=afterok:${ids.at(-1)!}`, gather]);
    const jobs = ids.length === 1 ? `job ${ids[0]!}` : `jobs ${ids.join(", ")}, each`;
    console.log(`${jobs} of ${job.tasks} tasks, then job ${last} gathers; logs in ${logs}`);
  },
});

/** Submits a script; returns the job's number. */
function sbatch(args: readonly string[]): string {
  try {
    const said = execFileSync("sbatch", args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    return said.trim().split(";")[0]!;
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string };
    const got = code === "ENOENT" ? "no such program" : (stderr ?? "").trim().replace(/\s+/g, " ");
    throw new SubmissionError(`sbatch must take ${args.at(-1)!}, got: ${got}`);
  }
}

const kubernetes = (command: readonly string[]): CommandModule<object, KubernetesArguments> => ({
  command: "kubernetes",
  describe: "An Indexed Job with a volume claim, and a job that gathers, as YAML",
  builder: (yargs) =>
    taskOptions(yargs)
      .option("image", { ...text, demandOption: true, describe: "Container image with potstill" })
      .option("storage", { ...text, default: "100Gi", describe: "Size of the shared volume" })
      .option("storage-class", { ...text, describe: "Class of the volume; many must write to it" })
      .option("namespace", { ...text, describe: "Namespace of the objects" })
      .example(
        "$0 submit kubernetes --image registry/potstill --gpus 1 teach cifar-10 --out teachers",
        "files for kubectl",
      ),
  handler: ({ image, storage, namespace, ...args }) => {
    const job = {
      ...submissionOf(args, command),
      ...{ image, storage, namespace, storageClass: args["storage-class"] },
    };
    const files = [`${job.name}.yaml`];
    writeAtomic(files[0]!, documents([volumeClaim(job), indexedJob(job)]));
    // A job's name is its own, and runs once.
    const names = Array.from({ length: job.passes }, (_, i) =>
      i === 0 ? job.name : `${job.name}-${i + 1}`,
    );
    for (const name of names.slice(1)) {
      files.push(`${name}.yaml`);
      writeAtomic(files.at(-1)!, documents([indexedJob(job, name)]));
    }
    const gather = `${job.name}-gather.yaml`;
    writeAtomic(gather, documents([gatherJob(job)]));
    const lines = names.flatMap((name, i) => [
      `kubectl apply -f ${files[i]!}`,
      `kubectl wait --for=condition=complete --timeout=-1s job/${name}`,
    ]);
    console.log([...lines, `kubectl apply -f ${gather}`].join("\n"));
  },
});

/** `submit` of a command with its arguments. */
export const submitCommand = (command: readonly string[]): CommandModule => ({
  command: "submit",
  describe: "Write, and with --go submit, divided work as jobs of Slurm or Kubernetes",
  builder: (yargs) =>
    yargs
      .command(slurm(command))
      .command(kubernetes(command))
      .demandCommand(1, "submit: the scheduler must be slurm or kubernetes, got none"),
  handler: () => undefined,
});
