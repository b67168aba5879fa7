/** @file A device that is lost in the middle of a run: another goes on, to the same bytes. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
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

/**
 * Runs a command, and destroys all its devices at the first moment when `at` is there, a word for where
 * it stands; returns its exit code and that word.
 */
async function losing(
  at: () => string | undefined,
  words: readonly string[],
): Promise<{ code: number; stood: string | undefined }> {
  const opened: Gpu[] = [];
  const original = Gpu.open.bind(Gpu);
  vi.spyOn(Gpu, "open").mockImplementation(async (options) => {
    const gpu = await original(options);
    opened.push(gpu);
    return gpu;
  });
  let stood: string | undefined;
  const poll = setInterval(() => {
    if (stood !== undefined || (stood = at()) === undefined) return;
    for (const gpu of opened) gpu.device.destroy();
  }, 1);
  try {
    return { code: await main([...words]), stood };
  } finally {
    clearInterval(poll);
  }
}

/** What must be equal: all but times, who made it, and what is at work. */
const results = (folder: string) =>
  Object.entries(contents(folder)).filter(
    ([name]) => !/^(?:timing\.jsonl|run\.json|tasks.*)$/.test(name),
  );

const linesOf = (file: string): number =>
  existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
const namesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

describe("work whose device is destroyed goes on with another device to the same bytes", () => {
  it.each([
    [
      "distill",
      [
        ...["distill", "digits", "--ipc", "1", "--iterations", "40", "--max_start_epoch", "2"],
        ...["--checkpoint-every", "5", "--teachers.experts", "1", "--teachers.epochs", "4"],
        ...["--evaluation.epoch_eval_train", "5", "--evaluation.num_eval", "1"],
      ],
      (folder: string) => {
        const lines = linesOf(join(folder, "metrics.jsonl"));
        return lines >= 12 && lines < 40 ? `in iteration ${lines}` : undefined;
      },
    ],
    [
      "teach",
      ["teach", "digits", "--experts", "4", "--epochs", "10"],
      (folder: string) => {
        const whole = namesIn(folder).filter((name) => /^teacher-\d+\.safetensors$/.test(name));
        return whole.length > 0 && whole.length < 4 ? `with ${whole.length} teachers` : undefined;
      },
    ],
    [
      "evaluate",
      [
        ...["evaluate", "digits", "--ipc", "1", "--baselines", "random"],
        ...["--evaluation.epoch_eval_train", "100", "--evaluation.num_eval", "6"],
      ],
      (folder: string) => {
        const path = join(folder, "evaluation.json");
        const seeds = existsSync(path) ? readFileSync(path, "utf8").match(/"\d":\[\[/g) : null;
        return seeds && seeds.length < 6 ? `with ${seeds.length} seeds` : undefined;
      },
    ],
  ] as const)("%s", async (command, words, at) => {
    vi.spyOn(console, "log").mockImplementation(() => undefined);
    const [whole, lost] = [join(root, `${command}-whole`), join(root, `${command}-lost`)];
    expect(await main([...words, "--quiet", "--out", whole])).toBe(0);
    const { code, stood } = await losing(() => at(lost), [...words, "--quiet", "--out", lost]);
    expect(stood).toMatch(/^(?:in|with) /);
    expect(code).toBe(0);
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
