/** @file Iterations done again: the same bits are found the same, and one that is another is found. */

import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { readDistilled, writeDistilled } from "../../../distill/distilled.ts";
import { readRecipe } from "../../../distill/recipe-file.ts";
import { earliestCheckpoint } from "../../../distill/resume/checkpoint.ts";
import { runCli, startCli } from "../../support/run-cli.ts";

const ITERATIONS = 6;

let root: string;
let run: string;
let copies = 0;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "potstill-verify-"));
  run = join(root, "run");
  const { code, stderr } = await runCli(
    [
      ...["distill", "digits", "--ipc", "1", "--quiet", "--out", run],
      ...["--iterations", String(ITERATIONS), "--max_start_epoch", "2"],
      ...["--teachers.experts", "1", "--teachers.epochs", "4", "--width", "4"],
      ...["--evaluation.epoch_eval_train", "5", "--evaluation.num_eval", "1"],
    ],
    root,
  );
  expect([code, stderr]).toEqual([0, ""]);
});
afterAll(() => rmSync(root, { recursive: true }));

/** A copy of the run with something else in it. */
function changed(change: (copy: string) => void): string {
  const copy = join(root, `copy-${copies++}`);
  cpSync(run, copy, { recursive: true });
  change(copy);
  return copy;
}

const verify = (folder: string, ...more: string[]) =>
  runCli(["verify", folder, "--quiet", ...more], root);

describe("verify", () => {
  it("finds a run the same, its first iterations or all of it with the set", async () => {
    const some = await verify(run, "--iterations", "2");
    expect(some).toEqual({
      ...{ code: 0, stderr: "" },
      stdout: `${run}: iterations 1 to 2 are the same, bit for bit\n`,
    });
    const all = await verify(run);
    expect(all.stdout).toBe(
      `${run}: iterations 1 to ${ITERATIONS} and the set are the same, bit for bit\n`,
    );
  });

  it("finds the last bit of a loss, and of an image", async () => {
    const copy = changed((folder) => {
      const path = join(folder, "metrics.jsonl");
      const lines = readFileSync(path, "utf8").split("\n");
      const record = JSON.parse(lines[3]!) as { loss: number };
      const bits = new Uint32Array(Float32Array.of(record.loss).buffer);
      bits[0]! ^= 1;
      lines[3] = JSON.stringify({ ...record, loss: new Float32Array(bits.buffer)[0] });
      writeFileSync(path, lines.join("\n"));
      const set = join(folder, "distilled-ipc1.safetensors");
      const file = readDistilled(set);
      const pixels = new Uint32Array(file.images.buffer, file.images.byteOffset, 1);
      pixels[0]! ^= 1;
      writeDistilled(set, file);
    });
    const { code, stdout, stderr } = await verify(copy);
    expect(code).toBe(1);
    const [loss, image, ...rest] = stdout.trimEnd().split("\n");
    expect(loss).toMatch(/^iteration 4: loss was [\d.]+ and is [\d.]+$/);
    expect(image).toBe(`${copy}/distilled-ipc1.safetensors: 1 of 640 values of images are others`);
    expect(rest).toEqual([]);
    expect(stderr).toBe(
      `${copy}: iterations 1 to ${ITERATIONS} and the set must be the same, bit for bit, got 2 differences\n`,
    );
  });

  it("begins at a checkpoint where there is one", async () => {
    const stopped = join(root, "stopped");
    const child = startCli(
      [
        ...["distill", "digits", "--ipc", "1", "--quiet", "--out", stopped],
        ...["--iterations", "100000", "--max_start_epoch", "2", "--checkpoint-every", "3"],
        ...["--teachers.experts", "1", "--teachers.epochs", "4", "--width", "4"],
      ],
      root,
    );
    const ended = once(child, "exit");
    const older = join(stopped, "checkpoint-ipc1.before.safetensors");
    while (!existsSync(older) && child.exitCode === null) await sleep(20);
    child.kill("SIGTERM");
    await ended;
    const { state } = earliestCheckpoint(stopped, readRecipe(join(stopped, "recipe.yaml")))!;
    const { code, stdout } = await verify(stopped, "--iterations", "1");
    const next = state.iteration + 1;
    expect(stdout).toBe(`${stopped}: iterations ${next} to ${next} are the same, bit for bit\n`);
    expect(code).toBe(0);
  });

  it.each([
    [["--iterations", "0"], 2, /^potstill: --iterations must be an integer from 1, got 0/],
    [["--iterations", "2.5"], 2, /^potstill: --iterations must be an integer from 1, got 2.5/],
  ] as const)("refuses %j", async (more, code, says) => {
    const finished = await verify(run, ...more);
    expect([finished.code, finished.stdout]).toEqual([code, ""]);
    expect(finished.stderr).toMatch(says);
  });

  it("refuses metrics that are damaged, and folders of no run", async () => {
    const damaged = changed((folder) => writeFileSync(join(folder, "metrics.jsonl"), "{"));
    expect((await verify(damaged)).stderr).toBe(
      `${damaged}/metrics.jsonl, line 1: must be JSON, got something else\n`,
    );
    const none = join(root, "none");
    expect((await verify(none)).stderr).toBe(
      `${none}: must be the folder of a run, got no such folder\n`,
    );
  });
});
