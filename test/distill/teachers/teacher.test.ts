/** @file Teachers: trained, cut off, gone on with, kept, refused. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { Gpu, Random } from "../../../engine/index.ts";
import { buildModel, initialise } from "../../../models/index.ts";
import { wholeSet } from "../../../distill/evaluation/baselines.ts";
import type { Dataset, Split } from "../../../distill/data/dataset.ts";
import { loadDigits } from "../../../distill/data/digits.ts";
import { normalise } from "../../../distill/data/preprocess.ts";
import { FileError } from "../../../distill/files.ts";
import type { Progress } from "../../../distill/progress.ts";
import { resolveTeaching, type Teaching } from "../../../distill/recipe.ts";
import { Trainer } from "../../../distill/training/train.ts";
import { accuracy } from "../../../distill/labels.ts";
import {
  givenTeachers,
  teach,
  teacherSize,
  type Lanes,
} from "../../../distill/teachers/teacher.ts";
import {
  readTrajectory,
  teacherFile,
  TrajectoryBuffer,
} from "../../../distill/teachers/trajectory.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { contents } from "../../support/run-cli.ts";

/** The first rows of a split. */
const few = (split: Split, count: number): Split => ({
  count,
  labels: split.labels.slice(0, count),
  images: (indices, out) => split.images(indices, out),
});

const digits = normalise(loadDigits());
const dataset: Dataset = {
  ...digits,
  train: few(digits.train, 80),
  test: few(digits.test, 50),
};
const model = buildModel("ConvNetD1W4", { channels: 1, size: 8, classes: 10 });

function teaching(teachers: Partial<Teaching["teachers"]> = {}): Teaching {
  const base = { dataset: "digits", network: "ConvNetD1W4", width: 4, seed: 5 };
  const settings = { experts: 1, epochs: 4, batch: 32, lr: 0.1, ...teachers };
  return resolveTeaching(undefined, { ...base, teachers: settings });
}

/** Takes note of what is said, and breaks off when a number of epochs is done. */
class Witness implements Progress {
  readonly lines: string[] = [];
  readonly started: string[] = [];
  epochs = 0;
  private readonly breakAfter: number;

  constructor(breakAfter = Infinity) {
    this.breakAfter = breakAfter;
  }

  start(label: string): void {
    this.started.push(label);
  }

  update(done: number): void {
    this.epochs++;
    if (done >= this.breakAfter) throw new Error("cut off");
  }

  stop(): void {
    this.lines.push("stopped");
  }

  log(line: string): void {
    this.lines.push(line);
  }
}

const gpu = sharedGpu();
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-teach-"));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const run = (recipe: Teaching, folder: string, progress: Progress = new Witness(), lanes?: Lanes) =>
  teach({
    ...{ gpu: gpu(), lanes, dataset, recipe, progress },
    model: buildModel(recipe.network, model.task),
    folder: join(root, folder),
    random: new Random(recipe.seed).stream("teachers"),
  });

const first = (folder: string): string => teacherFile(join(root, folder), 0);

