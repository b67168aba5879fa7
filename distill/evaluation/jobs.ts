/** @file Jobs done side by side, each on another device. */
import type { Gpu } from "../../engine/index.ts";
import type { Progress } from "../progress.ts";
import type { RunContext } from "../run.ts";

/** Where a job is done, and who is told. */
export type Lane = Pick<RunContext, "gpu" | "progress">;
export type Job = (lane: Lane) => Promise<void>;

/** Does the jobs, each on the first device that is free; the first error ends all by `ended`. */
export async function doJobs(
  gpus: readonly Gpu[],
  progress: Progress,
  jobs: readonly Job[],
  ended: AbortController,
): Promise<void> {
  const left = [...jobs];
  const lanes = gpus.map(async (gpu, i) => {
    // One device's work is told of as it goes on; the others' when it is done.
    const lane = { gpu, progress: i === 0 ? progress : onlyConclusions(progress) };
    try {
      for (let job = left.shift(); job; job = left.shift()) {
        ended.signal.throwIfAborted();
        await job(lane);
      }
    } catch (error) {
      ended.abort(error);
    }
  });
  await Promise.all(lanes);
  ended.signal.throwIfAborted();
}

/** Says only when work is done: two bars would write over each other. */
function onlyConclusions(progress: Progress): Progress {
  let label = "";
  return {
    start: (next) => void (label = next),
    update: () => undefined,
    stop: () => {
      if (label !== "") progress.log(`${label}: done`);
      label = "";
    },
    log: (line) => progress.log(line),
  };
}
