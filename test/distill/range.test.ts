/** @file `potstill range` as a user meets it: a table of the teachers' epochs, and flags to take over. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { runCli } from "../support/run-cli.ts";

it("shows how teachers move, and proposes flags that distill takes", async () => {
  const root = mkdtempSync(join(tmpdir(), "potstill-range-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const settings = ["digits", "--ipc", "1", "--width", "4", "--syn_steps", "2", "--quiet"];
  const teachers = ["--teachers.experts", "1", "--teachers.epochs", "4", "--expert_epochs", "1"];
  const out = ["--out", join(root, "run")];
  const { code, stdout, stderr } = await runCli(["range", ...settings, ...teachers, ...out], root);
  expect([code, stderr]).toEqual([0, ""]);
  const lines = stdout.trimEnd().split("\n");
  expect(lines[0]).toMatch(/^epoch +teacher moves +matching loss +gradient a pixel$/);
  expect(lines.slice(1, 5).map((line) => line.split(/ +/)[0])).toEqual(["0", "1", "2", "3"]);
  expect(existsSync(join(root, "run/buffer/teacher-0000.safetensors"))).toBe(true);

  const proposed = /^proposed: (.*)$/.exec(lines.at(-1)!)![1]!.split(" ");
  const next = [...settings, ...teachers, ...proposed, "--iterations", "1", "--dry-run"];
  const planned = await runCli(["distill", ...next, ...out], root);
  expect([planned.code, planned.stderr]).toEqual([0, ""]);
  expect(planned.stdout).toMatch(/^matching +1 iterations of 2 steps/m);
});
