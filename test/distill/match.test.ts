/** @file The matching loop: schedules, orders, the update and its guards, and repeatability. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  full,
  grad,
  interpret,
  mul,
  Program,
  Random,
  sub,
  variable,
  type HostData,
} from "../../engine/index.ts";
import { buildModel, initialise, joinParameters, splitParameters } from "../../models/index.ts";
import {
  compileMatching,
  DistillError,
  match,
  maxStartEpoch,
  minibatchStream,
  type DistilledSet,
  type IterationRecord,
} from "../../distill/match.ts";
import { readRecipe, shippedRecipes } from "../../distill/recipe-file.ts";
import { resolveRecipe, type RecipeOverrides } from "../../distill/recipe.ts";
import type { SyntheticSet } from "../../distill/start.ts";
import { weightedSoftLoss } from "../../distill/student.ts";
import { teacherFile, TrajectoryBuffer, writeTrajectory } from "../../distill/trajectory.ts";
import { sharedGpu } from "../support/gpu.ts";

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
  const meta = {
    dataset: "made",
    network: "ConvNetD1",
    width: 4,
    seed: 0,
    epochs: EPOCHS,
    batch: 4,
    lr: 0.1,
    momentum: 0,
    weightDecay: 0,
    testAccuracy: [],
  };
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

interface Run {
  readonly set: DistilledSet;
  readonly records: IterationRecord[];
}

async function run(overrides: RecipeOverrides = {}, seed = 7): Promise<Run> {
  const records: IterationRecord[] = [];
  const set = await match({
    gpu: gpu(),
    model,
    recipe: recipeOf(overrides),
    teachers,
    start,
    random: new Random(seed),
    onIteration: (record) => records.push(record),
  });
  return { set, records };
}

describe("the upper bound of the start epoch", () => {
  const sequential = {
    sequential: true,
    teachers: { epochs: 40 },
    min_start_epoch: 0,
    current_max_start_epoch: 10,
    max_start_epoch: 20,
    expansion_end_epoch: 1000,
  };

  it("grows from T to T⁺ until the end of the expansion, by whole epochs", () => {
    const recipe = recipeOf(sequential);
    const iterations = [0, 1, 99, 100, 199, 500, 999, 1000, 1001, 9999];
    expect(iterations.map((it) => maxStartEpoch(recipe, it))).toEqual([
      10, 10, 10, 11, 11, 15, 19, 20, 20, 20,
    ]);
  });

  it("is T⁺ from the first iteration without sequential generation", () => {
    const recipe = recipeOf({ ...sequential, sequential: false });
    expect([0, 500, 1000].map((it) => maxStartEpoch(recipe, it))).toEqual([20, 20, 20]);
  });
});

describe("minibatches", () => {
  /** The first `count` minibatches, and the permutations that they must be made of. */
  function streamed(images: number, batch: number, count: number) {
    const stream = minibatchStream(images, batch, new Random(5));
    const batches = Array.from({ length: count }, () => [...(stream.next().value as Uint32Array)]);
    const random = new Random(5);
    return { batches, permutation: () => [...random.permutation(images)] };
  }

  it("are chunks of a permutation, the last chunk first, then of a new one", () => {
    const { batches, permutation } = streamed(6, 2, 6);
    const [first, second] = [permutation(), permutation()];
    expect(batches).toEqual(
      [first, second].flatMap((order) => [order.slice(4, 6), order.slice(2, 4), order.slice(0, 2)]),
    );
  });

  it("begin with the short remainder, which is the last chunk, where the size does not divide", () => {
    const { batches, permutation } = streamed(7, 3, 6);
    const [first, second] = [permutation(), permutation()];
    expect(batches).toEqual(
      [first, second].flatMap((order) => [order.slice(6), order.slice(3, 6), order.slice(0, 3)]),
    );
  });

  it("of all images are a new permutation each", () => {
    const { batches, permutation } = streamed(5, 5, 3);
    expect(batches).toEqual([permutation(), permutation(), permutation()]);
  });
});

