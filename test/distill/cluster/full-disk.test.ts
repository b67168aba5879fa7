/** @file A full disk under a shard: one sentence, nothing lost, and it goes on when there is room again. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";

import { runCli } from "../../support/run-cli.ts";

const RECIPE = {
  extends: "digits-ipc1",
  ...{ width: 4, syn_steps: 2, expert_epochs: 1, max_start_epoch: 1, iterations: 2 },
  teachers: { experts: 2, epochs: 1 },
  evaluation: { num_eval: 2, epoch_eval_train: 2 },
};
const COMMANDS: readonly (readonly [string, readonly string[]])[] = [
  ["teach", ["teach", "--recipe", "tiny.yaml"]],
  [
    "evaluate",
    ["evaluate", "digits", "--baselines", "random", "--ipc", "1", "--epoch_eval_train", "2"],
  ],
  ["compare", ["compare", "tiny.yaml", "--baselines", "random"]],
];

const root = mkdtempSync(join(tmpdir(), "potstill-full-"));
const disk = join(root, "disk");
const mounted = mountDisk();

/** Whether there is a small disk: only root may mount one. */
function mountDisk(): boolean {
  mkdirSync(disk);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", disk], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

beforeAll(() => {
  writeFileSync(join(root, "tiny.yaml"), stringify(RECIPE));
});
afterAll(() => {
  if (mounted) execFileSync("umount", [disk]);
  rmSync(root, { recursive: true });
});

/** Leaves only so many bytes of the disk. */
function fill(left: number): void {
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(join(disk, "filling"), new Uint8Array(bavail * bsize - left));
}

describe.skipIf(!mounted)("a shard on a disk that becomes full", () => {
  it.each(COMMANDS)("says so in one sentence and goes on later: %s", async (name, words) => {
    const all = [...words, "--out", join(disk, name), "--shard", "1/1", "--quiet"];
    // Room for the list of units, but not for all results.
    fill(3 * 4096);
    const full = await runCli(all, root);
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(
      /^\S+: the disk must have room for it, got no space left \(ENOSPC\)\n$/,
    );
    rmSync(join(disk, "filling"));
    expect((await runCli(all, root)).code).toBe(0);
    const gathered = await runCli(["gather", join(disk, name)], root);
    expect([gathered.code, gathered.stderr]).toEqual([0, ""]);
    const left = readdirSync(join(disk, name), { recursive: true, encoding: "utf8" });
    expect(left.filter((path) => path.endsWith(".tmp"))).toEqual([]);
  });
});
