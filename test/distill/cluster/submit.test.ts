/** @file Submission: scripts that Slurm's shell understands, objects of Kubernetes' published schema. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";

import { arrayScript, gatherScript, type SlurmSubmission } from "../../../distill/cluster/slurm.ts";
import {
  sharedFolder,
  splitSubmission,
  SubmissionError,
} from "../../../distill/cluster/submission.ts";
import { runCli } from "../../support/run-cli.ts";

const submission = {
  command: ["teach", "it's digits", "--experts", "8", "--out", "t"],
  folder: "t",
  ...{ name: "potstill-teach", passes: 1, tasks: 4, most: 2, cpus: 2, gpus: 1, memory: "8G" },
};

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-submit-"));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

describe("a submission", () => {
  it("is split from its command, which is not looked into", () => {
    const words = ["submit", "slurm", "--tasks", "4", "teach", "digits", "--epochs", "3"];
    expect(splitSubmission(words)).toEqual([words.slice(0, 4), words.slice(4)]);
    expect(splitSubmission(["submit", "--help"])).toEqual([["submit", "--help"], []]);
  });

  it("knows the folder that its tasks share, and refuses what says none", () => {
    expect(sharedFolder(["teach", "digits", "--out", "t"])).toBe("t");
    expect(sharedFolder(["teach", "digits", "--out=t"])).toBe("t");
    expect(sharedFolder(["evaluate", "--quiet", "runs/a"])).toBe("runs/a");
    expect(() => sharedFolder(["teach", "digits"])).toThrow(
      new SubmissionError("submit: teach must say by --out which folder its tasks share, got none"),
    );
    expect(() => sharedFolder(["teach", "--out", "t", "--shard", "1/2"])).toThrow(
      new SubmissionError("submit: --shard must be left to the tasks, got one"),
    );
  });
});

describe("Slurm's scripts", () => {
  const job = (more: Partial<SlurmSubmission> = {}): SlurmSubmission => ({
    ...{ ...submission, program: ["./potstill"], cwd: root, logs: join(root, "logs") },
    ...{ time: "01:00:00", ...more },
  });
  const task = { SLURM_ARRAY_JOB_ID: "77", SLURM_ARRAY_TASK_ID: "2" };
  /** Runs a script with `program` as potstill; returns its exit code and what it printed. */
  const run = (script: string, program: string): [code: number, output: string] => {
    writeFileSync(join(root, "potstill"), `#!/bin/bash\n${program}\n`, { mode: 0o755 });
    writeFileSync(join(root, "scontrol"), '#!/bin/bash\necho scontrol "$@"\n', { mode: 0o755 });
    writeFileSync(join(root, "script.sh"), script);
    const env = { ...process.env, PATH: `${root}:${process.env["PATH"]!}`, ...task };
    try {
      return [0, execFileSync("bash", [join(root, "script.sh")], { env, encoding: "utf8" })];
    } catch (error) {
      const { status, stdout } = error as { status: number; stdout: string };
      return [status, stdout];
    }
  };

  it("say what a task needs", () => {
    const lines = arrayScript(job({ partition: "gpu", account: "lab" })).split("\n");
    for (const option of [
      ...["--job-name=potstill-teach", "--array=0-3%2", "--cpus-per-task=2", "--mem=8G"],
      ...["--gres=gpu:1", "--time=01:00:00", "--requeue", "--signal=B:USR1@60"],
      ...["--partition=gpu", "--account=lab", `--output=${root}/logs/%A_%a.log`],
    ])
      expect(lines).toContain(`#SBATCH ${option}`);
    expect(gatherScript(job()).trimEnd()).toMatch(/exec \.\/potstill gather t$/);
  });

  it("pass words on as they are, and end as the work ends", () => {
    const [code, output] = run(arrayScript(job()), 'printf "%s|" "$@"; exit 3');
    expect(code).toBe(3);
    expect(output).toBe("teach|it's digits|--experts|8|--out|t|");
  });

  it("let the work save, and queue again, when the time is nearly up", () => {
    const setup = '(sleep 0.3; kill -USR1 "$$") &';
    const work =
      'trap "sleep 0.3; echo saved; exit 138" USR1; for i in {1..40}; do sleep 0.1; done';
    const [code, output] = run(arrayScript(job({ setup })), work);
    expect([code, output]).toEqual([138, "saved\nscontrol requeue 77_2\n"]);
  });

  it("pass on that the machine is taken away", () => {
    const setup = '(sleep 0.3; kill -TERM "$$") &';
    const work = 'trap "echo saved; exit 143" TERM; for i in {1..40}; do sleep 0.1; done';
    expect(run(arrayScript(job({ setup })), work)).toEqual([143, "saved\n"]);
  });
});

