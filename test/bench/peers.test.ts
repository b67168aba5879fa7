/** @file The comparison with other frameworks, with none of them installed: stand-ins answer for them. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  compare,
  interleave,
  median,
  relativeError,
  type Contender,
  type Entry,
} from "../../bench/peers/compare.ts";
import type { OpenOptions, Reply, Request } from "../../bench/peers/peer.ts";
import { commandOf, openPeer, peerNames, takes } from "../../bench/peers/peers.ts";
import { selectPeers, selectRows } from "../../bench/peers/select.ts";
import { Session } from "../../bench/peers/session.ts";
import { heading, resultLine, table } from "../../bench/peers/table.ts";
import { inputsOf, type Row } from "../../bench/peers/tasks.ts";

const opening: OpenOptions = { adapter: "", checks: "safe", slowPolling: false };
const sampling = { rounds: 3, sampleMs: 100, budgetMs: 1000 };
const row: Row = { name: "matmul 2", task: { kind: "matmul", n: 2 }, flops: 16 };

/** A process that multiplies, times what it is told, and takes `msPerRun` as it says. */
const STAND_IN = `
import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
const [, , times, msPerRun, mode] = process.argv;
const read = (folder, name) => new Float32Array(new Uint8Array(readFileSync(folder + "/" + name + ".f32")).buffer);
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let reply;
  if (request.do === "open") reply = { opened: { versions: { fake: "1" } } };
  if (request.do === "sample") reply = { ms: request.times * Number(msPerRun), peakMiB: 10 };
  if (request.do === "prepare" && mode === "absent") reply = { absent: "no products" };
  else if (request.do === "prepare" && mode === "crash") { console.error("out of luck"); process.exit(3); }
  else if (request.do === "prepare" && mode === "silent") continue;
  else if (request.do === "prepare") {
    const [a, b] = [read(request.folder, "a"), read(request.folder, "b")];
    const y = [0, 1, 2, 3].map((i) => Number(times) * (a[i & 2] * b[i & 1] + a[(i & 2) + 1] * b[(i & 1) + 2]));
    writeFileSync(request.folder + "/output.f32", new Float32Array(y));
    reply = { firstMs: 5 };
  }
  writeSync(3, JSON.stringify(reply) + "\\n");
}
`;

let folder: string;
let script: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-test-"));
  script = join(folder, "stand-in.mjs");
  writeFileSync(script, STAND_IN);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** An entry for a process that answers `times` the right product. */
const standIn = (name: string, times: number, msPerRun: number, mode = "", limitMs = 20_000) => ({
  name,
  start: () =>
    new Session([process.execPath, script, String(times), String(msPerRun), mode], limitMs),
});

describe("peers are compared", () => {
  test("by process: the right one timed, the wrong one not, others named with their reason", async () => {
    const entries: Entry[] = [
      standIn("ours", 1, 10),
      standIn("slow", 1, 25),
      standIn("wrong", 1.05, 1),
      standIn("lacking", 1, 1, "absent"),
      standIn("broken", 1, 1, "crash"),
      { name: "nowhere", start: { absent: "not installed" } },
    ];
    const versions: Record<string, string>[] = [];
    const results = await compare(row, entries, opening, sampling, (facts) =>
      versions.push(facts.versions),
    );
    expect(results.map(({ peer, status }) => [peer, status])).toEqual([
      ["ours", "timed"],
      ["slow", "timed"],
      ["wrong", "wrong"],
      ["lacking", "absent"],
      ["broken", "failed"],
      ["nowhere", "absent"],
    ]);
    expect(results[1]).toMatchObject({ medianMs: 25, ratio: 2.5, peakMiB: 10, firstMs: 5 });
    expect(results[1]!.gflops).toBeCloseTo(16 / 25 / 1e6, 12);
    expect(results[2]!.error).toBeCloseTo(0.05, 5);
    expect(results[2]!.medianMs).toBeUndefined();
    expect(results[4]!.note).toBe("the process ended with 3: out of luck");
    expect(versions).toHaveLength(5);
  });

  test("only where ours runs", async () => {
    const entries = [standIn("ours", 1, 1, "absent"), standIn("other", 1, 1)];
    await expect(compare(row, entries, opening, sampling)).rejects.toThrow(
      "peers: ours must run, got no products",
    );
  });

  test("within a limit for every answer", async () => {
    const results = await compare(
      row,
      [standIn("ours", 1, 1), standIn("stuck", 1, 1, "silent", 500)],
      opening,
      sampling,
    );
    expect(results[1]).toEqual({ peer: "stuck", status: "failed", note: "no answer within 0.5 s" });
  });
});

