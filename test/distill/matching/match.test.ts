/** @file The matching loop: what it tells, guards, keeps and averages, where it can go on, and that it repeats. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { full, grad, interpret, mul, Random, sub, variable } from "../../../engine/index.ts";
import { buildModel, initialise, joinParameters, splitParameters } from "../../../models/index.ts";
import {
  DistillError,
  match,
  planMatching,
  type IterationRecord,
  type Matched,
  type MatchOptions,
  type MatchState,
} from "../../../distill/matching/match.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import { resolveRecipe, type RecipeOverrides } from "../../../distill/recipe.ts";
import type { SyntheticSet } from "../../../distill/matching/start.ts";
import { weightedSoftLoss } from "../../../distill/matching/student.ts";
import { writeTrajectory } from "../../../distill/teachers/recorder.ts";
import { teacherFile, TrajectoryBuffer } from "../../../distill/teachers/trajectory.ts";
import { relativeError } from "../../golden/fill.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { teacherMeta } from "../../support/teacher-meta.ts";

const model = buildModel("ConvNetD1W4", { channels: 1, size: 4, classes: 3 });
const TEACHERS = 3;
const EPOCHS = 4;
const IMAGES = 6;

const recipeOf = (overrides: RecipeOverrides = {}) =>
  resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc10")!), {
    teachers: { epochs: EPOCHS },
    syn_steps: 3,
    expert_epochs: 1,
    iterations: 4,
    batch_syn: 4,
    lr_img: 1,
    lr_y: 1,
    lr_lr: 1e-4,
    lr_teacher: 0.05,
    sequential: false,
    min_start_epoch: 1,
    max_start_epoch: 4,
    threshold: 10,
    ...overrides,
  });

const start: SyntheticSet = {
  images: new Random(1).stream("images").fill(IMAGES * 16, -2, 2),
  labels: new Random(1).stream("labels").fill(IMAGES * 3, -2, 2),
};

let folder: string;
let teachers: TrajectoryBuffer;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-match-"));
  const meta = teacherMeta({ dataset: "made", network: "ConvNetD1", width: 4, epochs: EPOCHS });
  for (let i = 0; i < TEACHERS; i++) {
    const random = new Random(i);
    const theta = new Float32Array((EPOCHS + 1) * model.size);
    theta.set(initialise(model, random));
    for (let at = model.size; at < theta.length; at++)
      theta[at] = theta[at - model.size]! + 0.05 * random.normal();
    writeTrajectory(teacherFile(folder, i), meta, theta);
  }
  teachers = new TrajectoryBuffer(folder);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const gpu = sharedGpu();

interface Run extends Matched {
  /** The set after the last iteration, without what else is known of it. */
  readonly set: { images: Float32Array; labels: Float32Array; lr: number };
  readonly records: IterationRecord[];
}

async function run(
  overrides: RecipeOverrides = {},
  { seed = 7, ...options }: Partial<MatchOptions> & { seed?: number } = {},
): Promise<Run> {
  const records: IterationRecord[] = [];
  const matched = await match({
    gpu: gpu(),
    model,
    recipe: recipeOf(overrides),
    teachers,
    start,
    random: new Random(seed),
    onIteration: (record) => records.push(record),
    ...options,
  });
  const { images, labels, lr } = matched.last;
  return { ...matched, set: { images, labels, lr }, records };
}

/** The state after each iteration. */
async function states(overrides: RecipeOverrides = {}): Promise<MatchState[]> {
  const all: MatchState[] = [];
  const onCheckpoint = (state: MatchState): void => void all.push(state);
  await run(overrides, { isCheckpoint: () => true, onCheckpoint });
  return all;
}

