/** @file A range is proposed where a set can follow its teachers, and a rate that moves it a little. */
import { describe, expect, it } from "vitest";

import { proposeRange, type EpochProbe } from "../../../distill/matching/range.ts";

const probes = (...losses: number[]): EpochProbe[] =>
  losses.map((loss, epoch) => ({ epoch, moved: 0.1, loss, gradient: 0.001 * (epoch + 1) }));

describe("proposeRange", () => {
  it("begins where the set has something to learn and ends where it strays", () => {
    const range = proposeRange(probes(0.3, 0.35, 0.45, 0.6, 0.85, 0.7), 1);
    // Epochs 2 and 3, whose gradients are 0.003 and 0.004.
    expect(range).toEqual({ min_start_epoch: 2, max_start_epoch: 4, lr_img: 3 });
  });

  it("begins at 0 for a small set, and is never empty", () => {
    expect(proposeRange(probes(0.5, 0.6, 0.9), 2)).toMatchObject({
      ...{ min_start_epoch: 0, max_start_epoch: 2 },
      lr_img: 20,
    });
    expect(proposeRange(probes(1.2, 1.3), 1)).toMatchObject({
      ...{ min_start_epoch: 0, max_start_epoch: 1 },
    });
    expect(proposeRange(probes(NaN, 0.1), 1)).toMatchObject({ max_start_epoch: 1 });
  });

  it("takes all epochs when none is too hard, the latest when all are easy", () => {
    expect(proposeRange(probes(0.5, 0.5, 0.5), 1)).toMatchObject({ max_start_epoch: 3 });
    const easy = proposeRange(probes(0.1, 0.1, 0.1), 1);
    expect(easy).toMatchObject({ min_start_epoch: 0, max_start_epoch: 3 });
  });
});
