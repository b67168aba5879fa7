/** @file `potstill view` as a user types it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { runCli } from "../../support/run-cli.ts";
import { makeRun } from "../../support/run-folder.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-view-"));
  makeRun(join(root, "runs", "one"), { iterations: 20, done: 20 });
});
afterAll(() => rmSync(root, { recursive: true }));

const BIN = fileURLToPath(new URL("../../../bench/potstill.ts", import.meta.url));

describe("view", () => {
  it("serves the runs in runs/ until Ctrl-C", async () => {
    const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), BIN, "view"], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(child, "close");
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    const [url] = /http:\/\/127\.0\.0\.1:\d+\//.exec(line) ?? [];
    expect(line).toBe(`Report at ${url!} (Ctrl-C ends it)`);
    const list = (await (await fetch(`${url!}api/runs`)).json()) as { id: string }[];
    expect(list.map(({ id }) => id)).toEqual(["one"]);
    child.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
  });

  it("writes one file that names nothing outside of it", async () => {
    const { code, stdout, stderr } = await runCli(["view", "runs/one", "--export", "r.html"], root);
    expect([code, stdout, stderr]).toEqual([0, "Report written to r.html.\n", ""]);
    const html = readFileSync(join(root, "r.html"), "utf8");
    const [policy] = /content="(default-src[^"]*)"/.exec(html)!.slice(1);
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; img-src data:; base-uri 'none'; form-action 'none'$/,
    );
    expect(html).not.toMatch(/<(?:script|link|img|iframe)[^>]* (?:src|href)="(?!data:)/);
    expect(html).not.toMatch(/@import|url\(/);
    // Names of namespaces and of homepages in licences are no addresses that anything asks for.
    const addresses = [...html.matchAll(/https?:\/\/[\w./-]+/g)].map(([address]) => address);
    for (const address of addresses)
      expect(address).toMatch(/^http:\/\/www\.w3\.org\/|^https:\/\/github\.com\/leeoniya\/uPlot$/);
    expect(html.split("data:image/png;base64,").length - 1).toBe(21);
  });

  it.each([
    ["--port 70000", ["--port", "70000"], "--port must be an integer in 0..65535, got 70000"],
    ["--port x", ["--port", "x"], "--port must be an integer in 0..65535, got NaN"],
    [
      "both at once",
      ["--export", "x.html", "--open"],
      "--export must be without --port and --open, got both",
    ],
  ])("refuses %s in a sentence", async (_, args, sentence) => {
    const { code, stderr } = await runCli(["view", ...args], root);
    expect([code, stderr]).toEqual([2, `potstill: ${sentence}\n`]);
    expect(existsSync(join(root, "x.html"))).toBe(false);
  });

  it("refuses a folder that is not there, and a file that cannot be written", async () => {
    const missing = await runCli(["view", "nowhere", "--export", "x.html"], root);
    expect([missing.code, missing.stderr]).toEqual([
      1,
      `${join(root, "nowhere")}: must exist, got no such file (ENOENT)\n`,
    ]);
    const unwritable = await runCli(["view", "--export", "no/such/x.html"], root);
    expect([unwritable.code, unwritable.stderr]).toEqual([
      1,
      "no/such/x.html: its folder must exist, got none (ENOENT)\n",
    ]);
  });
});
