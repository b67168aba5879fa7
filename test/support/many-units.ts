/** @file A process that plans 1,000 shards of 100,000 units in a folder, then gathers them: prints what it took. */
import { gather } from "../../distill/cluster/gather.ts";
import { unitsOf } from "../../distill/cluster/shard.ts";
import { knownResult } from "../../distill/cluster/results.ts";
import { statusOf } from "../../distill/cluster/status.ts";
import { readWork } from "../../distill/cluster/work.ts";

const [folder = "."] = process.argv.slice(2);
const SHARDS = 1000;

/** Seconds that `work` takes, and what it returns. */
function timed<T>(work: () => T): [seconds: number, value: T] {
  const begun = performance.now();
  const value = work();
  return [(performance.now() - begun) / 1000, value];
}

const [planning, left] = timed(() => {
  const { units } = readWork(folder);
  const shards = Array.from({ length: SHARDS }, (_, index) =>
    unitsOf(units, { index, count: SHARDS }).filter(
      (unit) => knownResult(folder, unit) === undefined,
    ),
  );
  return shards.flat().length;
});
let sum = 0;
const [gathering, { missing, damaged }] = timed(() =>
  gather(folder, (_, result) => (sum += (result as { value: number }).value)),
);
const [status, { done }] = timed(() => statusOf(folder));
const { maxRSS } = process.resourceUsage();
process.stdout.write(
  JSON.stringify({
    ...{ planning, gathering, status, left, sum, done, megabytes: maxRSS / 1024 },
    missing: missing.length,
    damaged: damaged.length,
  }),
);
