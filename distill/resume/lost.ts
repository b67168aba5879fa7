/** @file Work that outlives its device: where that is lost and another can be opened, it goes on. */
import { DeviceLostError } from "../../engine/index.ts";
import type { Progress } from "../progress.ts";

/** Devices that may be lost one after the other, each sooner than this after it was opened. */
const MOST_IN_A_ROW = 3;
const SOON_MS = 60_000;

/**
 * Does work that saves as it goes: `work` opens a device of its own, and is called again, with `again`,
 * after that was lost. `advice` says how to go on later.
 * @throws DeviceLostError with the advice when devices are lost in a row; whatever `work` throws.
 */
export async function despiteLoss<T>(
  work: (again: boolean) => Promise<T>,
  advice: string,
  progress: Progress,
): Promise<T> {
  for (let inARow = 0, again = false; ; again = true) {
    const begun = performance.now();
    try {
      return await work(again);
    } catch (error) {
      if (!(error instanceof DeviceLostError)) {
        // The adapter did not come back.
        if (again && error instanceof Error) error.message += `; ${advice}`;
        throw error;
      }
      inARow = performance.now() - begun < SOON_MS ? inARow + 1 : 1;
      if (inARow >= MOST_IN_A_ROW)
        throw new DeviceLostError(`${error.message}, ${inARow} times in a row; ${advice}`);
      progress.log(`${error.message}: going on with another`);
    }
  }
}