describe("matching", () => {
  let usual: Run;
  beforeAll(async () => {
    usual = await run();
  });

  it("tells of each iteration, changes the set, and keeps all values finite", () => {
    const { set, records } = usual;
    expect(records.map(({ iteration }) => iteration)).toEqual([1, 2, 3, 4]);
    expect(records.every(({ accepted }) => accepted)).toBe(true);
    expect(records.at(-1)!.lr).toBe(set.lr);
    for (const name of ["images", "labels"] as const) {
      expect(set[name].length).toBe(start[name].length);
      expect(set[name].every(Number.isFinite)).toBe(true);
      expect(set[name].some((v, i) => v === start[name][i])).toBe(false);
    }
  });

  /** θ_0 … θ_S of a record's student in float64, all images in every minibatch, and its target. */
  function studentOf({ teacher, start: epoch }: IterationRecord, epochs: number) {
    const theta = variable("theta", [model.size]);
    const parameters = splitParameters(model, theta);
    const z = model.forward(parameters, variable("images", [IMAGES, 1, 4, 4]));
    const weights = full([IMAGES], 1 / IMAGES);
    const loss = weightedSoftLoss(z, variable("labels", [IMAGES, 3]), weights);
    const next = sub(theta, mul(joinParameters(grad(loss, parameters)), 0.5));
    const steps: ArrayLike<number>[] = [teachers.snapshot(teacher, epoch)];
    for (let s = 0; s < 3; s++) steps.push(interpret([next], { ...start, theta: steps[s]! })[0]!);
    return { steps, target: teachers.snapshot(teacher, epoch + epochs) };
  }

  const squares = (a: ArrayLike<number>, b: ArrayLike<number>): number[] =>
    Array.from(a, (v, i) => (v - b[i]!) ** 2);
  const total = (list: readonly number[]): number => list.reduce((x, y) => x + y, 0);

  /** Nothing is learned, and with all images in every minibatch their order does not matter. */
  const still = {
    ...{ batch_syn: IMAGES, expert_epochs: 2, max_start_epoch: 3, iterations: 2 },
    ...{ lr_img: 0, lr_y: 0, lr_lr: 0, lr_teacher: 0.5 },
  };

  it("measures how near the student comes to the teacher's later epoch, in float64 too", async () => {
    const { records } = await run(still);
    for (const record of records) {
      const { steps, target } = studentOf(record, 2);
      const expected = total(squares(steps[3]!, target)) / total(squares(steps[0]!, target));
      expect(record.loss / expected).toBeCloseTo(1, 5);
    }
  });

  it("matches where the student comes nearest, with ATT", async () => {
    // So large a rate that the way leads past the target.
    const { records } = await run({ ...still, att: true });
    for (const record of records) {
      const { steps, target } = studentOf(record, 2);
      const [origin, ...others] = steps.map((theta) => total(squares(theta, target)));
      const least = Math.min(...others);
      expect(record.step).toBe(1 + others.indexOf(least));
      expect(record.loss / (least / origin!)).toBeCloseTo(1, 5);
    }
    expect(records.some(({ step }) => step! < 3)).toBe(true);
  });

  it("matches deep parameters alone with PAD, and of those the ones farthest off with EDF", async () => {
    const [pad, edf] = [0.4, 0.25];
    const { records } = await run({ ...still, pad_ratio: pad, edf_ratio: edf });
    for (const record of records) {
      const { steps, target } = studentOf(record, 2);
      const [origin, end] = [steps[0]!, steps[3]!].map((theta) => squares(theta, target));
      const deep = end!.map((_, i) => i).slice(Math.floor(pad * model.size));
      const kept = deep.sort((a, b) => end![a]! - end![b]!).slice(Math.floor(edf * deep.length));
      const sum = (list: readonly number[]): number => total(kept.map((i) => list[i]!));
      expect(record.loss / (sum(end!) / sum(origin!))).toBeCloseTo(1, 4);
    }
  });

  it("gives the same bits for the same seed, and others for another", async () => {
    expect(await run()).toEqual(usual);
    const { set, records } = await run({}, { seed: 8 });
    expect(records).not.toEqual(usual.records);
    expect(set.images).not.toEqual(usual.set.images);
  });

  it("leaves the set as it was while every loss is above the threshold", async () => {
    const { set, records } = await run({ threshold: 1e-6 });
    expect(records.map(({ accepted }) => accepted)).toEqual([false, false, false, false]);
    expect(records.every(({ loss }) => loss > 1e-6)).toBe(true);
    expect(set).toEqual({ ...start, lr: Math.fround(0.05) });
  });

  it("gives up after 200 iterations in a row that change nothing", async () => {
    const records: IterationRecord[] = [];
    const hopeless = match({
      gpu: gpu(),
      model,
      recipe: recipeOf({ threshold: 1e-6, iterations: 1000, syn_steps: 1 }),
      teachers,
      start,
      random: new Random(7),
      onIteration: (record) => records.push(record),
    });
    await expect(hopeless).rejects.toThrow(DistillError);
    await expect(hopeless).rejects.toThrow(
      /^distill: some of the last 200 iterations must be accepted, got none up to iteration 200 \(start epoch \d, loss [\d.]+\); lower lr_img, lr_y or lr_teacher, or raise threshold$/,
    );
    expect(records.length).toBe(200);
  });

  it("keeps the learning rate above 0 however large its steps are", async () => {
    const { set, records } = await run({ lr_lr: 1e4, iterations: 6 });
    expect(records.every(({ lr }) => lr > 0)).toBe(true);
    expect(set.lr).toBeGreaterThan(0);
  });

  it("with rates of 0 leaves the set as it was, though iterations count as accepted", async () => {
    const { set, records } = await run({ lr_img: 0, lr_y: 0, lr_lr: 0 });
    expect(records.every(({ accepted }) => accepted)).toBe(true);
    expect(set).toEqual({ ...start, lr: Math.fround(0.05) });
  });

  it("refuses minibatches larger than the set", async () => {
    await expect(run({ batch_syn: 7 })).rejects.toThrow(
      new DistillError("batch_syn: must be at most the 6 synthetic images, got 7"),
    );
  });

  it("refuses short minibatches and micro-batches for a network that mixes the images of a batch", () => {
    const mixing = buildModel("ConvNetD1W4BN", model.task);
    expect(() => planMatching(mixing, recipeOf(), IMAGES)).toThrow(
      new DistillError("batch_syn: must divide the 6 images for a network with batch norm, got 4"),
    );
    expect(() => planMatching(mixing, recipeOf({ batch_syn: 3, micro_batch: 2 }), IMAGES)).toThrow(
      new DistillError("micro_batch: must be batch_syn (3) for a network with batch norm, got 2"),
    );
  });

  it("tells where numbers are no longer finite, and what may help, and changes nothing", async () => {
    const { records, set } = await run({ lr_teacher: 1e30, iterations: 2 });
    for (const { iteration, teacher, start: epoch, loss, problem, accepted } of records) {
      expect(accepted).toBe(false);
      expect(problem).toBe(
        `distill: loss and gradients must be finite, got others in iteration ${iteration} (teacher ${teacher}, start epoch ${epoch}, loss ${loss}); lower lr_lr, lr_img or lr_teacher`,
      );
    }
    expect(set.images).toEqual(start.images);
  });

  it("says when it kept the learning rate from falling to 0", async () => {
    const { records } = await run({ lr_lr: 1e4, iterations: 6 });
    expect(records.some(({ held }) => held)).toBe(true);
    expect(usual.records.some((record) => "held" in record || "problem" in record)).toBe(false);
  });
});

