/** @file `npm run bench`: kernels and programs on this machine's adapter, beside its roofs. */
import { writeFileSync } from "node:fs";
import yargs from "yargs";
import { Gpu, measureRoof } from "../engine/index.ts";
import { commit } from "./commit.ts";
import { measure, type Row } from "./measure.ts";
import { workloads } from "./workloads.ts";

const heading = `${"row".padEnd(42)}${"ms".padStart(10)}${"GFLOP/s".padStart(10)}${"GB/s".padStart(9)}${"of roof".padStart(9)}${"dispatches".padStart(12)}`;

function line({ name, medianMs, gflops, gbs, roofFraction, dispatches }: Row): string {
  const numbers = [
    medianMs.toFixed(3).padStart(10),
    gflops.toFixed(2).padStart(10),
    gbs.toFixed(2).padStart(9),
    roofFraction.toFixed(3).padStart(9),
    String(dispatches).padStart(12),
  ];
  return name.padEnd(42) + numbers.join("");
}

const args = await yargs(process.argv.slice(2))
  .scriptName("npm run bench --")
  .option("adapter", {
    type: "string",
    describe: "hardware, lavapipe, swiftshader or part of a name",
  })
  .option("profile", { choices: ["safe", "fast"] as const, default: "fast" as const })
  .option("filter", { type: "string", describe: "Only rows whose name contains this" })
  .option("quick", { type: "boolean", default: false, describe: "Fewer rows and samples" })
  .option("json", { type: "string", describe: "Write the results to this file" })
  .strict()
  .parseAsync();

using gpu = await Gpu.open({ adapter: args.adapter, profile: args.profile });
const { name: adapter, driver, webgpuVersion } = gpu.facts;
const roof = await measureRoof(gpu, args.quick ? 5 : 9);
console.log(
  `${adapter} (${driver}), webgpu ${webgpuVersion}, node ${process.version}, commit ${commit()}`,
);
console.log(
  `roof: ${roof.gflops.toFixed(1)} GFLOP/s of fused multiply-adds, ${roof.gbs.toFixed(2)} GB/s of copying`,
);
console.log(heading);
const rows: Row[] = [];
const sampling = args.quick ? { samples: 5, sampleMs: 100 } : { samples: 11, sampleMs: 300 };
for (const workload of workloads(args.quick)) {
  if (args.filter !== undefined && !workload.name.includes(args.filter)) continue;
  const row = await measure(gpu, roof, workload, sampling);
  rows.push(row);
  console.log(line(row));
}
if (args.json !== undefined) {
  const versions = { webgpu: webgpuVersion, node: process.versions.node };
  const results = { adapter, driver, versions, commit: commit(), roof, rows };
  writeFileSync(args.json, `${JSON.stringify(results, null, 2)}\n`);
}
