/** @file Slurm: a divided command as a script for an array of tasks, and one that gathers after it. */
import { quoted, type Submission } from "./submission.ts";

export interface SlurmSubmission extends Submission {
  /** Words that start potstill where the tasks run. */
  readonly program: readonly string[];
  /** Folder that the tasks start in. */
  readonly cwd: string;
  /** Folder of the logs, one a task. */
  readonly logs: string;
  /** A task's, as Slurm writes it: 24:00:00. After it the task queues again. */
  readonly time: string;
  readonly partition?: string | undefined;
  readonly account?: string | undefined;
  /** Shell commands before the work, like `module load node`. */
  readonly setup?: string | undefined;
}

/** Slurm tells a task so many seconds before its time is up: it saves and queues again. */
const WARNING = 60;

function header(job: SlurmSubmission, more: readonly string[]): string[] {
  return [
    "#!/bin/bash",
    ...[
      ...(job.partition === undefined ? [] : [`--partition=${job.partition}`]),
      ...(job.account === undefined ? [] : [`--account=${job.account}`]),
      "--open-mode=append",
      "--requeue",
      ...more,
    ].map((option) => `#SBATCH ${option}`),
    "",
    `cd ${quoted(job.cwd)} || exit 1`,
    ...(job.setup === undefined ? [] : [job.setup]),
  ];
}

/** The script of the array: each task is one shard, which Slurm's variables say. */
export function arrayScript(job: SlurmSubmission): string {
  const { name, tasks, most, cpus, gpus, memory, time, logs, program, command } = job;
  const lines = header(job, [
    `--job-name=${name}`,
    `--array=0-${tasks - 1}${most === undefined ? "" : `%${most}`}`,
    `--output=${logs}/%A_%a.log`,
    `--time=${time}`,
    `--cpus-per-task=${cpus}`,
    `--mem=${memory}`,
    ...(gpus > 0 ? [`--gres=gpu:${gpus}`] : []),
    `--signal=B:USR1@${WARNING}`,
  ]);
  return `${[
    ...lines,
    "",
    `${[...program, ...command].map(quoted).join(" ")} &`,
    "work=$!",
    "again=no",
    "# Before the time is up, Slurm tells this shell alone: the work saves, and the task queues again.",
    `trap 'again=yes; kill -USR1 "$work"' USR1`,
    `trap 'kill -TERM "$work"' TERM`,
    "# A signal ends the waiting, not the work.",
    `wait "$work"; code=$?`,
    `while kill -0 "$work" 2>/dev/null; do wait "$work"; code=$?; done`,
    "# By its place in the array: the number of one task is that of the whole array, too.",
    `task="\${SLURM_ARRAY_JOB_ID}_\${SLURM_ARRAY_TASK_ID}"`,
    `if [ "$again" = yes ] && [ "$code" -ne 0 ]; then scontrol requeue "$task"; fi`,
    `exit "$code"`,
  ].join("\n")}\n`;
}

/** The script of the job that gathers, after all tasks. */
export function gatherScript(job: SlurmSubmission): string {
  const { name, logs, program, folder } = job;
  const lines = header(job, [
    `--job-name=${name}-gather`,
    `--output=${logs}/%j_gather.log`,
    "--time=01:00:00",
    "--cpus-per-task=1",
    "--mem=2G",
    // Where a task has failed there is nothing to gather.
    "--kill-on-invalid-dep=yes",
  ]);
  return `${[...lines, "", `exec ${[...program, "gather", folder].map(quoted).join(" ")}`].join("\n")}\n`;
}
