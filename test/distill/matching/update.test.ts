/** @file The update of the synthetic set and its guards, on the device and on the host. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Program, Random, type HostData } from "../../../engine/index.ts";
import { buildModel } from "../../../models/index.ts";
import { resolveRecipe } from "../../../distill/recipe.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import {
  updateOf,
  updateOnHost,
  updateProcedure,
  type SetState,
  type Update,
} from "../../../distill/matching/update.ts";
import { sharedGpu } from "../../support/gpu.ts";

const model = buildModel("ConvNetD1W4", { channels: 1, size: 4, classes: 3 });
const IMAGES = 6;
const options = { model, images: IMAGES, batch: 4, steps: 1 };
const gpu = sharedGpu();

/** Values that halves and quarters keep exact. */
const values: Record<string, HostData> = {
  images: new Float32Array(IMAGES * 16).fill(8),
  averageImages: new Float32Array(IMAGES * 16).fill(16),
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
  decay: Float32Array.of(0.75),
  velocityImages: new Float32Array(IMAGES * 16).fill(2),
  velocityLabels: new Float32Array(IMAGES * 3).fill(-4),
  velocityLr: Float32Array.of(1),
  gradImages: new Float32Array(IMAGES * 16).fill(0.25),
  gradLabels: new Float32Array(IMAGES * 3).fill(1.5),
  gradLr: Float32Array.of(0.5),
};
const recipe = resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc10")!), {
  ...{ threshold: 1, lr_img: 4, lr_y: 2, lr_lr: 0.125, ema_decay: 0.75 },
  ...{ momentum_img: 0.5, momentum_y: 0.75, momentum_lr: 0.25 },
});

const CHANGED = [
  ...(["images", "velocityImages", "averageImages"] as const),
  ...(["labels", "velocityLabels", "lr", "velocityLr"] as const),
] as const;

let program: Program;
beforeAll(async () => {
  program = await Program.compile(gpu(), { update: updateProcedure(options, true) });
});
afterAll(() => program[Symbol.dispose]());

type Result = Record<(typeof CHANGED)[number] | "accepted" | "finite" | "held", number | boolean>;
type Updated = (changes?: Record<string, number>, times?: number) => Promise<Result>;

const valuesWith = (changes: Record<string, number>): Record<string, HostData> =>
  Object.fromEntries(
    Object.entries(values).map(([name, data]) => {
      const value = changes[name];
      return [name, value === undefined ? data : new Float32Array(data.length).fill(value)];
    }),
  );

/** The first element of each, which all others must equal. */
const first = (all: Record<string, ArrayLike<number>>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(all).map(([name, list]) => {
      expect(new Set(Array.from(list)).size).toBe(1);
      return [name, list[0]!];
    }),
  );

const onDevice: Updated = async (changes = {}, times = 1) => {
  for (const [name, data] of Object.entries(valuesWith(changes))) program.write(name, data);
  program.run("update", times);
  const names = [...CHANGED, "loss", "accepted", "held", "size"] as const;
  const read = await program.read(...names);
  const got = first(Object.fromEntries(names.map((name, i) => [name, read[i]!])));
  const changed = Object.fromEntries(CHANGED.map((name) => [name, got[name]]));
  const { accepted, finite, held } = updateOf(got as Parameters<typeof updateOf>[0]);
  return { ...changed, accepted, finite, held } as Result;
};

const onHost: Updated = (changes = {}, times = 1) => {
  const given = valuesWith(changes) as Record<string, Float32Array<ArrayBuffer>>;
  const scalars = { lr: given["lr"]![0]!, velocityLr: given["velocityLr"]![0]! };
  const arrays = CHANGED.filter((name) => name !== "lr" && name !== "velocityLr");
  const copies = Object.fromEntries(arrays.map((name) => [name, given[name]!.slice()]));
  let state = { ...copies, ...scalars } as unknown as SetState;
  const gradients = {
    images: given["gradImages"]!,
    labels: given["gradLabels"]!,
    lr: given["gradLr"]![0]!,
  };
  let update: Update | undefined;
  for (let time = 0; time < times; time++)
    ({ state, update } = updateOnHost(state, gradients, given["loss"]![0]!, recipe));
  const { accepted, finite, held } = update!;
  const { lr, velocityLr } = state;
  const changed = first(Object.fromEntries(arrays.map((name) => [name, state[name]!])));
  return Promise.resolve({ ...changed, lr, velocityLr, accepted, finite, held } as Result);
};