describe("the sets that a run ends with", () => {
  const short = { syn_steps: 1, iterations: 80, batch_syn: 6 };

  it("are the last and that before which the mean loss was least", async () => {
    const { last, best, kept, records } = await run(short);
    expect([last.iteration, kept]).toEqual([80, last]);
    const means = [25, 50, 75].map(
      (end) => records.slice(end - 25, end).reduce((sum, { loss }) => sum + loss, 0) / 25,
    );
    const least = means.indexOf(Math.min(...means));
    expect(best.iteration).toBe(25 * (least + 1));
    expect(best.score! / -means[least]!).toBeCloseTo(1, 10);
    const { last: then } = await run({ ...short, iterations: best.iteration });
    expect(best).toEqual({ ...then, score: best.score });
  });

  it("count losses only once the range of start epochs has grown", async () => {
    const growing = { sequential: true, current_max_start_epoch: 2, expansion_end_epoch: 30 };
    expect((await run({ ...short, ...growing })).best.iteration).toBe(75);
  });

  it("are chosen by evaluations where there are any, and the best is kept where that is asked for", async () => {
    const seen: number[] = [];
    const matched = await run(
      { ...short, iterations: 20, eval_every: 5, keep: "best" },
      {
        score: ({ images }, iteration) => {
          expect(images.length).toBe(start.images.length);
          seen.push(iteration);
          return Promise.resolve(iteration === 10 ? 0.9 : 0.1);
        },
      },
    );
    expect(seen).toEqual([5, 10, 15, 20]);
    expect(matched.best).toMatchObject({ iteration: 10, score: 0.9 });
    expect(matched.kept).toBe(matched.best);
    const { last } = await run({ ...short, iterations: 10 });
    expect(matched.best.images).toEqual(last.images);
  });

  it("have the average of the images where a decay is given, of all iterations", async () => {
    const decay = 0.75;
    const average = Float64Array.from(start.images);
    for (const { images } of await states())
      images.forEach((value, i) => (average[i] = decay * average[i]! + (1 - decay) * value));
    const { last } = await run({ ema_decay: decay });
    const plain = await run();
    expect(last.labels).toEqual(plain.last.labels);
    last.images.forEach((value, i) => expect(value).toBeCloseTo(average[i]!, 5));
    expect(last.images).not.toEqual(plain.last.images);
  });
});

