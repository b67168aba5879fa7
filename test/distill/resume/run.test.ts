/** @file Runs that are stopped, killed or damaged: they go on to the same bytes, or say in one sentence why not. */
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { main } from "../../../distill/cli/main.ts";
import { contents, runCli, startCli } from "../../support/run-cli.ts";
import { untilLines } from "../../support/run-folder.ts";

const RUN = [
  ...["distill", "digits", "--ipc", "1", "--width", "4", "--quiet", "--checkpoint-every", "10"],
  ...["--iterations", "60", "--syn_steps", "5", "--max_start_epoch", "2"],
  ...["--teachers.experts", "1", "--teachers.epochs", "4"],
  ...["--evaluation.epoch_eval_train", "5", "--evaluation.num_eval", "1"],
];

let root: string;
/** A run that nothing disturbed, and one that SIGINT stopped. */
let [whole, stopped] = ["", ""];
let stop: { code: number; ms: number };
let made = 0;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "potstill-resume-"));
  [whole, stopped] = [join(root, "whole"), join(root, "stopped")];
  expect(await runCli([...RUN, "--out", whole], root)).toMatchObject({ code: 0, stderr: "" });
  const child = startCli([...RUN, "--out", stopped], root);
  await untilLines(stopped, 12);
  const begun = performance.now();
  child.kill("SIGINT");
  const [code] = (await once(child, "exit")) as [number];
  stop = { code, ms: performance.now() - begun };
});
afterAll(() => rmSync(root, { recursive: true }));