describe("samples", () => {
  /** A contender that notes its turns and answers with its time. */
  function noting(turns: string[], name: string, msPerRun: number, fails = Infinity) {
    let asked = 0;
    const contender: Contender = {
      ask(request: Request): Promise<Reply> {
        const times = request.do === "sample" ? request.times : 0;
        turns.push(`${name}${times}`);
        if (++asked > fails) return Promise.resolve({ error: "gone" });
        return Promise.resolve({ ms: msPerRun * times, peakMiB: asked });
      },
      [Symbol.dispose]: () => undefined,
    };
    return { name, contender };
  }

  test("are taken in turns, each repeated to its length", async () => {
    const turns: string[] = [];
    const peers = [noting(turns, "a", 10), noting(turns, "b", 50), noting(turns, "c", 300)];
    const samples = await interleave(peers, { rounds: 2, sampleMs: 100, budgetMs: 1000 });
    expect(turns).toEqual(["a1", "b1", "c1", "a10", "b2", "c1", "a10", "b2", "c1"]);
    expect(samples.get("a")).toEqual({ times: [10, 10], peakMiB: 3 });
  });

  test("end early for a peer that has used its time", async () => {
    const turns: string[] = [];
    const peers = [noting(turns, "a", 100), noting(turns, "b", 600), noting(turns, "c", 5000)];
    const samples = await interleave(peers, { rounds: 3, sampleMs: 100, budgetMs: 1000 });
    expect(turns).toEqual(["a1", "b1", "c1", "a1", "b1", "a1", "a1"]);
    expect(samples.get("c")!.times).toEqual([5000]);
  });

  test("end for a peer that fails", async () => {
    const turns: string[] = [];
    const peers = [noting(turns, "a", 100), noting(turns, "b", 100, 2)];
    const samples = await interleave(peers, { rounds: 3, sampleMs: 100, budgetMs: 1000 });
    expect(samples.get("b")!.failed).toBe("gone");
    expect(turns.filter((turn) => turn.startsWith("b"))).toHaveLength(3);
    expect(samples.get("a")!.times).toHaveLength(3);
  });
});

describe("figures", () => {
  test("have their medians and errors", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    const [got, want, base] = [
      [1, 2.1],
      [1, 2],
      [1, 1],
    ].map((values) => Float32Array.from(values));
    expect(relativeError(got!, want!)).toBeCloseTo(0.1 / Math.sqrt(5), 6);
    expect(relativeError(got!, want!, base)).toBeCloseTo(0.1, 6);
    expect(relativeError(got!, Float32Array.of(1))).toBe(Infinity);
  });

  test("stand under their headings, messages in one line", () => {
    const timed = {
      peer: "slow",
      status: "timed",
      medianMs: 25,
      ratio: 2.5,
      firstMs: 1500,
      peakMiB: 99.6,
      error: 1e-6,
    } as const;
    const text = resultLine(timed);
    const end = (of: string, part: string): number => of.indexOf(part) + part.length;
    expect(end(text, "25.00")).toBe(end(heading, "ms"));
    expect(end(text, "2.50")).toBe(end(heading, "x ours"));
    expect(end(text, "1.5")).toBe(end(heading, "first s"));
    expect(end(text, " 100")).toBe(end(heading, "peak MiB"));
    expect(end(text, "1.0e-6")).toBe(end(heading, "error"));
    const failed = { peer: "broken", status: "failed", note: `a\n  b${"c".repeat(300)}` } as const;
    const wrong = { peer: "wrong", status: "wrong", error: 0.353 } as const;
    const lines = table("matmul 2", [timed, failed, wrong]).split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toBe("matmul 2");
    expect(lines[2]).toMatch(/^ {2}broken +failed: a bc+…$/);
    expect(lines[3]).toMatch(/^ {2}wrong +wrong: relative error 35\.3 %$/);
  });
});

describe("the choice", () => {
  test("of peers is by parts of their names", () => {
    expect(selectPeers("gpu.js, torch")).toEqual([
      "gpu.js webgpu",
      "gpu.js cpu",
      "torch cpu",
      "torch cuda",
    ]);
    expect(() => selectPeers("ours,caffe")).toThrow(/^--peers: must be parts of .*, got "caffe"$/);
    expect(() => selectPeers("")).toThrow('got ""');
  });

  test("of rows is by part of their names, quick or large", () => {
    const names = (options: Parameters<typeof selectRows>[0]) =>
      selectRows(options).map(({ name }) => name);
    expect(names({ filter: "conv" })).toHaveLength(3);
    expect(names({ quick: true })).not.toContain("matmul 1024");
    expect(names({ quick: true, filter: "1024" })).toEqual(["matmul 1024"]);
    expect(names({ large: true, filter: "n500" })).toEqual(["iteration ConvNetD3 w128 n500 s80"]);
    expect(() => selectRows({ filter: "lstm" })).toThrow(/^--filter: must be .*, got "lstm"$/);
  });

  test("of variants is by what they show", () => {
    const others = peerNames.filter((name) => !takes(name, "matmul"));
    expect(others.every((name) => takes(name, "iteration"))).toBe(true);
    expect(takes("ours", "matmul") && takes("torch cpu", "matmul")).toBe(true);
  });

  test("must be of those there are", () => {
    expect(() => openPeer("caffe", opening)).toThrow(/^peer: must be one of ours, .*"caffe"$/);
    expect(commandOf("torch cpu", ["/nowhere/python3"])).toEqual({
      absent: "no /nowhere/python3 has PyTorch",
    });
  });

  test("of options is checked before anything is installed", () => {
    const main = fileURLToPath(new URL("../../bench/peers.ts", import.meta.url));
    const run = (...args: string[]): string => {
      try {
        execFileSync(process.execPath, ["--import", "tsx", main, ...args], {
          encoding: "utf8",
          stdio: "pipe",
        });
        return "";
      } catch (error) {
        return (error as { stderr: string }).stderr;
      }
    };
    expect(run("--limit", "0")).toContain("--limit: must be above 0, got 0");
    expect(run("--peers", "caffe")).toContain('got "caffe"');
    expect(run("--profile", "slow")).toContain("profile");
    expect(run("--rows", "all")).toContain("rows");
  });
});

test("inputs are the same at every call", () => {
  const task = { kind: "iteration", width: 4, batch: 2, steps: 1 } as const;
  const [a, b] = [inputsOf(task), inputsOf(task)];
  expect(a).toEqual(b);
  expect(a["targets"]!.subarray(0, 10).reduce((x, y) => x + y, 0)).toBeCloseTo(1, 6);
});
