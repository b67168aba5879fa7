/** @file Iterations on several trajectories: the mean of their losses and gradients, wherever the set is. */
import { beforeAll, describe, expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { buildModel, initialise } from "../../../models/index.ts";
import {
  match,
  type DistilledSet,
  type IterationRecord,
  type MatchState,
} from "../../../distill/matching/match.ts";
import type { SyntheticSet } from "../../../distill/matching/start.ts";
import { freshState } from "../../../distill/matching/update.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import { resolveRecipe, type RecipeOverrides } from "../../../distill/recipe.ts";
import { relativeError } from "../../golden/fill.ts";
import { sharedGpu } from "../../support/gpu.ts";

const model = buildModel("ConvNetD1W4", { channels: 1, size: 4, classes: 3 });
const EPOCHS = 4;

const recipeOf = (overrides: RecipeOverrides) =>
  resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc10")!), {
    ...{ teachers: { epochs: EPOCHS }, syn_steps: 3, expert_epochs: 1, batch_syn: 4 },
    ...{ lr_img: 1, lr_y: 1, lr_lr: 1e-4, lr_teacher: 0.05, threshold: 10 },
    ...{ sequential: false, min_start_epoch: 1, max_start_epoch: 4, iterations: 1 },
    ...overrides,
  });

const startOf = (images: number): SyntheticSet => ({
  images: new Random(1).stream("images").fill(images * 16, -2, 2),
  labels: new Random(1).stream("labels").fill(images * 3, -2, 2),
});

/** Parameters that drift from epoch to epoch. */
const teachers = {
  count: 3,
  snapshot(teacher: number, epoch: number): Float32Array<ArrayBuffer> {
    const random = new Random(teacher);
    const theta = initialise(model, random);
    for (let done = 0; done < epoch; done++)
      for (let i = 0; i < theta.length; i++) theta[i]! += 0.05 * random.normal();
    return theta;
  },
};

const gpu = sharedGpu();

interface Run {
  readonly start: SyntheticSet;
  readonly set: DistilledSet;
  readonly records: readonly IterationRecord[];
  readonly state: MatchState;
}

async function run(
  overrides: RecipeOverrides,
  { images = 6, resume }: { images?: number | undefined; resume?: MatchState } = {},
): Promise<Run> {
  const start = startOf(images);
  const records: IterationRecord[] = [];
  let state: MatchState | undefined;
  const { last } = await match({
    ...{ gpu: gpu(), model, recipe: recipeOf(overrides), teachers, start, resume },
    random: new Random(7),
    onIteration: (record) => records.push(record),
    isCheckpoint: () => true,
    onCheckpoint: (now) => void (state = now),
  });
  return { start, set: last, records, state: state! };
}

/** How far the set went from its start. */
const moved = ({ set, start }: Run, name: "images" | "labels"): Float32Array =>
  set[name].map((value, i) => value - start[name][i]!);

describe.each<[string, RecipeOverrides, number?]>([
  ["on the device", {}],
  ["in micro-batches", { micro_batch: 2 }],
  ["on the host", { micro_batch: 2, memory: "300KiB" }, 1500],
  ["matched where students come nearest", { att: true }],
  ["with parameters left out", { edf_ratio: 0.25, pad_ratio: 0.2 }],
])("an iteration of two trajectories, %s", (_, settings, images) => {
  let [both, first, second]: Run[] = [];
  beforeAll(async () => {
    both = await run({ ...settings, trajectories: 2 }, { images });
    first = await run(settings, { images });
    // The second trajectory from the same set.
    const resume = { ...first.state, ...freshState(first.start, recipeOf(settings)) };
    second = await run({ ...settings, iterations: 2 }, { images, resume });
  });

  it("follows the teachers of two iterations of one", () => {
    const at = ({ records }: Run) => ({ teacher: records[0]!.teacher, start: records[0]!.start });
    expect(both!.records[0]).toMatchObject({ ...at(first!), others: [at(second!)] });
  });

  it("has the mean of their losses and gradients", () => {
    const loss = (r: Run): number => r.records[0]!.loss;
    expect(loss(both!)).toBeCloseTo((loss(first!) + loss(second!)) / 2, 5);
    for (const name of ["images", "labels"] as const) {
      const [a, b] = [moved(first!, name), moved(second!, name)];
      const mean = a.map((value, i) => (value + b[i]!) / 2);
      expect(mean.some((value) => Math.abs(value) > 1e-3)).toBe(true);
      expect(relativeError(moved(both!, name), mean)).toBeLessThan(1e-4);
    }
    const lr = (r: Run): number => r.set.lr - 0.05;
    expect(lr(both!) / ((lr(first!) + lr(second!)) / 2)).toBeCloseTo(1, 2);
  });

  it("is the same bits each time", async () => {
    const again = await run({ ...settings, trajectories: 2 }, { images });
    expect(again.set).toEqual(both!.set);
  });
});

describe("iterations of several trajectories", () => {
  it("ask every teacher as often, and widen their range as those of one", async () => {
    const sequential = { sequential: true, current_max_start_epoch: 2, expansion_end_epoch: 2 };
    const { records } = await run({ iterations: 3, trajectories: 2, ...sequential });
    const asked = records.flatMap(({ teacher, others }) => [teacher, others![0]!.teacher]);
    expect([...asked].sort()).toEqual([0, 0, 1, 1, 2, 2]);
    const starts = records.map(({ start: epoch, others }) => [epoch, others![0]!.start]);
    expect(starts[0]).toEqual([1, 1]);
    expect(Math.max(...starts.flat())).toBeLessThan(4);
  });
});
