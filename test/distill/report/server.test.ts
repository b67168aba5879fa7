/** @file The report's server gives what it should to whom it should, and nothing else to anybody. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { RunSummary, Update } from "../../../distill/report/messages.ts";
import { serveReport, type Report } from "../../../distill/report/server.ts";
import { contents } from "../../support/run-cli.ts";
import { makeRun } from "../../support/run-folder.ts";

const SECRET = "nobody must read this";

let root: string;
let runs: string;
let report: Report;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "potstill-server-"));
  runs = join(root, "runs");
  makeRun(join(runs, "one"));
  makeRun(join(runs, "two"), { done: 40 });
  report = await serveReport([runs]);
});
afterAll(async () => {
  await report.close();
  rmSync(root, { recursive: true });
});

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Asks with a path as it is written, which a browser would tidy. */
async function ask(
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
  from = report,
): Promise<Reply> {
  const { hostname, port } = new URL(from.url);
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    const sent = request({ hostname, port, path, method, headers }, resolve);
    sent.on("error", reject);
    sent.end();
  });
  return {
    ...{ status: response.statusCode!, headers: response.headers },
    body: await text(response),
  };
}

const json = async <T>(path: string): Promise<T> => JSON.parse((await ask(path)).body) as T;
const update = (run: string, since = ""): Promise<Update> =>
  json(`/api/run?run=${encodeURIComponent(run)}&since=${since}`);