describe("teachers", () => {
  it("begin with fresh parameters, learn, and are another for each number and seed", async () => {
    const recipe = teaching({ experts: 2, epochs: 6 });
    const buffer = await run(recipe, "a");
    expect(readdirSync(join(root, "a"))).toEqual([
      "teacher-0000.safetensors",
      "teacher-0001.safetensors",
    ]);
    const stream = new Random(5).stream("teachers").stream("teacher 1").stream("parameters");
    expect(buffer.snapshot(1, 0)).toEqual(initialise(model, stream));
    expect(buffer.snapshot(0, 0)).not.toEqual(buffer.snapshot(1, 0));
    for (const { meta } of buffer.teachers) {
      expect(meta.testAccuracy.length).toBe(6);
      expect(meta.testAccuracy[5]).toBeGreaterThan(0.3);
    }
    const other = await run({ ...recipe, seed: 6 }, "b");
    expect(other.snapshot(0, 0)).not.toEqual(buffer.snapshot(0, 0));
  });

  it("say how they were trained", async () => {
    const gsam = { optimizer: "gsam", rho: 0.02, alpha: 0.4, adaptive: false } as const;
    const [{ meta }] = (await run(teaching({ epochs: 1, ...gsam }), "a")).teachers as [
      TrajectoryBuffer["teachers"][number],
    ];
    const { mean, std } = loadDigits().normalisation!;
    expect(meta).toEqual({
      dataset: "digits",
      data: dataset.id,
      preprocessing: `normalise mean ${mean[0]!} std ${std[0]!}`,
      augmentation: "none",
      ...{ network: "ConvNetD1W4", width: 4, seed: 5, epochs: 1, batch: 32, lr: 0.1 },
      ...{ momentum: 0, weightDecay: 0, precision: "float32", keepEpochs: [0, 1], line: "none" },
      ...gsam,
      testAccuracy: [expect.any(Number)],
    });
    const augmented = await run(teaching({ epochs: 1, augment: true, ...gsam }), "c");
    expect(augmented.meta.augmentation).toBe("color_crop_cutout_flip_scale_rotate");
    expect(augmented.snapshot(0, 0)).toEqual(readTrajectory(first("a")).snapshot(0));
    expect(augmented.snapshot(0, 1)).not.toEqual(readTrajectory(first("a")).snapshot(1));
    // What plain SGD does not use is not told of it, and makes no difference.
    const sgd = await run(teaching({ epochs: 1, rho: 0.5 }), "b");
    expect(sgd.teachers[0]!.meta).toMatchObject({ optimizer: "sgd", rho: 0, alpha: 0 });
    expect(sgd.snapshot(0, 1)).not.toEqual(readTrajectory(first("a")).snapshot(1));
    const again = new Witness();
    await run(teaching({ epochs: 1, rho: 0.7 }), "b", again);
    expect(again.started).toEqual([]);
  });

  it("are the same bytes each time, and where more are wanted later", async () => {
    await run(teaching({ experts: 2 }), "a");
    await run(teaching({ experts: 1 }), "b");
    const before = statSync(first("b")).mtimeMs;
    const witness = new Witness();
    await run(teaching({ experts: 2 }), "b", witness);
    expect(contents(join(root, "b"))).toEqual(contents(join(root, "a")));
    expect(statSync(first("b")).mtimeMs).toBe(before);
    expect(witness.lines[0]).toMatch(/^teachers: 2 \(1 are there\) in .*\/b, [\d.]+ kB to write$/);
    const buffer = await run(teaching({ experts: 1 }), "b");
    expect(buffer.count).toBe(1);
  });

  it("keep what the recipe says, and nothing else differs", async () => {
    const all = await run(teaching(), "all");
    const kept = await run(teaching({ keep_epochs: "1..2" }), "kept");
    for (const t of [1, 2, 4]) expect(kept.snapshot(0, t)).toEqual(all.snapshot(0, t));
    expect(() => kept.snapshot(0, 3)).toThrow("epoch must be in 1..2 or 4, got 3");
    const line = await run(teaching({ line: true, precision: "float16" }), "line");
    expect(statSync(first("line")).size).toBeLessThan(statSync(first("all")).size / 3);
    expect(line.teachers[0]!.meta).toMatchObject({ line: "distance", precision: "float16" });
    const whole = all.snapshot(0, 4);
    line.snapshot(0, 4).forEach((value, i) => expect(value).toBeCloseTo(whole[i]!, 2));
    expect(line.snapshot(0, 1.5).length).toBe(model.size);
  });

  it("take the bytes that are told beforehand", () => {
    const size = (teachers: Partial<Teaching["teachers"]>) =>
      teacherSize(teaching({ epochs: 100, ...teachers }), model);
    const one = 4 * model.size;
    expect(size({})).toEqual({ snapshots: 101, bytes: 101 * one });
    expect(size({ keep_epochs: "0..60", precision: "float16" })).toEqual({
      snapshots: 62,
      bytes: 31 * one,
    });
    expect(size({ line: true })).toEqual({ snapshots: 2, bytes: 2 * one });
    expect(size({ line: true, keep_epochs: "10..50" })).toEqual({ snapshots: 3, bytes: 3 * one });
  });

  it("are refused where there are others, and these stay", async () => {
    await run(teaching(), "a");
    const before = contents(root);
    const refusal = (recipe: Teaching) => expect(run(recipe, "a")).rejects;
    const sentence = (text: string) =>
      new FileError(`${first("a")}: the teacher's ${text}; use another folder or remove it`);
    await refusal(teaching({ lr: 0.2 })).toThrow(sentence("lr must be 0.2, got 0.1"));
    await refusal(teaching({ optimizer: "gsam" })).toThrow(
      sentence('optimizer must be "gsam", got "sgd"'),
    );
    await refusal(teaching({ keep_epochs: "0..2" })).toThrow(
      sentence("keepEpochs must be 0..2, got 0..4"),
    );
    expect(contents(root)).toEqual(before);
  });

  it("that do not stay finite end in one sentence and leave nothing", async () => {
    await expect(run(teaching({ lr: 1e30, weight_decay: 1e10 }), "a")).rejects.toThrow(
      /^teacher 0: θ must be finite, got \S+ after epoch 1; lower teachers\.lr$/,
    );
    expect(contents(root)).toEqual({});
  });
});

