/** @file Published trajectories: what PyTorch wrote comes in bit for bit, and goes out again. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  exportReplayBuffers,
  importReplayBuffers,
  replayBuffers,
  type TeacherTold,
} from "../../../distill/exchange/replay-buffer.ts";
import type { NumericArray } from "../../../distill/formats/array.ts";
import type { PickleValue } from "../../../distill/formats/pickle.ts";
import { encodePt, type PtContent } from "../../../distill/formats/pt-write.ts";
import { PtTensor, readPt } from "../../../distill/formats/pt.ts";
import { OpenFile } from "../../../distill/formats/source.ts";
import { writeTrajectory } from "../../../distill/teachers/recorder.ts";
import {
  readTrajectory,
  teacherFile,
  TrajectoryBuffer,
} from "../../../distill/teachers/trajectory.ts";
import { buildModel } from "../../../models/index.ts";
import { fixture, fixturePath } from "../../support/fixture.ts";
import { pythonWith } from "../../support/python.ts";

const task = { channels: 1, size: 8, classes: 10 };
const model = buildModel("ConvNetD3", task, { width: 2 });
const told: TeacherTold = {
  ...{ dataset: "digits", data: "0", preprocessing: "mean 0, std 1", augmentation: "none" },
  ...{ network: "ConvNetD3", width: 2, seed: 0, batch: 256, optimizer: "sgd", lr: 0.01 },
  ...{ momentum: 0, weightDecay: 0, rho: 0, alpha: 0, adaptive: false, precision: "float32" },
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-replay-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** θ as make.py makes it. */
const theta = (expert: number, epoch: number): Float32Array =>
  Float32Array.from({ length: model.size }, (_, i) => i / 1024 + expert + epoch / 4);

const imported = (changes: Partial<TeacherTold> = {}): TrajectoryBuffer => {
  const files = replayBuffers(fixturePath("buffers"));
  importReplayBuffers(files, folder, model, { ...told, ...changes });
  return new TrajectoryBuffer(folder);
};

/** Every tensor of a .pt file's lists. */
function loaded(value: PickleValue): unknown {
  return Array.isArray(value) ? value.map(loaded) : (value as PtTensor).load();
}

describe("importing", () => {
  it("makes a teacher of every expert, over all files", () => {
    const reported: string[] = [];
    const files = replayBuffers(fixturePath("buffers"));
    expect(files.map((file) => file.slice(-18))).toEqual([
      "replay_buffer_0.pt",
      "replay_buffer_1.pt",
    ]);
    const count = importReplayBuffers(files, folder, model, told, (path) => reported.push(path));
    expect(count).toBe(3);
    expect(reported).toEqual([0, 1, 2].map((i) => teacherFile(folder, i)));
    const buffer = new TrajectoryBuffer(folder);
    expect([buffer.count, buffer.meta.epochs]).toEqual([3, 2]);
    for (let expert = 0; expert < 3; expert++)
      for (let t = 0; t < 3; t++) expect(buffer.snapshot(expert, t)).toEqual(theta(expert, t));
  });

  it("may store float16", () => {
    const buffer = imported({ precision: "float16" });
    // These values have few enough bits.
    expect(buffer.snapshot(1, 2)[2]).toBe(1.5 + 2 / 1024);
    expect(buffer.meta).toMatchObject({ dataset: "digits", network: "ConvNetD3" });
  });

  /** A file in which one thing is changed. */
  function changed(change: (experts: NumericArray[][][]) => PtContent): string {
    using file = new OpenFile(fixturePath("buffers/replay_buffer_1.pt"));
    const path = join(folder, "replay_buffer_0.pt");
    writeFileSync(path, encodePt(change(loaded(readPt(file)) as NumericArray[][][])));
    return path;
  }

  it.each<[string, (experts: NumericArray[][][]) => PtContent, string]>([
    ["no list", () => new Map(), "must be a list of experts, got another value"],
    ["one snapshot", ([first]) => [first!.slice(1, 2)], "must be a list of two snapshots or more"],
    [
      "fewer tensors",
      ([first]) => [first!.map((snapshot) => snapshot.slice(1))],
      "expert 0: snapshot 0 must be a list of the 14 tensors of ConvNetD3, got 13",
    ],
    [
      "a tensor of another shape",
      ([first]) => [first!.map((tensors, t) => (t === 1 ? tensors.toReversed() : tensors))],
      "expert 0: features.0.conv.weight of snapshot 1 must be [2, 1, 3, 3], got [10]",
    ],
    [
      "an expert of fewer epochs",
      ([first]) => [first!, first!.slice(1)],
      "expert 1 must have 3 snapshots as the first one, got 2",
    ],
    [
      "a value that is not a number",
      ([first]) => {
        first![1]![1]!.data[0] = NaN;
        return [first!];
      },
      "expert 0: θ must be finite, got NaN after epoch 1",
    ],
  ])("refuses %s", (_, change, sentence) => {
    const path = changed(change);
    const out = join(folder, "teachers");
    const run = () => importReplayBuffers([path], out, model, told);
    expect(run).toThrow(sentence);
    expect(run).toThrow(path);
  });

  it("refuses a network whose running statistics would be missing", () => {
    const batch = buildModel("ConvNetD3BN", task, { width: 2 });
    expect(() =>
      importReplayBuffers(replayBuffers(fixturePath("buffers")), folder, batch, told),
    ).toThrow("must have no batch norm, whose running statistics are not in a replay buffer");
  });

  it("never runs what a file asks for", () => {
    const path = join(folder, "replay_buffer_0.pt");
    writeFileSync(path, fixture("command.pt"));
    expect(() => importReplayBuffers([path], folder, model, told)).toThrow('"posix.system"');
  });
});

