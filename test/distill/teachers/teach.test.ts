/** @file `potstill teach` as a user meets it: teachers alone, a kill, and runs that follow them. */
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";

import { TrajectoryBuffer } from "../../../distill/teachers/trajectory.ts";
import { contents, runCli, startCli, type Finished } from "../../support/run-cli.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-teach-cli-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const TEACH = ["teach", "digits", "--experts", "2", "--epochs", "4", "--seed", "3"];

describe("teach", () => {
  let finished: Finished;
  beforeAll(async () => {
    finished = await runCli(TEACH, root);
  });
  const folder = (): string => join(root, "runs/digits-teachers");

  it("writes teachers into a folder of their own, and says how good they are", () => {
    expect(finished.code).toBe(0);
    const { count, teachers, meta } = new TrajectoryBuffer(folder());
    expect([count, meta.epochs]).toEqual([2, 4]);
    const last = teachers.map((teacher) => teacher.meta.testAccuracy[3]!);
    const mean = (100 * (last[0]! + last[1]!)) / 2;
    expect(finished.stdout).toMatch(
      new RegExp(
        `^2 teachers in runs/digits-teachers, test accuracy ${mean.toFixed(1)} ± \\d+\\.\\d %\\n$`,
      ),
    );
  });

  it("says before it starts how much it will write, and then the accuracy after each epoch", () => {
    const [time, first, ...others] = finished.stderr.trimEnd().split("\n");
    expect(time).toMatch(/^time +about \S+: teachers \S+, by a few steps on /);
    // Two teachers of five snapshots of 3194 parameters.
    expect(first).toMatch(
      /^teachers: 2 in runs\/digits-teachers, 128 kB to write(, 2 at a time)?$/,
    );
    expect(others[0]).toBe("teachers: 0/8");
    for (const line of others.slice(1)) expect(line).toMatch(/^teachers: \d\/8.* accuracy 0\.\d+$/);
  });

  it("leaves finished teachers alone", async () => {
    const before = contents(root);
    const { code, stdout, stderr } = await runCli([...TEACH, "--quiet"], root);
    expect([code, stdout, stderr]).toEqual([0, finished.stdout, ""]);
    expect(contents(root)).toEqual(before);
  });

  it("killed at any moment goes on to the same bytes", async () => {
    const args = ["teach", "digits", "--experts", "1", "--epochs", "20", "--momentum", "0.9"];
    const [whole, killed] = [join(root, "whole"), join(root, "killed")];
    const child = startCli([...args, "--out", killed], root);
    const state = join(killed, "teacher-0000.safetensors.state");
    while (!existsSync(state)) await pause(5);
    child.kill("SIGKILL");
    await once(child, "close");
    expect(Object.keys(contents(killed))).toEqual([
      expect.stringMatching(/^teacher-0000\.safetensors\.[0-9a-f]{8}\.rows$/),
      "teacher-0000.safetensors.state",
      "work.json",
    ]);
    const resumed = await runCli([...args, "--out", killed], root);
    expect(resumed.code).toBe(0);
    expect(resumed.stdout).toMatch(/^1 teacher in .*killed, test accuracy \d+\.\d ± 0\.0 %\n$/);
    expect(resumed.stderr).toMatch(/^teacher 0 goes on after epoch \d+ of 20$/m);
    await runCli([...args, "--out", whole, "--quiet"], root);
    expect(contents(killed)).toEqual(contents(whole));
  });

  it("gives teachers that a run follows, and says so in its recipe", async () => {
    const args = ["distill", "digits", "--teachers", "runs/digits-teachers", "--out", "run"];
    const short = ["--iterations", "2", "--evaluation.num_eval", "1", "--quiet"];
    const few = ["--evaluation.epoch_eval_train", "2", "--teachers.epochs", "40"];
    const { code, stderr } = await runCli([...args, ...short, ...few], root);
    expect([code, stderr]).toEqual([0, ""]);
    const run = join(root, "run");
    expect(existsSync(join(run, "buffer"))).toBe(false);
    const { teachers } = parse(readFileSync(join(run, "recipe.yaml"), "utf8")) as {
      teachers: Record<string, unknown>;
    };
    expect(teachers).toMatchObject({
      experts: 2,
      epochs: 4,
      keep_epochs: "0..4",
      folder: folder(),
    });
    const before = contents(folder());
    const evaluated = await runCli(["evaluate", "run", "--quiet"], root);
    expect(evaluated.code).toBe(0);
    expect(contents(folder())).toEqual(before);
    expect(existsSync(join(run, "buffer"))).toBe(false);
  });

  it.each<[string, string[], (folder: string) => string]>([
    [
      "of another network",
      ["--network", "ConvNetD1"],
      (folder) =>
        `${folder}: the teachers' network must be "ConvNetD1" as in the recipe, got "ConvNetD2"`,
    ],
    [
      "that are too short for the range",
      ["--max_start_epoch", "4"],
      (folder) =>
        `${folder}: teachers.epochs must reach the last target, max_start_epoch - 1 + expert_epochs = 5, got 4`,
    ],
  ])("gives no teachers to a run that wants some %s", async (_, flags, sentence) => {
    const args = ["distill", "digits", "--teachers", "runs/digits-teachers", "--out", "other"];
    const before = contents(root);
    const { code, stdout, stderr } = await runCli([...args, ...flags], root);
    expect([code, stdout, stderr]).toEqual([1, "", `${sentence(folder())}\n`]);
    expect(contents(root)).toEqual(before);
  });
});
