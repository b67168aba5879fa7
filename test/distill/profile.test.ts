/** @file The trace and the table of `--profile`, and the launches that `info --program` shows. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { chromeTrace, formatProfile } from "../../distill/cli/profile.ts";
import { shownProgram } from "../../distill/cli/program.ts";
import type { KernelTotal } from "../../engine/index.ts";
import { contents, runCli } from "../support/run-cli.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-profile-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

interface TraceEvent {
  readonly ph: string;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly name: string;
  readonly args: Record<string, unknown>;
}

const eventsOf = (text: string): TraceEvent[] =>
  (JSON.parse(text) as { traceEvents: TraceEvent[] }).traceEvents;

/** What is complete in a trace: an interval with a beginning and a length. */
const complete = (events: readonly TraceEvent[]): TraceEvent[] =>
  events.filter(({ ph }) => ph === "X");

describe("a trace", () => {
  const work = {
    ...{
      name: "matmul [2, 3] [3, 4] -> [2, 4]",
      op: "matmul",
      dispatches: 1,
      flops: 48,
      bytes: 104,
    },
    operands: [
      [2, 3],
      [3, 4],
    ],
    results: [[2, 4]],
    grid: [1, 2, 3],
  } as const;
  const text = chromeTrace(
    [
      { track: "encode", name: "step", begin: 1000, ms: 2 },
      { track: "device", name: work.name, begin: 1001.5, ms: 0.25, work },
    ],
    "some adapter",
  );

  it("names its process and its tracks", () => {
    const names = eventsOf(text).filter(({ name }) => name.endsWith("_name"));
    expect(names.map(({ args }) => args["name"])).toEqual([
      ...["potstill on some adapter", "device", "host: compile"],
      ...["host: encode and submit", "host: wait"],
    ]);
  });

  it("has complete events in µs from the first, with what is known of a dispatch", () => {
    expect(complete(eventsOf(text))).toEqual([
      { ph: "X", pid: 1, tid: 2, ts: 0, dur: 2000, name: "step", cat: "encode" },
      {
        ...{ ph: "X", pid: 1, tid: 0, ts: 1500, dur: 250, name: work.name, cat: "device" },
        args: {
          ...{ op: "matmul", operands: "[2, 3] [3, 4]", results: "[2, 4]" },
          ...{ grid: "1x2x3", flops: 48, bytes: 104 },
        },
      },
    ]);
  });

  it("of nothing is still one", () => {
    expect(complete(eventsOf(chromeTrace([], "none")))).toEqual([]);
  });
});

describe("the table", () => {
  const kernel = (name: string, calls: number, ms: number, warm = true): KernelTotal => {
    const amount = { calls, ms, flops: 1e6 * calls, bytes: 1e5 * calls };
    const rest = {
      calls: calls - 1,
      ms: ms / 4,
      flops: 1e6 * (calls - 1),
      bytes: 1e5 * (calls - 1),
    };
    return { name, ...amount, warm: warm ? rest : { calls: 0, ms: 0, flops: 0, bytes: 0 } };
  };
  const roof = { gflops: 4, gbs: 10 };

  it("shows calls, times and shares of all, and rates of what is warm", () => {
    const rows = formatProfile([kernel("b", 3, 8), kernel("a", 1, 2, false)], roof).split("\n");
    expect(rows.map((row) => row.trim().split(/\s{2,}/))).toEqual([
      ["kernel", "calls", "ms", "share", "GFLOP/s", "GB/s", "of roof"],
      // 2 MFLOP and 200 kB in 2 ms.
      ["b", "3", "8.00", "80.0 %", "1.00", "0.10", "0.250"],
      ["a", "1", "2.00", "20.0 %", "0.50", "0.05", "0.125"],
      ["all", "4", "10.00", "100.0 %", "1.00", "0.10", "0.250"],
    ]);
    expect(new Set(rows.map((row) => row.length)).size).toBe(1);
  });

  it("puts what takes least into one row, and loses nothing", () => {
    const kernels = Array.from({ length: 45 }, (_, i) => kernel(`k${i}`, 2, 100 - i));
    const rows = formatProfile(kernels, roof)
      .split("\n")
      .map((row) => row.trim().split(/\s{2,}/));
    expect(rows.length).toBe(1 + 40 + 1 + 1);
    expect(rows[41]!.slice(0, 2)).toEqual(["5 others", "10"]);
    const ms = rows.slice(1, -1).reduce((sum, row) => sum + Number(row[2]), 0);
    expect(ms).toBeCloseTo(Number(rows.at(-1)![2]), 6);
  });

  it("of nothing is one row of zeros", () => {
    const [, row] = formatProfile([], roof).split("\n");
    expect(row!.split(/\s{2,}/)).toEqual(["all", "0", "0.00", "0.0 %", "0.00", "0.00", "0.000"]);
  });
});

const SMALL = ["info", "--program", "ConvNetD1", "--width", "2", "--size", "4", "--batch", "3"];

