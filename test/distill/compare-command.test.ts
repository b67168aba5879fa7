/** @file `potstill compare`: a finished comparison is not replaced unasked, and one that was stopped goes on. */
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { main } from "../../distill/cli/main.ts";
import { contents, runCli, startCli } from "../support/run-cli.ts";
import { untilLines } from "../support/run-folder.ts";

let root: string;
/** A comparison that nothing disturbed. */
let whole: string;
const run = (...args: string[]) => runCli(["compare", ...args], root);
const RECIPES = ["early.yaml", "late.yaml"] as const;
const USUAL = join("runs", "compare");

/** What the command line says, in this process: for what ends before a device is open. */
async function said(...args: string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const listen = (line: unknown): void => void lines.push(String(line));
  const spies = [
    vi.spyOn(console, "error").mockImplementation(listen),
    vi.spyOn(console, "log").mockImplementation(listen),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => (listen(text), true)),
  ];
  try {
    return { code: await main(["compare", ...args]), lines };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "potstill-compare-command-"));
  whole = join(root, USUAL);
  for (const [i, file] of RECIPES.entries())
    writeFileSync(
      join(root, file),
      `extends: digits-ipc1
width: 4
syn_steps: 2
max_start_epoch: ${i + 1}
iterations: 30
teachers: { experts: 1, epochs: 3 }
evaluation: { num_eval: 1, epoch_eval_train: 2 }
`,
    );
  const { code, stdout, stderr } = await run(...RECIPES, "--baselines", "random", "--quiet");
  expect([code, stderr, stdout.match(/distilled/g)?.length]).toEqual([0, "", 2]);
});
afterAll(() => rmSync(root, { recursive: true }));

describe("a comparison", () => {
  it("that is finished is told so by --resume, with its table, and is not replaced unasked", async () => {
    const before = contents(whole);
    const { code, lines } = await said("--resume", whole);
    expect([code, lines.length, lines[0]]).toEqual([
      ...[0, 2, `${whole}: the run is finished, there is nothing to go on with\n`],
    ]);
    expect(lines[1]).toContain("distilled (DATM), late");
    expect(await said(join(root, RECIPES[0]), "--out", whole)).toEqual({
      code: 1,
      lines: [
        `${whole}: must be a folder without a run, got a finished one; use another --out, or replace it with --overwrite`,
      ],
    });
    expect(contents(whole)).toEqual(before);
  });

  it("that was killed is told of, and goes on by --resume to the same bytes", async () => {
    const folder = join(root, "stopped");
    const child = startCli(
      ["compare", ...RECIPES, "--baselines", "random", "--out", folder, "--quiet"],
      root,
    );
    await untilLines(join(folder, "late"), 5);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await said(join(root, RECIPES[0]), "--out", folder)).toEqual({
      code: 1,
      lines: [
        `${folder}: must be a folder without a run, got an unfinished one; go on with potstill compare --resume ${folder}, or replace it with --overwrite`,
      ],
    });
    const { code } = await run("--resume", folder, "--quiet");
    expect(code).toBe(0);
    expect(contents(folder)).toEqual(contents(whole));
  });

  it("gets a number where it is not named, and is replaced by --overwrite, but its teachers", async () => {
    const before = contents(whole);
    const numbered = await run(RECIPES[0], "--baselines", "none");
    expect(numbered.code).toBe(0);
    expect(contents(whole)).toEqual(before);
    expect(existsSync(`${whole}-2/results.json`)).toBe(true);
    const again = await run(...RECIPES, "--baselines", "random", "--overwrite");
    expect(again.code).toBe(0);
    expect(again.stderr).not.toContain("teachers:");
    expect(contents(whole)).toEqual(before);
  });

  it("is verified run by run", async () => {
    const { code, stdout } = await runCli(["verify", USUAL, "--iterations", "3"], root);
    const same = "iterations 1 to 3 are the same, bit for bit\n";
    expect([code, stdout]).toEqual([0, `${USUAL}/early: ${same}${USUAL}/late: ${same}`]);
  });

  it.each([
    [["--resume", "x", "early.yaml"], 2, "which the run's own recipe does, got early.yaml"],
    [["--resume", "x", "--networks", "S", "--overwrite"], 2, "got --overwrite, --networks"],
    [["--resume", "nowhere"], 1, "nowhere: must be the folder of a run, got no such folder"],
    [[], 2, "compare: needs one recipe or more, got none"],
  ])("is refused with %s", async (args, code, sentence) => {
    const refused = await said(...args);
    expect(refused).toMatchObject({ code, lines: [expect.stringContaining(sentence)] });
  });
});