/** A copy to be damaged. */
function copyOf(folder: string): string {
  const copy = join(root, `copy-${made++}`);
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** What the command line says, in this process: for what ends before a device is open. */
async function said(args: readonly string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const spy = vi
    .spyOn(console, "error")
    .mockImplementation((line) => void lines.push(String(line)));
  try {
    return { code: await main(args), lines };
  } finally {
    spy.mockRestore();
  }
}

describe("Ctrl-C", () => {
  it("ends a run soon after an iteration, by its own exit code", () => {
    expect(stop.code).toBe(130);
    expect(stop.ms).toBeLessThan(10_000);
    expect(existsSync(join(stopped, "checkpoint-ipc1.safetensors"))).toBe(true);
    expect(existsSync(join(stopped, "run.lock"))).toBe(false);
    expect(existsSync(join(stopped, "results.json"))).toBe(false);
  });

  it("loses no iteration, and the run goes on to the bytes of one that was not stopped", async () => {
    const copy = copyOf(stopped);
    const lines = readFileSync(join(copy, "metrics.jsonl"), "utf8").trimEnd().split("\n").length;
    const { code, stdout, stderr } = await runCli(["distill", "--resume", copy], root);
    expect(code).toBe(0);
    expect(stderr).toContain(`distil ipc 1 goes on after iteration ${lines} of 60\n`);
    expect(contents(copy)).toEqual(contents(whole));
    expect(stdout).toContain("distilled (DATM)");
  });
});

describe("a run with damaged checkpoints", () => {
  it("begins its matching anew, says so, and ends with the same bytes", async () => {
    const copy = copyOf(stopped);
    for (const name of ["checkpoint-ipc1.safetensors", "checkpoint-ipc1.before.safetensors"])
      writeFileSync(join(copy, name), "damaged");
    const { code, stderr } = await runCli(["distill", "--resume", copy], root);
    expect(code).toBe(0);
    expect(stderr.match(/; distil ipc 1 begins anew$/gm)?.length).toBe(2);
    expect(contents(copy)).toEqual(contents(whole));
  });
});

describe("a run's folder", () => {
  it("is worked on by one process at a time", async () => {
    const copy = copyOf(stopped);
    const child = startCli(["distill", "--resume", copy], root);
    const lock = join(copy, "run.lock");
    while (!existsSync(lock)) await pause(2);
    const { code, lines } = await said(["distill", "--resume", copy]);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect([code, lines]).toEqual([
      1,
      [`${copy}: only one process must work on it at a time, got another, process ${child.pid!}`],
    ]);
    // The lock that the killed one left is no hindrance, and what it left is whole.
    expect((await runCli(["distill", "--resume", copy, "--quiet"], root)).code).toBe(0);
    expect(contents(copy)).toEqual(contents(whole));
  });

  it("that is finished is told so, with its table", async () => {
    const before = contents(whole);
    const { code, stdout, stderr } = await runCli(["distill", "--resume", whole], root);
    expect([code, stderr]).toEqual([
      0,
      `${whole}: the run is finished, there is nothing to go on with\n`,
    ]);
    expect(stdout).toContain("distilled (DATM)");
    expect(contents(whole)).toEqual(before);
  });

  const edit = (path: string, from: string, to: string): void => {
    const text = readFileSync(path, "utf8");
    expect(text).toContain(from);
    writeFileSync(path, text.replace(from, to));
  };
  const resume = (copy: string): string[] => ["distill", "--resume", copy];

  it.each<[string, (copy: string) => void, (copy: string) => string[], (copy: string) => string]>([
    [
      "that has an unfinished run, to a new one",
      () => undefined,
      (copy) => [...RUN, "--out", copy],
      (copy) =>
        `${copy}: must be a folder without a run, got an unfinished one; go on with potstill distill --resume ${copy}, or replace it with --overwrite`,
    ],
    [
      "that has a finished run, to a new one",
      (copy) => cpSync(whole, copy, { recursive: true }),
      (copy) => [...RUN, "--out", copy],
      (copy) =>
        `${copy}: must be a folder without a run, got a finished one; use another --out, or replace it with --overwrite`,
    ],
    [
      "that is missing",
      (copy) => rmSync(copy, { recursive: true }),
      resume,
      (copy) => `${copy}: must be the folder of a run, got no such folder`,
    ],
    [
      "that is foreign",
      (copy) => {
        rmSync(copy, { recursive: true });
        mkdirSync(copy);
        writeFileSync(join(copy, "notes.txt"), "mine");
      },
      resume,
      (copy) => `${copy}: must be the folder of a run, got one without run.json`,
    ],
    [
      "whose run.json is damaged",
      (copy) => writeFileSync(join(copy, "run.json"), '{"format":'),
      resume,
      (copy) => `${copy}/run.json: must be JSON, got something else (the file is damaged)`,
    ],
    [
      "whose run.json is of something else",
      (copy) => edit(join(copy, "run.json"), '"seed": 0', '"seed": "none"'),
      resume,
      (copy) => `${copy}/run.json: must be what a run says of itself, got another seed`,
    ],
    [
      "that a newer version made",
      (copy) => edit(join(copy, "run.json"), '"version": 1', '"version": 2'),
      resume,
      (copy) => `${copy}/run.json: must be of version 1, got 2; use the potstill that wrote it`,
    ],
    [
      "whose recipe is another by now",
      (copy) => edit(join(copy, "recipe.yaml"), "seed: 0", "seed: 1"),
      resume,
      (copy) => `${copy}/recipe.yaml: must be as the run was begun with (`,
    ],
    [
      "whose data are others by now",
      (copy) => edit(join(copy, "data.json"), '"id": "', '"id": "other '),
      resume,
      (copy) => `${copy}/data.json: the run's data must be digits as it is here (id `,
    ],
  ])("is refused, as it is, %s", async (_, damage, args, sentence) => {
    const copy = copyOf(stopped);
    damage(copy);
    const before = existsSync(copy) && contents(copy);
    const { code, lines } = await said(args(copy));
    expect([code, lines.length]).toEqual([1, 1]);
    expect(lines[0]!.startsWith(sentence(copy)), lines[0]).toBe(true);
    expect(existsSync(copy) && contents(copy)).toEqual(before);
  });

  it.each([
    [["--seed", "3"], "--seed"],
    [["--teachers.epochs", "9"], "--teachers.epochs"],
    [["--out", "elsewhere"], "--out"],
    [["digits", "--overwrite"], "digits, --overwrite"],
  ])("is not taken up with %s", async (flags, told) => {
    const { code, lines } = await said(["distill", "--resume", stopped, ...flags]);
    expect([code, lines]).toEqual([
      2,
      [
        `potstill: --resume must be without what decides the results, which the run's own recipe does, got ${told}`,
      ],
    ]);
  });

  it("is begun anew with --overwrite, its teachers kept", async () => {
    const copy = copyOf(stopped);
    const { code } = await runCli([...RUN, "--overwrite", "--out", copy], root);
    expect(code).toBe(0);
    expect(contents(copy)).toEqual(contents(whole));
  });
});
