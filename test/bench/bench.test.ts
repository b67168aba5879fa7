/** @file The benchmark's rows and its file. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { workloads } from "../../bench/workloads.ts";
import { runScript } from "../support/run-cli.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-bench-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const bench = (...args: string[]) => runScript("bench/main.ts", args);

describe("the rows", () => {
  it("have names of their own, those of a quick run among those of a full one", () => {
    const [quick, full] = [true, false].map((few) => workloads(few).map(({ name }) => name));
    expect(new Set(full).size).toBe(full!.length);
    expect(quick!.filter((name) => !full!.includes(name))).toEqual([]);
    for (const name of [
      ...["matmul 512", "matmul 1024", "conv kernel 64x64 16x16 n32"],
      ...["plane adjoint 32 32x32 n32", "plane adjoint 128 32x32 n10"],
      ...["teacher step ConvNetD3 w32 n32", "teacher step ConvNetD3 w128 n32"],
      ...["student step ConvNetD3 w128 n10", "adjoint ConvNetD3 w128 n10"],
      ...["iteration ConvNetD3 w32 n10 s5", "gather 512 of 1024x1024"],
    ])
      expect(full).toContain(name);
  });

  it("of planes count each input and each result once", () => {
    const bytes = (name: string) => workloads(true).find((row) => row.name === name)!.bytes;
    const [plane, pooled] = [32 * 32 * 1024, 32 * 32 * 256];
    expect(bytes("plane forward 32 32x32 n32")).toBe(4 * (plane + pooled + 64));
    // z and g read, δz written; scale, and shift for the ReLU; their two gradients.
    expect(bytes("plane backward 32 32x32 n32")).toBe(4 * (2 * plane + pooled + 128));
  });
});

describe("a run", () => {
  it("checks, times and writes what the filter leaves", async () => {
    const path = join(root, "results.json");
    const { code, stdout } = await bench("--quick", "--filter", "reduce rows", "--json", path);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^reduce rows 1024x1024( +[\d.]+){4} +1$/m);
    const results = JSON.parse(readFileSync(path, "utf8")) as {
      roof: Record<string, number>;
      rows: Record<string, number | string>[];
    };
    expect(Object.keys(results)).toEqual([
      ...["adapter", "driver", "versions", "commit", "roof", "rows"],
    ]);
    expect(results.rows.length).toBe(1);
    const { medianMs, gflops, gbs, roofFraction, ...named } = results.rows[0]!;
    expect(named).toEqual({ name: "reduce rows 1024x1024", dispatches: 1 });
    expect(gflops).toBeCloseTo(1024 ** 2 / Number(medianMs) / 1e6, 9);
    expect(gbs).toBeCloseTo((4 * (1024 ** 2 + 1024)) / Number(medianMs) / 1e6, 9);
    expect(roofFraction).toBeCloseTo(Number(gbs) / results.roof["gbs"]!, 9);
  });

  it("tells the host's time for a launch, on this adapter and where nothing is computed", async () => {
    const path = join(root, "launch.json");
    const { code } = await bench("--quick", "--filter", "launch overhead", "--json", path);
    expect(code).toBe(0);
    const { rows } = JSON.parse(readFileSync(path, "utf8")) as {
      rows: { name: string; medianMs: number }[];
    };
    expect(rows.map(({ name }) => name)).toEqual(["launch overhead", "launch overhead null"]);
    // Microseconds, not the tens of them that new bind groups would cost.
    expect(rows[1]!.medianMs).toBeLessThan(0.02);
  });

  it("refuses a file that cannot be written, and flags that it does not know", async () => {
    const refused = await bench("--json", join(root, "nowhere", "results.json"));
    expect([refused.code, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toMatch(/nowhere\/results\.json: its folder must exist, got none/);
    const unknown = await bench("--fitler", "conv");
    expect([unknown.code, unknown.stderr]).toEqual([
      ...[
        2,
        "potstill: every flag must be one of the command's, got --fitler (did you mean --filter?)\n",
      ],
    ]);
  });
});
