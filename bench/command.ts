/** @file `potstill bench` and `npm run bench`: kernels and programs on this machine's adapter, beside its roofs. */
import type { CommandModule } from "yargs";
import { adapterOptions, withAdapter, type AdapterArguments } from "../distill/cli/options.ts";
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

interface BenchArguments extends AdapterArguments {
  readonly filter: string;
  readonly quick: boolean;
  readonly json: string | undefined;
}

export const benchCommand: CommandModule<object, BenchArguments> = {
  command: "bench",
  describe: "Measure kernels and programs on the adapter, beside what it can do at most",
  builder: (yargs) =>
    adapterOptions(yargs, "fast")
      .option("filter", {
        type: "string",
        requiresArg: true,
        default: "",
        describe: "Only rows whose name contains this",
      })
      .option("quick", { type: "boolean", default: false, describe: "Fewer rows and samples" })
      .option("json", {
        type: "string",
        requiresArg: true,
        describe: "Write the results to this file",
      })
      .example("$0 bench --quick", "in a minute on two cores")
      .example("$0 bench --filter conv --json conv.json", "convolutions, also as JSON"),
  handler: async (args) => {
    const { filter, quick, json } = args;
    if (json !== undefined) proveWritable(json);
    await withAdapter(args, async (gpu) => {
      const results = await bench(gpu, args, { filter, quick });
      if (json !== undefined) writeAtomic(json, `${JSON.stringify(results, null, 2)}\n`);
    });
  },
};

/** Prints the table, row by row, and returns what `--json` writes. */
async function bench(
  gpu: Gpu,
  args: AdapterArguments,
  { filter, quick }: Pick<BenchArguments, "filter" | "quick">,
) {
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
  for (const { name, rows: measureRows } of measurements(gpu, roof, args, quick)) {
    if (!name.includes(filter)) continue;
    const some = await measureRows();
    rows.push(...some);
    some.forEach((row) => console.log(line(row)));
  }
  return { adapter, driver, versions, commit: measured, roof, rows };
}