describe.each([
  ["on the device", onDevice],
  ["on the host", onHost],
])("an update %s", (_, updated) => {
  const unchanged = Object.fromEntries(
    CHANGED.filter((name) => name !== "averageImages").map((name) => [name, values[name]![0]!]),
  );

  it("is one step of SGD with momentum on images, labels and learning rate", async () => {
    expect(await updated()).toEqual({
      velocityImages: 0.5 * 2 + 0.25,
      images: 8 - 4 * 1.25,
      averageImages: 0.75 * 16 + 0.25 * 3,
      velocityLabels: 0.75 * -4 + 1.5,
      labels: 1 - 2 * -1.5,
      velocityLr: 0.25 * 1 + 0.5,
      lr: 0.5 - 0.125 * 0.75,
      accepted: true,
      finite: true,
      held: false,
    });
    const twice = await updated({}, 2);
    expect(twice.velocityImages).toBe(0.5 * 1.25 + 0.25);
    expect(twice.images).toBe(3 - 4 * 0.875);
  });

  it("happens at a loss of the threshold", async () => {
    expect((await updated({ loss: 1 })).accepted).toBe(true);
  });

  it("leaves everything but the average as it is where the loss is above the threshold", async () => {
    expect(await updated({ loss: 1.0000001 })).toEqual({
      ...unchanged,
      averageImages: 0.75 * 16 + 0.25 * 8,
      accepted: false,
      finite: true,
      held: false,
    });
  });

  it.each([
    ["the loss is not a number", { loss: NaN }],
    ["the loss is infinite", { loss: Infinity }],
    ["a gradient of the images is not a number", { gradImages: NaN }],
    ["a gradient of the labels is infinite", { gradLabels: -Infinity }],
    ["the gradient of the learning rate is not a number", { gradLr: NaN }],
  ])("changes nothing where %s, and says so", async (_, changes) => {
    const { averageImages, ...others } = await updated(changes);
    expect(others).toEqual({ ...unchanged, accepted: false, finite: false, held: false });
    expect(averageImages).toBe(14);
  });

  it.each([
    ["below 0", 1000],
    ["to 0", 4 - 0.25],
  ])("leaves a learning rate that it would take %s, and says so", async (_, gradLr) => {
    const { lr, accepted, held, images } = await updated({ gradLr });
    expect([lr, accepted, held, images]).toEqual([0.5, true, true, 3]);
  });
});

describe("updates of arbitrary values", () => {
  it("are the same on the host as on the device, but for the last bits", async () => {
    const random = new Random(9);
    const given = Object.fromEntries(
      Object.entries(values).map(([name, data]) =>
        /^(images|labels|velocity|grad|average)/.test(name) && data.length > 1
          ? [name, random.fill(data.length, -1, 1)]
          : [name, data],
      ),
    ) as Record<string, Float32Array<ArrayBuffer>>;
    for (const [name, data] of Object.entries(given)) program.write(name, data);
    program.run("update");
    const read = await program.read(...CHANGED);
    const state = Object.fromEntries(
      CHANGED.map((name) => [
        name,
        name === "lr" || name === "velocityLr" ? given[name]![0]! : given[name]!.slice(),
      ]),
    ) as unknown as SetState;
    const gradients = {
      images: given["gradImages"]!,
      labels: given["gradLabels"]!,
      lr: given["gradLr"]![0]!,
    };
    const { state: next } = updateOnHost(state, gradients, 0.75, recipe);
    CHANGED.forEach((name, i) => {
      const expected = next[name]!;
      const list = typeof expected === "number" ? [expected] : Array.from(expected);
      list.forEach((value, k) => {
        expect(Math.abs(read[i]![k]! - value), name).toBeLessThan(1e-6);
      });
    });
  });
});
