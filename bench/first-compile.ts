/**
 * @file Compiles one program in a process of its own and runs it once, since drivers compile at the first
 * run what they did not before; prints the time as JSON. Arguments: adapter, checks, program.
 */
import { Gpu, Program, type Procedure } from "../engine/index.ts";
import type { FirstCompile } from "./overhead.ts";
import { student, teacherStep } from "./workloads.ts";

const PROGRAMS: Readonly<Record<string, () => Record<string, Procedure>>> = {
  "teacher step ConvNetD3 w32": () => teacherStep(32, 32),
  "iteration ConvNetD3 w32": () => student(32, 10, 5),
};

const [adapter, checks, name] = process.argv.slice(2);
const traced = PROGRAMS[name ?? ""]?.();
if (!traced || (checks !== "safe" && checks !== "fast"))
  throw new Error(`first compile: must be told a program, got ${process.argv.slice(2).join(" ")}`);
using gpu = await Gpu.open({ adapter: adapter === "" ? undefined : adapter, checks });
const begun = performance.now();
using program = await Program.compile(gpu, traced);
for (const procedure of Object.keys(traced)) program.run(procedure);
await program.done();
const ms = performance.now() - begun;
const dispatches = Object.keys(traced).reduce((sum, p) => sum + program.cost(p).dispatches, 0);
console.log(JSON.stringify({ ms, dispatches } satisfies FirstCompile));