describe("exporting", () => {
  it("gives back what was imported, so many experts a file", () => {
    const out = join(folder, "out");
    const files = exportReplayBuffers(imported(), out, model, { experts: 2 });
    expect(readdirSync(out)).toEqual(["replay_buffer_0.pt", "replay_buffer_1.pt"]);
    for (const [i, path] of files.entries()) {
      using ours = new OpenFile(path);
      using theirs = new OpenFile(fixturePath(`buffers/replay_buffer_${i}.pt`));
      expect(loaded(readPt(ours))).toEqual(loaded(readPt(theirs)));
    }
  });

  const torch = pythonWith("torch");
  it.skipIf(torch === undefined)(
    `is read by PyTorch, as float16 too${torch ? "" : " (skipped: no python3 with torch)"}`,
    () => {
      const out = join(folder, "out");
      exportReplayBuffers(imported(), out, model, { half: true });
      const script = [
        "import sys, torch, json",
        "experts = torch.load(sys.argv[1], weights_only=True)",
        "flat = torch.cat([p.reshape(-1) for p in experts[2][1]])",
        "print(json.dumps([[len(e) for e in experts], str(flat.dtype), flat.float().tolist()]))",
      ].join("\n");
      const { stdout, stderr } = spawnSync(
        torch!,
        ["-c", script, join(out, "replay_buffer_0.pt")],
        { encoding: "utf8" },
      );
      expect(stderr).toBe("");
      const [lengths, type, values] = JSON.parse(stdout) as [number[], string, number[]];
      expect([lengths, type]).toEqual([[3, 3, 3], "torch.float16"]);
      values.forEach((value, i) => expect(Math.abs(value - theta(2, 1)[i]!)).toBeLessThan(1e-3));
    },
  );

  it("refuses teachers of another network, or that do not keep every epoch", () => {
    const buffer = imported();
    const wider = buildModel("ConvNetD3", task, { width: 4 });
    expect(() => exportReplayBuffers(buffer, folder, wider)).toThrow(
      `${folder}: the teachers must have the ${wider.size} parameters of ConvNetD3, got ${model.size}`,
    );
    const { meta } = readTrajectory(teacherFile(folder, 0));
    const values = Float32Array.from([0, 1, 2].flatMap((t) => [...theta(0, t)]));
    const partial = join(folder, "partial");
    exportReplayBuffers(buffer, partial, model);
    writeTrajectory(teacherFile(partial, 0), { ...meta, keepEpochs: [1, 2] }, values);
    expect(() =>
      exportReplayBuffers(new TrajectoryBuffer(partial), join(folder, "out"), model),
    ).toThrow("a teacher must have every epoch in 0..2 for a replay buffer, got 1..2");
  });
});
