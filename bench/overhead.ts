/** @file What is paid beside the work itself: the host's time for a launch, and the first compilation. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AdapterArguments } from "../distill/cli/options.ts";
import { Program, type Gpu } from "../engine/index.ts";
import { validate, type Row } from "./measure.ts";
import { student } from "./workloads.ts";

/** Values from small to large; the middle one. */
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** A row of times alone. */
const timeRow = (name: string, medianMs: number, dispatches: number): Row => ({
  name,
  medianMs,
  gflops: 0,
  gbs: 0,
  roofFraction: 0,
  dispatches,
});

/** Repetitions of a procedure in one run: about as many dispatches as an iteration of distillation has. */
const REPEATS = 100;

/**
 * The host's time for one dispatch of a replay, encoding and submitting: a student step whose kernels are
 * tiny, so that the device is not waited for. The null adapter, which computes nothing, is not validated.
 */
export async function launchOverhead(gpu: Gpu, name: string, samples: number): Promise<Row> {
  const procedures = student(4, 2, REPEATS);
  if (gpu.facts.kind !== "null") await validate(gpu, name, student(4, 2, 2));
  using program = await Program.compile(gpu, procedures);
  const { dispatches } = program.cost("step");
  const times: number[] = [];
  for (let sample = 0; sample <= samples; sample++) {
    const begun = performance.now();
    program.run("step", REPEATS);
    const ms = performance.now() - begun;
    await program.done();
    // The first one compiles.
    if (sample > 0) times.push(ms / (REPEATS * dispatches));
  }
  return timeRow(name, median(times), dispatches);
}

/** Where drivers keep what they compiled. */
const CACHES = ["MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"];

/** What `first-compile.ts` prints. */
export interface FirstCompile {
  readonly ms: number;
  readonly dispatches: number;
}

/**
 * Time from a traced program to the end of its first run, in a process of its own each time: with the
 * driver's cache empty, then with what that left there.
 */
export function firstCompile(
  { adapter = "", checks }: Pick<AdapterArguments, "adapter" | "checks">,
  program: string,
  samples: number,
): Row[] {
  // In the package it is JavaScript.
  const sources = import.meta.url.endsWith(".ts");
  const script = fileURLToPath(
    new URL(sources ? "first-compile.ts" : "first-compile.js", import.meta.url),
  );
  const loader = sources ? ["--import", import.meta.resolve("tsx")] : [];
  const args = [...loader, script, adapter, checks, program];
  const compileIn = (folder: string): FirstCompile => {
    const caches = Object.fromEntries(CACHES.map((variable) => [variable, folder]));
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: "utf8",
      env: { ...process.env, ...caches },
    });
    if (status !== 0)
      throw new Error(`first compile ${program}: must end well, got ${stderr.trim()}`);
    return JSON.parse(stdout) as FirstCompile;
  };
  const times: { cold: FirstCompile[]; warm: FirstCompile[] } = { cold: [], warm: [] };
  for (let sample = 0; sample < samples; sample++) {
    const folder = mkdtempSync(join(tmpdir(), "potstill-cache-"));
    try {
      times.cold.push(compileIn(folder));
      times.warm.push(compileIn(folder));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return Object.entries(times).map(([state, list]) => {
    const ms = median(list.map((one) => one.ms));
    return timeRow(`first compile ${program} ${state}`, ms, list[0]!.dispatches);
  });
}
