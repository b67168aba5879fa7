/** @file `npm run bench`: kernels and programs on this machine's adapter, beside its roofs. */
import yargs from "yargs";
import { adapterOptions, withAdapter, type AdapterArguments } from "../distill/cli/options.ts";
import { reportError } from "../distill/cli/main.ts";
import { strictly } from "../distill/cli/usage.ts";
import { proveWritable, writeAtomic } from "../distill/files.ts";
import { Gpu, measureRoof, type Roof } from "../engine/index.ts";
import { commit } from "./commit.ts";
import { measure, type Row } from "./measure.ts";
import { firstCompile, launchOverhead } from "./overhead.ts";
import { workloads } from "./workloads.ts";

const heading = `${"row".padEnd(46)}${"ms".padStart(11)}${"GFLOP/s".padStart(10)}${"GB/s".padStart(9)}${"of roof".padStart(9)}${"dispatches".padStart(12)}`;

function line({ name, medianMs, gflops, gbs, roofFraction, dispatches }: Row): string {
  const numbers = [
    medianMs.toFixed(4).padStart(11),
    gflops.toFixed(2).padStart(10),
    gbs.toFixed(2).padStart(9),
    roofFraction.toFixed(3).padStart(9),
    String(dispatches).padStart(12),
  ];
  return name.padEnd(46) + numbers.join("");
}

/** A measurement of one row or two, and the name that a filter must find in. */
interface Measurement {
  readonly name: string;
  readonly rows: () => Promise<Row[]>;
}

/** Everything that can be measured on a device, in the order of the table. */
function measurements(gpu: Gpu, roof: Roof, args: AdapterArguments, quick: boolean): Measurement[] {
  const sampling = quick ? { samples: 5, sampleMs: 100 } : { samples: 11, sampleMs: 300 };
  const compiled = ["teacher step ConvNetD3 w32", ...(quick ? [] : ["iteration ConvNetD3 w32"])];
  return [
    ...workloads(quick).map((workload) => ({
      name: workload.name,
      rows: async () => [await measure(gpu, roof, workload, sampling)],
    })),
    {
      name: "launch overhead",
      rows: async () => {
        // As the commands open it for programs of kernels this small.
        using small = await Gpu.open({ ...args, threads: "one" });
        return [await launchOverhead(small, "launch overhead", sampling.samples)];
      },
    },
    {
      name: "launch overhead null",
      rows: async () => {
        using none = await Gpu.open({ adapter: "null", checks: gpu.facts.checks });
        return [await launchOverhead(none, "launch overhead null", sampling.samples)];
      },
    },
    ...compiled.map((program) => ({
      name: `first compile ${program}`,
      rows: () => Promise.resolve(firstCompile(args, program, quick ? 1 : 3)),
    })),
  ];
}

const words = process.argv.slice(2);
const parser = adapterOptions(yargs(words).scriptName("npm run bench --"), "fast")
  .option("filter", {
    type: "string",
    requiresArg: true,
    describe: "Only rows whose name contains this",
  })
  .option("quick", { type: "boolean", default: false, describe: "Fewer rows and samples" })
  .option("json", {
    type: "string",
    requiresArg: true,
    describe: "Write the results to this file",
  });

try {
  const args = await strictly(parser, words).parseAsync();
  const { filter = "", quick, json } = args;
  if (json !== undefined) proveWritable(json);
  await withAdapter(args, async (gpu) => {
    const { name: adapter, driver, webgpuVersion } = gpu.facts;
    const versions = { webgpu: webgpuVersion, node: process.versions.node };
    const measured = commit();
    const roof = await measureRoof(gpu, quick ? 5 : 9);
    console.log(
      `${adapter} (${driver}), webgpu ${versions.webgpu}, node ${versions.node}, commit ${measured}`,
    );
    console.log(
      `roof: ${roof.gflops.toFixed(1)} GFLOP/s of fused multiply-adds, ${roof.gbs.toFixed(2)} GB/s of copying`,
    );
    console.log(heading);
    const rows: Row[] = [];
    for (const { rows: measureRows } of measurements(gpu, roof, args, quick).filter(({ name }) =>
      name.includes(filter),
    )) {
      const some = await measureRows();
      rows.push(...some);
      some.forEach((row) => console.log(line(row)));
    }
    const results = { adapter, driver, versions, commit: measured, roof, rows };
    if (json !== undefined) writeAtomic(json, `${JSON.stringify(results, null, 2)}\n`);
  });
} catch (error) {
  process.exitCode = reportError(error);
}
