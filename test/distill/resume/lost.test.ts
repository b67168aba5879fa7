/** @file A device that is lost in the middle of a run: another goes on, to the same bytes. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";

import { main } from "../../../distill/cli/main.ts";
import { createProgress } from "../../../distill/progress.ts";
import { despiteLoss } from "../../../distill/resume/lost.ts";
import { DeviceLostError, Gpu } from "../../../engine/index.ts";
import { contents } from "../../support/run-cli.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-lost-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});
afterEach(() => vi.restoreAllMocks());

const run = (out: string): Promise<number> =>
  main([
    ...["distill", "digits", "--ipc", "1", "--quiet", "--out", out],
    ...["--iterations", "40", "--max_start_epoch", "2", "--checkpoint-every", "5"],
    ...["--teachers.experts", "1", "--teachers.epochs", "4"],
    ...["--evaluation.epoch_eval_train", "5", "--evaluation.num_eval", "1"],
  ]);

/** What must be equal: all but times and who made it. */
const results = (folder: string) =>
  Object.entries(contents(folder)).filter(([name]) => !/^(?:timing\.jsonl|run\.json)$/.test(name));

describe("a run whose device is destroyed", () => {
  it("goes on with another device to the same bytes", async () => {
    vi.spyOn(console, "log").mockImplementation(() => undefined);
    const [whole, lost] = [join(root, "whole"), join(root, "lost")];
    expect(await run(whole)).toBe(0);

    const opened: Gpu[] = [];
    const original = Gpu.open.bind(Gpu);
    vi.spyOn(Gpu, "open").mockImplementation(async (options) => {
      const gpu = await original(options);
      opened.push(gpu);
      return gpu;
    });
    let destroyed = 0;
    const metrics = join(lost, "metrics.jsonl");
    const lines = (): number =>
      existsSync(metrics) ? readFileSync(metrics, "utf8").split("\n").length - 1 : 0;
    const poll = setInterval(() => {
      if (destroyed > 0 || lines() < 12) return;
      destroyed = lines();
      for (const gpu of opened) gpu.device.destroy();
    }, 1);
    try {
      expect(await run(lost)).toBe(0);
    } finally {
      clearInterval(poll);
    }
    expect(destroyed).toBeGreaterThanOrEqual(12);
    expect(destroyed).toBeLessThan(40);
    expect(results(lost)).toEqual(results(whole));
  });
});

describe("work without a device", () => {
  const quiet = createProgress({ quiet: true });
  const lost = () => Promise.reject(new DeviceLostError("gpu: lost"));

  it("ends after some losses in a row with how to go on", async () => {
    const work = vi.fn(lost);
    await expect(despiteLoss(work, "go on later", quiet)).rejects.toThrow(
      new DeviceLostError("gpu: lost, 3 times in a row; go on later"),
    );
    expect(work.mock.calls).toEqual([[false], [true], [true]]);
  });

  it("ends with how to go on where no adapter comes back, and as ever where nothing was lost", async () => {
    const gone = vi.fn(lost).mockImplementationOnce(lost).mockRejectedValueOnce(new Error("none"));
    await expect(despiteLoss(gone, "go on later", quiet)).rejects.toThrow(
      new Error("none; go on later"),
    );
    const wrong = () => Promise.reject(new Error("wrong"));
    await expect(despiteLoss(wrong, "", quiet)).rejects.toThrow(new Error("wrong"));
  });
});