describe("submit", () => {
  it("writes scripts into the folder, and says how they are submitted", async () => {
    const own = ["submit", "slurm", "--tasks", "3", "--name", "digits"];
    const teach = ["teach", "digits", "--experts", "6", "--out", "t"];
    const { code, stdout, stderr } = await runCli([...own, ...teach], root);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^job=\$\(sbatch --parsable .*digits\.sh\) && sbatch --dependency=/);
    expect(readdirSync(join(root, "t/logs"))).toEqual(["digits-gather.sh", "digits.sh"]);
    const script = readFileSync(join(root, "t/logs/digits.sh"), "utf8");
    expect(script).toContain("#SBATCH --array=0-2\n");
    expect(script).toMatch(/\.[jt]s teach digits --experts 6 --out t &\n/);
  });

  it("lets a comparison's tasks run three times, one after the other", async () => {
    const compare = ["compare", "a.yaml", "--sweep", "lr_img=1,10", "--out", "c"];
    const slurm = await runCli(["submit", "slurm", "--after", "7", ...compare], root);
    const script = join(root, "c/logs/potstill-compare.sh");
    const next = `job=$(sbatch --parsable --dependency=afterok:$job ${script})`;
    expect(readFileSync(script, "utf8")).toContain(
      " compare a.yaml --sweep lr_img=1,10 --out c &\n",
    );
    const lines = slurm.stdout.trimEnd().split(" && ");
    expect(lines.slice(0, 3)).toEqual([next.replace("$job", "7"), next, next]);
    expect(lines.slice(3).join()).toMatch(/afterok:\$job .*-gather\.sh$/);
    const words = ["submit", "kubernetes", "--image", "potstill", ...compare];
    const { stdout } = await runCli(words, root);
    expect(stdout.match(/apply -f \S+/g)).toEqual(
      ["", "-2", "-3", "-gather"].map((which) => `apply -f potstill-compare${which}.yaml`),
    );
    const third = parseAllDocuments(readFileSync(join(root, "potstill-compare-3.yaml"), "utf8"));
    expect(third.map((document) => document.toJS() as object)).toMatchObject([
      { kind: "Job", metadata: { name: "potstill-compare-3" } },
    ]);
  });

  it("writes YAML, and refuses what can't be", async () => {
    const teach = ["teach", "digits", "--experts", "6", "--out", "t"];
    const own = ["submit", "kubernetes", "--image", "potstill"];
    const { code, stdout } = await runCli([...own, ...teach], root);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^kubectl apply -f potstill-teach\.yaml\n/);
    const [claim, work] = parseAllDocuments(
      readFileSync(join(root, "potstill-teach.yaml"), "utf8"),
    ).map((document) => document.toJS() as object);
    expect(claim).toMatchObject({ kind: "PersistentVolumeClaim" });
    expect(work).toMatchObject({
      kind: "Job",
      spec: { completionMode: "Indexed", completions: 8 },
    });
    const wrong = await runCli([...own, "--memory", "lots", ...teach], root);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      "potstill: --memory must be a size like 8G or 512M, got lots\n",
    ]);
  });
});