describe("the server", () => {
  it("gives the page, its program and its style, which may do nothing but with it", async () => {
    const page = await ask("/");
    expect([page.status, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    const policy = String(page.headers["content-security-policy"]);
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self';");
    expect(policy).not.toMatch(/unsafe|\*|http/);
    expect(page.body).not.toMatch(/(?:src|href)="(?!\/page\.|data:,)/);
    for (const [path, type] of [
      ["/page.js", "text/javascript; charset=utf-8"],
      ["/page.css", "text/css; charset=utf-8"],
    ] as const) {
      const part = await ask(path);
      expect([part.status, part.headers["content-type"]]).toEqual([200, type]);
      expect(part.body.length).toBeGreaterThan(1000);
      expect(part.headers["x-content-type-options"]).toBe("nosniff");
    }
  });

  it("lists the runs and tells of them", async () => {
    const list = await json<RunSummary[]>("/api/runs");
    expect(list.map(({ id, sets }) => [id, sets])).toEqual([
      ["one", [1]],
      ["two", [1]],
    ]);
    const { messages } = await update("two");
    expect(messages.map(({ kind }) => kind)).toEqual(["run", "iterations", "memory", "times"]);
  });

  it("draws snapshots and gives labels", async () => {
    const sheet = await ask("/api/sheet.png?run=one&ipc=1&iteration=5");
    expect([sheet.status, sheet.headers["content-type"]]).toEqual([200, "image/png"]);
    const labels = await ask("/api/labels?run=one&ipc=1&iteration=5");
    expect(labels.body.split("\n", 1)[0]).toBe('["0","1","2","3","4","5","6","7","8","9"]');
  });

  it("reads only", async () => {
    const before = contents(runs);
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const { status, headers } = await ask("/api/runs", {}, method);
      expect([method, status, headers["allow"]]).toEqual([method, 405, "GET"]);
    }
    expect((await ask("/", {}, "HEAD")).status).toBe(405);
    expect(contents(runs)).toEqual(before);
  });

  it.each([
    "evil.example",
    "evil.example:PORT",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.0.0.1:PORT.evil.example",
    "[::1]:PORT",
  ])("refuses whoever comes by the name %s", async (name) => {
    const { port } = new URL(report.url);
    const { status, body } = await ask("/api/runs", { Host: name.replace("PORT", port) });
    expect([400, 403]).toContain(status);
    expect(body).not.toContain("one");
  });

  it("refuses who names nobody", async () => {
    const socket = connect(Number(new URL(report.url).port), "127.0.0.1");
    socket.end("GET /api/runs HTTP/1.0\r\n\r\n");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 403 /);
  });

  it("answers by its own names", async () => {
    const { port } = new URL(report.url);
    for (const name of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`])
      expect((await ask("/api/runs", { Host: name })).status).toBe(200);
  });

  it("answers no page of another site, but a link to it may be followed", async () => {
    for (const site of ["cross-site", "same-site"]) {
      expect((await ask("/api/runs", { "Sec-Fetch-Site": site })).status).toBe(403);
      expect((await ask("/page.js", { "Sec-Fetch-Site": site })).status).toBe(403);
      expect((await ask("/", { "Sec-Fetch-Site": site })).status).toBe(200);
    }
    const { headers } = await ask("/api/runs", { "Sec-Fetch-Site": "same-origin" });
    expect(headers["access-control-allow-origin"]).toBe(undefined);
    expect(headers["cross-origin-resource-policy"]).toBe("same-origin");
  });

  it("is reached at 127.0.0.1 only", async () => {
    const { hostname, port } = new URL(report.url);
    expect(hostname).toBe("127.0.0.1");
    // Another address of this same machine.
    const refused = await new Promise<string>((resolve) => {
      const socket = connect(Number(port), "127.0.0.2");
      socket.on("connect", () => resolve("connected"));
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "an error"));
    });
    expect(refused).not.toBe("connected");
  });

  it("says when its port is taken", async () => {
    const { port } = new URL(report.url);
    await expect(serveReport([runs], Number(port))).rejects.toThrow(
      `--port ${port}: must be a free port of 127.0.0.1, got one in use`,
    );
  });

  it("says when there is no such folder", async () => {
    await expect(serveReport([join(root, "none")])).rejects.toThrow(
      `${join(root, "none")}: must exist, got no such file`,
    );
  });
});

describe("what lies outside of a run", () => {
  let outside: string;
  beforeAll(() => {
    outside = join(root, "outside");
    makeRun(outside, { done: 10 });
    writeFileSync(join(outside, "secret.yaml"), `${SECRET}: true\n`);
    writeFileSync(join(outside, "metrics.jsonl"), `{"event":"${SECRET}"}\n`, { flag: "a" });
  });

  it.each([
    "/../outside/metrics.jsonl",
    "/%2e%2e/outside/metrics.jsonl",
    "/..%2foutside%2fmetrics.jsonl",
    "/api/../../outside/metrics.jsonl",
    "/runs/one/metrics.jsonl",
    "//outside/metrics.jsonl",
    "/api/run?run=../outside",
    "/api/run?run=..%2Foutside",
    "/api/run?run=%252e%252e%252foutside",
    "/api/run?run=one/../../outside",
    "/api/run?run=/etc",
    "/api/run?run=",
    "/api/run?run=one%00",
    "/api/sheet.png?run=../outside&ipc=1&iteration=0",
    "/api/sheet.png?run=one&ipc=../../../outside&iteration=0",
    "/api/labels?run=one&ipc=1&iteration=..%2f..%2foutside",
    "/api/labels?run=one&ipc=1&iteration=1e999",
    "file:///etc/passwd",
    "http://127.0.0.1/etc/passwd",
    "*",
  ])("is not had by %s", async (path) => {
    const { status, body } = await ask(path);
    expect([400, 403, 404]).toContain(status);
    expect(body.length).toBeLessThan(200);
    expect(body).not.toContain(SECRET);
  });

  it("is not had by links among the runs", async () => {
    symlinkSync(outside, join(runs, "link"));
    expect((await json<RunSummary[]>("/api/runs")).map(({ id }) => id)).toEqual(["one", "two"]);
    expect((await ask("/api/run?run=link")).status).toBe(404);
    rmSync(join(runs, "link"));
  });

  it.each(["metrics.jsonl", "timing.jsonl", "recipe.yaml", "results.json", "snapshots", "buffer"])(
    "is not had by a link in place of %s",
    async (name) => {
      const run = makeRun(join(runs, "linked"), { done: 10 });
      rmSync(join(run, name), { recursive: true, force: true });
      mkdirSync(join(outside, "buffer"), { recursive: true });
      writeFileSync(join(outside, "results.json"), "[]");
      symlinkSync(join(outside, name), join(run, name));
      const { messages } = await update("linked");
      const [told] = messages.filter((message) => message.kind === "run");
      expect(told!.problems).toEqual([
        `linked/${name}: must be in the run's folder, got a link out of it`,
      ]);
      expect(JSON.stringify(messages)).not.toContain(SECRET);
      if (name === "snapshots") expect(told!.snapshots).toEqual([]);
      rmSync(run, { recursive: true });
    },
  );

  it("is not had by a link in place of one snapshot", async () => {
    const run = makeRun(join(runs, "linked"), { done: 10 });
    const name = "ipc1-000005.safetensors";
    rmSync(join(run, "snapshots", name));
    symlinkSync(join(outside, "snapshots", name), join(run, "snapshots", name));
    expect((await ask("/api/sheet.png?run=linked&ipc=1&iteration=5")).status).not.toBe(200);
    rmSync(run, { recursive: true });
  });

  it("is not had by a recipe that extends it", async () => {
    const run = makeRun(join(runs, "extending"), { done: 10 });
    writeFileSync(
      join(run, "recipe.yaml"),
      "extends: ../../outside/secret.yaml\ndataset: digits\n",
    );
    const { messages } = await update("extending");
    expect(JSON.stringify(messages)).not.toContain(SECRET);
    rmSync(run, { recursive: true });
  });

  it("is not waited for: a pipe in place of a file is refused", async () => {
    const run = makeRun(join(runs, "piped"), { done: 10 });
    rmSync(join(run, "metrics.jsonl"));
    execFileSync("mkfifo", [join(run, "metrics.jsonl")]);
    const { messages } = await update("piped");
    const [told] = messages.filter((message) => message.kind === "run");
    expect(told!.problems).toEqual([
      "piped/metrics.jsonl: must be a file or a folder, got something else",
    ]);
    rmSync(run, { recursive: true });
  });
});