describe("teachers on several devices", () => {
  /** At most three devices; how many were opened besides the first. */
  const counting = () => {
    const lanes = {
      most: 3,
      opened: [] as Gpu[],
      open: async (): Promise<Gpu> => {
        const other = await Gpu.open();
        lanes.opened.push(other);
        return other;
      },
    };
    return lanes;
  };

  it("are the same bytes as one after the other, and no more devices are opened than there are teachers", async () => {
    const recipe = teaching({ experts: 3, epochs: 3 });
    await run(recipe, "a");
    await run(teaching({ experts: 1, epochs: 3 }), "b");
    const [lanes, witness] = [counting(), new Witness()];
    await run(recipe, "b", witness, lanes);
    expect(contents(join(root, "b"))).toEqual(contents(join(root, "a")));
    expect(lanes.opened.length).toBe(1);
    expect(witness.lines[0]).toMatch(/ to write, 2 at a time$/);
    expect(witness.epochs).toBe(6);
    await run(recipe, "b", new Witness(), lanes);
    expect(lanes.opened.length).toBe(1);
  });

  it("end together when one of them fails, and go on together", async () => {
    const recipe = teaching({ experts: 3, epochs: 6 });
    await run(recipe, "a");
    await expect(run(recipe, "b", new Witness(5), counting())).rejects.toThrow("cut off");
    expect(readdirSync(join(root, "b")).some((name) => name.endsWith(".state"))).toBe(true);
    await run(recipe, "b", new Witness(), counting());
    expect(contents(join(root, "b"))).toEqual(contents(join(root, "a")));
  });
});

describe("a teacher that was cut off", () => {
  it.each<[string, Partial<Teaching["teachers"]>, string?]>([
    ["with batch norm", { momentum: 0.9 }, "ConvNetD1W4BN"],
    ["by SGD with momentum", { momentum: 0.9, weight_decay: 1e-3 }],
    ["by GSAM, in float16", { optimizer: "gsam", precision: "float16" }],
    ["on augmented images", { augment: true }],
    ["of some epochs", { keep_epochs: "1..2" }],
    ["on a line", { line: true, keep_epochs: "1..4" }],
  ])("%s goes on to the same bytes", async (_, teachers, network = model.name) => {
    const recipe = { ...teaching({ ...teachers, experts: 2, epochs: 5 }), network };
    await run(recipe, "whole");
    for (const epochs of [1, 4, 8]) {
      const cut = `cut ${epochs}`;
      const begun = new Witness(epochs);
      await expect(run(recipe, cut, begun)).rejects.toThrow("cut off");
      expect(begun.lines).toContain("stopped");
      const going = new Witness();
      await run(recipe, cut, going);
      const expert = Math.floor((epochs - 1) / 5);
      expect(going.lines.join("\n")).toMatch(
        new RegExp(`^teacher ${expert} goes on after epoch \\d of 5$`, "m"),
      );
      expect(going.epochs).toBeLessThan(12);
      expect(contents(join(root, cut))).toEqual(contents(join(root, "whole")));
    }
  });

  it("with batch norm has the running statistics of every snapshot", async () => {
    const buffer = await run({ ...teaching({ epochs: 2 }), network: "ConvNetD1W4BN" }, "a");
    const running = [0, 1, 2].map((epoch) => buffer.runningAfter(0, epoch));
    expect([...running[0]!]).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(new Set(running.map(String)).size).toBe(3);
    const { test } = dataset;
    using trainer = await Trainer.compile(
      gpu(),
      buildModel("ConvNetD1W4BN", model.task),
      wholeSet(dataset),
      1,
    );
    trainer.reset(buffer.snapshot(0, 2), running[2]);
    const logits = await trainer.logits((indices) => test.images(indices), test.count);
    expect(accuracy(logits, test.labels)).toBe(buffer.teachers[0]!.meta.testAccuracy[1]);
  });

  it("begins anew, with a sentence, where what was saved is damaged", async () => {
    const recipe = teaching();
    await run(recipe, "whole");
    const states = (folder: string) => {
      const rows = readdirSync(join(root, folder)).find((name) => name.endsWith(".rows"))!;
      return [`${first(folder)}.state`, join(root, folder, rows)] as const;
    };
    /** Breaks off, damages a file, and goes on: returns what is said. */
    const damaged = async (folder: string, damage: (state: string, rows: string) => void) => {
      await expect(run(recipe, folder, new Witness(2))).rejects.toThrow("cut off");
      damage(...states(folder));
      const witness = new Witness();
      await run(recipe, folder, witness);
      expect(contents(join(root, folder))).toEqual(contents(join(root, "whole")));
      return witness.lines.filter((line) => line.includes("anew"));
    };
    const flip = (file: string, at: number): void => {
      const bytes = readFileSync(file);
      bytes[at < 0 ? bytes.length + at : at]! ^= 1;
      writeFileSync(file, bytes);
    };
    const said = [
      await damaged("a", (state) => flip(state, -1)),
      await damaged("b", (state) => flip(state, readFileSync(state).indexOf("epoch") + 9)),
      await damaged("c", (state) => writeFileSync(state, readFileSync(state).subarray(0, 99))),
      await damaged("d", (_, rows) => flip(rows, 3)),
      await damaged("e", (_, rows) => rmSync(rows)),
    ];
    for (const lines of said)
      expect(lines).toEqual([
        expect.stringMatching(/^.*teacher-0000.*: .*; teacher 0 begins anew$/),
      ]);
    // Nothing saved yet is nothing to speak of.
    expect(await damaged("f", (state) => rmSync(state))).toEqual([]);
  });

  it("is refused where it is of another kind", async () => {
    await expect(run(teaching(), "a", new Witness(2))).rejects.toThrow("cut off");
    const before = contents(root);
    for (const [changes, sentence] of [
      [{ lr: 0.2 }, "lr must be 0.2, got 0.1"],
      [{ precision: "float16" }, 'precision must be "float16", got "float32"'],
    ] as const)
      await expect(run(teaching(changes), "a")).rejects.toThrow(
        new FileError(
          `${first("a")}.state: the teacher's ${sentence}; use another folder or remove it`,
        ),
      );
    expect(contents(root)).toEqual(before);
  });

  it("leaves nothing behind, even if the end came between its last two steps", async () => {
    await run(teaching(), "a");
    for (const end of [".state", ".0badcafe.rows"]) writeFileSync(first("a") + end, "left");
    await run(teaching(), "a");
    expect(readdirSync(join(root, "a"))).toEqual(["teacher-0000.safetensors"]);
    expect(existsSync(first("a"))).toBe(true);
  });
});