describe("a run that is resumed", () => {
  it.each([
    ["plainly", {}],
    ["with an average and parts", { ema_decay: 0.9, micro_batch: 2 }],
    ["augmented", { dsa: true }],
    ["with all that is cheap", { att: true, pad_ratio: 0.2, edf_ratio: 0.2 }],
  ])("has the bits of one that was not, %s", async (_, overrides) => {
    const recipe = { ...overrides, iterations: 30, syn_steps: 2 };
    let saved: MatchState | undefined;
    const whole = await run(recipe, {
      isCheckpoint: (iteration) => iteration === 11,
      onCheckpoint: (state) => void (saved ??= state),
    });
    expect(saved!.iteration).toBe(11);
    const rest = await run(recipe, { resume: saved });
    expect(rest.records).toEqual(whole.records.slice(11));
    expect(rest.last).toEqual(whole.last);
    expect(rest.best).toEqual(whole.best);
  });
});

describe("a set on the host", () => {
  const many = 1500;
  const large: SyntheticSet = {
    images: new Random(2).stream("images").fill(many * 16, -2, 2),
    labels: new Random(2).stream("labels").fill(many * 3, -2, 2),
  };
  const recipe = { syn_steps: 4, batch_syn: 5, ema_decay: 0.5, lr_img: 10 };
  const memory = "300KiB";

  it("is optimised as one on the device, in little memory, and can be resumed", async () => {
    const plan = planMatching(model, recipeOf({ ...recipe, memory }), many, gpu().facts);
    expect(plan.resident).toBe(false);
    expect(plan.memory.total).toBeLessThan(300 * 1024);
    const device = await run(recipe, { start: large });
    let saved: MatchState | undefined;
    const host = await run(
      { ...recipe, memory },
      {
        start: large,
        isCheckpoint: (iteration) => iteration === 3,
        onCheckpoint: (state) => void (saved ??= state),
      },
    );
    expect(planMatching(model, recipeOf(recipe), many, gpu().facts).resident).toBe(true);
    host.records.forEach((record, i) => {
      expect(record.loss / device.records[i]!.loss).toBeCloseTo(1, 5);
      expect(record.lr).toBeCloseTo(device.records[i]!.lr, 6);
    });
    for (const name of ["images", "labels"] as const) {
      expect(relativeError(host.last[name], device.last[name])).toBeLessThan(1e-6);
      expect(host.last[name]).not.toEqual(large[name]);
    }
    const rest = await run({ ...recipe, memory }, { start: large, resume: saved });
    expect(rest.last).toEqual(host.last);
  });

  it("goes through the device in parts of minibatches too, and augmented", async () => {
    const device = await run({ ...recipe, dsa: true }, { start: large });
    const host = await run({ ...recipe, dsa: true, memory, micro_batch: 2 }, { start: large });
    for (const name of ["images", "labels"] as const)
      expect(relativeError(host.last[name], device.last[name])).toBeLessThan(1e-6);
  });
});