describe("info --program", () => {
  it("shows each procedure with its totals and a line a launch, then the memory", async () => {
    const { code, stdout } = await runCli([...SMALL, "--adapter", "null"], root);
    expect(code).toBe(0);
    const [title, ...blocks] = stdout.trimEnd().split("\n\n");
    // 2 × 3 × 9 + 3 × 2 of the convolution and norm, 10 × 8 + 10 of the classifier.
    expect(title).toBe(
      "ConvNetD1, 150 parameters, images [3, 4, 4], batch 3 of 3 images, 10 steps",
    );
    const procedures = blocks.slice(0, -1).map((block) => block.split("\n"));
    expect(procedures.map(([head]) => head!.split(":")[0])).toEqual([
      ...["begin", "step", "turn", "adjoint", "update"],
    ]);
    for (const [head, ...lines] of procedures) {
      const dispatches = lines.filter((line) => !line.startsWith("  copy "));
      expect(head).toMatch(/^\w+: \d+ dispatches, [\d.]+ [kM]?FLOP, [\d.]+ [kM]?B$/);
      expect(head).toContain(`: ${dispatches.length} dispatches,`);
      for (const line of dispatches)
        expect(line).toMatch(
          /^ {2}(?:(?:map|rows) \d+ ops?(?:, \d+ folds?)?|\w+(?: \[[\d, ]*\])+) ->(?: (?:\d+x)?\[[\d, ]*\])+, grid \d+x\d+x\d+, [\d.]+ [kM]?FLOP, [\d.]+ [kM]?B$/,
        );
    }
    expect(procedures[1]!.join("\n")).toContain(
      "  conv2d [3, 3, 4, 4] [2, 3, 3, 3] -> [3, 2, 4, 4], ",
    );
    expect(blocks.at(-1)).toMatch(
      /^memory: [\d.]+ kB of variables, [\d.]+ kB of slots, [\d.]+ kB together$/,
    );
  });

  it("gives one procedure as JSON, whose launches add up to its totals", async () => {
    const args = [...SMALL, "--adapter", "null", "--procedure", "adjoint", "--json"];
    const { code, stdout } = await runCli(args, root);
    expect(code).toBe(0);
    const described = JSON.parse(stdout) as {
      memory: Record<"variables" | "slots" | "total", number>;
      procedures: Record<
        string,
        {
          dispatches: number;
          flops: number;
          bytes: number;
          launches: {
            kind: string;
            op: string;
            results: number[][];
            flops?: number;
            bytes: number;
          }[];
        }
      >;
    };
    expect(Object.keys(described.procedures)).toEqual(["adjoint"]);
    const { dispatches, flops, bytes, launches } = described.procedures["adjoint"]!;
    expect(launches.filter(({ kind }) => kind === "dispatch").length).toBe(dispatches);
    expect(launches.reduce((sum, launch) => sum + (launch.flops ?? 0), 0)).toBe(flops);
    expect(launches.reduce((sum, launch) => sum + launch.bytes, 0)).toBe(bytes);
    expect(launches.find(({ op }) => op === "addRows")!.results).toEqual([[3, 3, 4, 4]]);
    const { variables, slots, total } = described.memory;
    expect(variables + slots).toBe(total);
  });

  it("takes the sizes of a recipe, and those of flags instead", async () => {
    const recipe = await shownProgram("digits-ipc10", {});
    expect(recipe.model.task).toEqual({ channels: 1, size: 8, classes: 10 });
    expect(recipe.images).toBe(100);
    const changed = await shownProgram("digits-ipc10", { batch: 7, steps: 3, width: 4 });
    expect([changed.images, changed.batch, changed.steps]).toEqual([100, 7, 3]);
    expect(changed.model.size).toBeLessThan(recipe.model.size);
  });
});

describe("--profile", () => {
  it("writes a trace with an event for each dispatch, and prints the table", async () => {
    const path = join(root, "trace.json");
    const args = [...SMALL, "--json", "--procedure", "step", "--profile", path];
    const { code, stdout, stderr } = await runCli(args, root);
    expect(code).toBe(0);
    const { procedures } = JSON.parse(stdout) as {
      procedures: { step: { dispatches: number } };
    };
    const events = complete(eventsOf(readFileSync(path, "utf8")));
    const device = events.filter(({ tid }) => tid === 0);
    expect(device.length).toBe(5 * procedures.step.dispatches);
    for (const { ts, dur, args: known } of device) {
      expect(ts).toBeGreaterThanOrEqual(0);
      expect(dur).toBeGreaterThanOrEqual(0);
      expect(Object.keys(known)).toEqual(["op", "operands", "results", "grid", "flops", "bytes"]);
    }
    const lines = stderr.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^kernel +calls +ms +share +GFLOP\/s +GB\/s +of roof$/);
    expect(lines.at(-4)).toMatch(new RegExp(`^all +${device.length} +[\\d.]+ +100.0 % `));
    expect(lines.at(-1)).toBe(`trace: ${path}, ${events.length} events`);
    expect(Object.keys(contents(root))).toEqual(["trace.json"]);
  });

  it("to where nothing can be written is refused before any work", async () => {
    const path = join(root, "nowhere", "trace.json");
    const out = join(root, "run");
    const args = ["distill", "digits", "--out", out, "--profile", path];
    const { code, stdout, stderr } = await runCli(args, root);
    expect([code, stdout, stderr]).toEqual([
      ...[1, "", `${path}: its folder must exist, got none (ENOENT)\n`],
    ]);
    expect(existsSync(out)).toBe(false);
    const folder = await runCli(["info", "--profile", root], root);
    expect([folder.code, folder.stderr]).toEqual([
      ...[1, `${root}: must be a file, got a folder (EISDIR)\n`],
    ]);
  });
});
