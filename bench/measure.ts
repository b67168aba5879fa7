/** @file One row: checked against the oracle, then timed. */
import { Bench } from "tinybench";
import {
  interpret,
  Program,
  Random,
  simplify,
  topological,
  type Gpu,
  type HostData,
  type Procedure,
  type Roof,
  type Tensor,
} from "../engine/index.ts";
import type { Workload } from "./workloads.ts";

/** A row of the results; rates are of one part of a sample. */
export interface Row {
  readonly name: string;
  readonly medianMs: number;
  readonly gflops: number;
  readonly gbs: number;
  /** Of the roof that bounds the row: multiply-adds, or memory. */
  readonly roofFraction: number;
  readonly dispatches: number;
}

type Procedures = Readonly<Record<string, Procedure>>;

/** Variables of all procedures that nothing computes: what must be written before a run. */
function inputsOf(procedures: Procedures): Tensor[] {
  const found = new Map<string, Tensor>();
  for (const t of topological(simplify(Object.values(procedures).flatMap((p) => Object.values(p)))))
    if (t.op.name === "variable") found.set(t.params["name"] as string, t);
  return [...found.values()];
}

/** Random values for a variable: small numbers, so that programs stay finite; indices below every count. */
function valuesFor(t: Tensor, random: Random): HostData {
  if (t.dtype === "u32") return Uint32Array.from({ length: t.size }, (_, i) => i % 2);
  return random.fill(t.size, -0.5, 0.5);
}

/**
 * Runs every procedure once on the adapter and by the float64 interpreter from the same values.
 * @throws Error naming the output that differs by more than 1e-3 of its norm.
 */
export async function validate(gpu: Gpu, name: string, procedures: Procedures): Promise<void> {
  using program = await Program.compile(gpu, procedures);
  const inputs = inputsOf(procedures);
  for (const [procedure, outputs] of Object.entries(procedures)) {
    const random = new Random(1);
    const values: Record<string, Float32Array | Uint32Array> = {};
    for (const t of inputs) {
      const data = valuesFor(t, random);
      values[t.params["name"] as string] = data;
      program.write(t.params["name"] as string, data);
    }
    program.run(procedure);
    const names = Object.keys(outputs).filter((key) => outputs[key]!.dtype === "f32");
    const got = await program.read(...names);
    const want = interpret(
      names.map((key) => outputs[key]!),
      values,
    );
    names.forEach((key, i) => {
      let [distance, norm] = [0, 0];
      want[i]!.forEach((v, k) => {
        distance += (v - got[i]![k]!) ** 2;
        norm += v * v;
      });
      // Some gradients are zero but for rounding: a bias before a norm.
      const error = Math.sqrt(distance / Math.max(norm, 1e-6));
      if (!(error < 1e-3))
        throw new Error(
          `${name}: ${procedure}.${key} must agree with the oracle, got a relative error of ${error}`,
        );
    });
  }
}

/** How often and how long to sample. */
export interface Sampling {
  readonly samples: number;
  /** A sample repeats its work until it lasts about this long, in ms. */
  readonly sampleMs: number;
}

/** Median time of `work` in ms, after one run to warm up. */
async function medianOf(name: string, samples: number, work: () => Promise<void>): Promise<number> {
  const bench = new Bench({ iterations: samples, time: 0, warmupIterations: 1, warmupTime: 0 });
  bench.add(name, work);
  const [task] = await bench.run();
  const result = task!.result;
  if (!("latency" in result)) throw new Error(`${name}: must run to its end, got ${result.state}`);
  return result.latency.p50;
}

/** Checks a workload and times it: the median over samples of one submission each. */
export async function measure(
  gpu: Gpu,
  roof: Roof,
  workload: Workload,
  { samples, sampleMs }: Sampling,
): Promise<Row> {
  const { name, procedures, run, parts = 1 } = workload;
  await validate(gpu, name, workload.smaller ?? procedures);
  using program = await Program.compile(gpu, procedures);
  const random = new Random(1);
  for (const t of inputsOf(procedures))
    program.write(t.params["name"] as string, valuesFor(t, random));
  const once = async (repeats: number): Promise<void> => {
    for (let i = 0; i < repeats; i++)
      for (const [procedure, times] of run) program.run(procedure, times);
    await program.done();
  };
  await once(1);
  const begun = performance.now();
  await once(1);
  const repeats = Math.max(1, Math.round(sampleMs / (performance.now() - begun)));
  const medianMs = (await medianOf(name, samples, () => once(repeats))) / repeats / parts;
  const timed = run.map(([procedure, times]) => ({ cost: program.cost(procedure), times }));
  const total = (key: "flops" | "bytes" | "dispatches"): number =>
    timed.reduce((sum, { cost, times }) => sum + cost[key] * times, 0) / parts;
  const gflops = (workload.flops ?? total("flops")) / medianMs / 1e6;
  const gbs = (workload.bytes ?? total("bytes")) / medianMs / 1e6;
  const last = run[run.length - 1]![0];
  return {
    name,
    medianMs,
    gflops,
    gbs,
    roofFraction: workload.roof === "fma" ? gflops / roof.gflops : gbs / roof.gbs,
    dispatches: parts > 1 ? program.cost(last).dispatches : total("dispatches"),
  };
}