describe("an update", () => {
  /** Values that halves and quarters keep exact. */
  const values: Record<string, HostData> = {
    images: new Float32Array(IMAGES * 16).fill(8),
    labels: new Float32Array(IMAGES * 3).fill(1),
    lr: Float32Array.of(0.5),
    threshold: Float32Array.of(1),
    loss: Float32Array.of(0.75),
    rateImages: Float32Array.of(4),
    rateLabels: Float32Array.of(2),
    rateLr: Float32Array.of(0.125),
    momentumImages: Float32Array.of(0.5),
    momentumLabels: Float32Array.of(0.75),
    momentumLr: Float32Array.of(0.25),
    velocityImages: new Float32Array(IMAGES * 16).fill(2),
    velocityLabels: new Float32Array(IMAGES * 3).fill(-4),
    velocityLr: Float32Array.of(1),
    gradImages: new Float32Array(IMAGES * 16).fill(0.25),
    gradLabels: new Float32Array(IMAGES * 3).fill(1.5),
    gradLr: Float32Array.of(0.5),
  };
  const CHANGED = ["images", "velocityImages", "labels", "velocityLabels", "lr", "velocityLr"];

  let program: Program;
  beforeAll(async () => {
    program = await compileMatching(gpu(), { model, images: IMAGES, batch: 4, steps: 1 });
  });
  afterAll(() => program[Symbol.dispose]());

  /** The first element of each of `CHANGED`, which all others must equal, and whether it was accepted. */
  async function updated(changes: Record<string, number> = {}, times = 1) {
    for (const [name, data] of Object.entries(values)) {
      const value = changes[name];
      program.write(name, value === undefined ? data : new Float32Array(data.length).fill(value));
    }
    program.run("update", times);
    const read = await program.read(...CHANGED, "accepted");
    for (const all of read) expect(new Set(all).size).toBe(1);
    return Object.fromEntries([...CHANGED, "accepted"].map((name, i) => [name, read[i]![0]!]));
  }

  const unchanged = Object.fromEntries(CHANGED.map((name) => [name, values[name]![0]!]));

  it("is one step of SGD with momentum on images, labels and learning rate", async () => {
    expect(await updated()).toEqual({
      velocityImages: 0.5 * 2 + 0.25,
      images: 8 - 4 * 1.25,
      velocityLabels: 0.75 * -4 + 1.5,
      labels: 1 - 2 * -1.5,
      velocityLr: 0.25 * 1 + 0.5,
      lr: 0.5 - 0.125 * 0.75,
      accepted: 1,
    });
    const twice = await updated({}, 2);
    expect(twice["velocityImages"]).toBe(0.5 * 1.25 + 0.25);
    expect(twice["images"]).toBe(3 - 4 * 0.875);
  });

  it("happens at a loss of the threshold", async () => {
    expect((await updated({ loss: 1 }))["accepted"]).toBe(1);
  });

  it.each([
    ["the loss is above the threshold", { loss: 1.0000001 }],
    ["the loss is not a number", { loss: NaN }],
    ["the loss is infinite", { loss: Infinity }],
    ["a gradient of the images is not a number", { gradImages: NaN }],
    ["a gradient of the labels is infinite", { gradLabels: -Infinity }],
    ["the gradient of the learning rate is not a number", { gradLr: NaN }],
  ])("leaves everything as it is where %s", async (_, changes) => {
    expect(await updated(changes)).toEqual({ ...unchanged, accepted: 0 });
  });

  it.each([
    ["below 0", 1000],
    ["to 0", 4 - 0.25],
  ])("leaves a learning rate that it would take %s", async (_, gradLr) => {
    const { lr, accepted, images } = await updated({ gradLr });
    expect([lr, accepted, images]).toEqual([0.5, 1, 3]);
  });
});

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

  it("measures how near the student comes to the teacher's later epoch, in float64 too", async () => {
    // With all images in every minibatch their order does not matter.
    const { records } = await run({
      ...{ batch_syn: IMAGES, expert_epochs: 2, max_start_epoch: 3 },
      ...{ lr_img: 0, lr_y: 0, lr_lr: 0, lr_teacher: 0.5, iterations: 2 },
    });
    const theta = variable("theta", [model.size]);
    const parameters = splitParameters(model, theta);
    const z = model.forward(parameters, variable("images", [IMAGES, 1, 4, 4]));
    const weights = full([IMAGES], 1 / IMAGES);
    const loss = weightedSoftLoss(z, variable("labels", [IMAGES, 3]), weights);
    const next = sub(theta, mul(joinParameters(grad(loss, parameters)), 0.5));
    const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
      Array.from(a, (v, i) => (v - b[i]!) ** 2).reduce((x, y) => x + y);
    for (const { teacher, start: epoch, loss: got } of records) {
      const [first, target] = [epoch, epoch + 2].map((t) => teachers.snapshot(teacher, t));
      let at: ArrayLike<number> = first!;
      for (let s = 0; s < 3; s++)
        [at] = interpret([next], { ...start, theta: at }) as [Float64Array];
      expect(got / (distance(at, target!) / distance(first!, target!))).toBeCloseTo(1, 5);
    }
  });

  it("gives the same bits for the same seed, and others for another", async () => {
    expect(await run()).toEqual(usual);
    const { set, records } = await run({}, 8);
    expect(records).not.toEqual(usual.records);
    expect(set.images).not.toEqual(usual.set.images);
  });

  it("has every teacher once before any comes again, at start epochs of the range", async () => {
    const { records } = await run({ iterations: 30, syn_steps: 1 });
    for (let at = 0; at < records.length; at += TEACHERS) {
      const turn = records.slice(at, at + TEACHERS).map(({ teacher }) => teacher);
      expect([...turn].sort()).toEqual([0, 1, 2]);
    }
    expect(new Set(records.map((record) => record.start))).toEqual(new Set([1, 2, 3]));
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

  it("refuses short minibatches for a network that mixes the images of a batch", async () => {
    const mixing = buildModel("ConvNetD1W4BN", model.task);
    const compiled = compileMatching(gpu(), { model: mixing, images: 6, batch: 4, steps: 1 });
    await expect(compiled).rejects.toThrow(
      new DistillError("batch_syn: must divide the 6 images for a network with batch norm, got 4"),
    );
  });
});
