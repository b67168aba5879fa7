/** @file A shard's part of `potstill compare`. */
import { shownShard, type Shard } from "../cluster/shard.ts";
import type { CompareOptions } from "../evaluation/compare.ts";
import { compareShare } from "../evaluation/compare-share.ts";
import { interruptible } from "./interruption.ts";
import { lanesFor, progressFor, withLanes, type CommonArguments } from "./options.ts";
import { printResult } from "./output.ts";

/** Does what is to be done by now of a shard's part of a comparison, and says what is left. */
export async function workOnShare(
  args: CommonArguments,
  comparison: Pick<CompareOptions, "entries" | "networks" | "baselines" | "folder">,
  shard: Shard,
): Promise<void> {
  const works = comparison.entries.map(({ work }) => work);
  const share = await interruptible("go on by the same command", (signal) =>
    withLanes(args, works, (gpus) => {
      const lanes = lanesFor(args, works, gpus[0]);
      const progress = progressFor(args);
      return compareShare({ ...comparison, gpus, lanes, progress, signal }, shard);
    }),
  );
  const { folder } = comparison;
  const { own, waiting, all } = share;
  printResult(args, { folder, shard: shownShard(shard), units: own, waiting, of: all }, () =>
    waiting === 0
      ? `${shownShard(shard)}: its ${own} of ${all} units are in ${folder}`
      : `${shownShard(shard)}: ${own - waiting} of its ${own} units are in ${folder}, ${waiting} need what other shards do; run it again when those have ended`,
  );
}