describe("teachers that are there", () => {
  it("are followed if they are of the same data and network, however trained", async () => {
    const trained = await run(teaching({ experts: 2 }), "a");
    const other = { ...teaching({ epochs: 50, lr: 1, optimizer: "gsam" }), seed: 99 };
    const given = givenTeachers(join(root, "a"), other, dataset, model);
    expect(given.count).toBe(2);
    expect(given.snapshot(1, 3)).toEqual(trained.snapshot(1, 3));
  });

  it("are refused in one sentence if they are not", async () => {
    await run(teaching(), "a");
    const folder = join(root, "a");
    const refusal = (recipe: Teaching, data = dataset, network = model) =>
      expect(() => givenTeachers(folder, recipe, data, network));
    const sentence = (text: string) => new FileError(`${folder}: the teachers' ${text}`);
    refusal(teaching(), { ...dataset, name: "letters" }).toThrow(
      sentence('dataset must be "letters" as in the recipe, got "digits"'),
    );
    const preprocessing = { kind: "normalise", mean: [0.5], std: [0.25] } as const;
    refusal(teaching(), { ...dataset, preprocessing }).toThrow(
      /preprocessing must be "normalise mean 0\.5 std 0\.25" as in the recipe, got "normalise mean/,
    );
    refusal(teaching(), { ...dataset, id: "other" }).toThrow(
      sentence(`data must be "other" as in the recipe, got "${dataset.id}"`),
    );
    refusal({ ...teaching(), dsa: true, dsa_strategy: "flip" }).toThrow(
      sentence('augmentation must be "flip" as in the recipe, got "none"'),
    );
    refusal({ ...teaching(), network: "ConvNetD2" }).toThrow(
      sentence('network must be "ConvNetD2" as in the recipe, got "ConvNetD1W4"'),
    );
    refusal({ ...teaching(), width: 8 }).toThrow(
      sentence("width must be 8 as in the recipe, got 4"),
    );
    const larger = buildModel("ConvNetD1W8", { channels: 1, size: 8, classes: 10 });
    refusal(teaching(), dataset, larger).toThrow(
      `the teachers must have the ${larger.size} parameters of ConvNetD1W8, got ${model.size}`,
    );
    expect(() => givenTeachers(root, teaching(), dataset, model)).toThrow(
      `${root}: must hold teacher-0000.safetensors and so on, got none`,
    );
  });
});
