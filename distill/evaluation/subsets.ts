/** @file Real images in the place of distilled ones: at random, or chosen by a teacher's features. */
import { Random, type Gpu } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import type { Dataset } from "../data/dataset.ts";
import { randomReal, teacherLogits } from "../matching/start.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import { Trainer, type TrainingSet } from "../training/train.ts";
import { softTargets } from "../labels.ts";
import { realSet, wholeSet, type Baseline, type RealSubset } from "./baselines.ts";
import { herding, kCenter } from "./coresets.ts";
import { teacherFeatures } from "./features.ts";
import type { EvaluationPlan } from "./plan.ts";

/** Teachers of a data set, asked for when something needs them. */
export interface Advisers {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly teachers: () => Promise<TrajectoryBuffer>;
}

/** The sets of a baseline, one a seed. */
export interface Subset {
  readonly method: RealSubset;
  setOf(seed: number): TrainingSet;
}

/**
 * Real images, `ipc` a class, by each of the wanted baselines: for every seed of the plan its own draw
 * where it draws, else the same. Herding and k-center choose by the features of the first teacher.
 * @throws RangeError when a class has fewer images; FileError when a teacher's file is damaged.
 */
export async function realSubsets(
  dataset: Dataset,
  { gpu, model, teachers }: Advisers,
  plan: EvaluationPlan,
  ipc: number,
  wanted: readonly Baseline[],
): Promise<Subset[]> {
  const out: Subset[] = [];
  const add = (method: RealSubset, sets: readonly TrainingSet[]): void =>
    void out.push({ method, setOf: (seed) => sets[seed % sets.length]! });
  if (wanted.includes("random") || wanted.includes("random-soft")) {
    const random = new Random(plan.seed).stream(`random real ipc ${ipc}`);
    const draws = Array.from({ length: plan.seeds }, (_, seed) =>
      randomReal(dataset, ipc, random.stream(`seed ${seed}`)),
    );
    const hard = draws.map((numbers) => realSet(dataset, numbers));
    if (wanted.includes("random")) add("random", hard);
    if (wanted.includes("random-soft")) {
      using trainer = await Trainer.compile(gpu, model, wholeSet(dataset), 1);
      const source = { dataset, teachers: await teachers(), trainer };
      const soft = [];
      for (const [i, numbers] of draws.entries()) {
        const targets = softTargets(await teacherLogits(source, numbers), dataset.classes.length);
        soft.push({ ...hard[i]!, targets });
      }
      add("random-soft", soft);
    }
  }
  const coresets = (["herding", "k-center"] as const).filter((method) => wanted.includes(method));
  if (coresets.length > 0) {
    const classes = await teacherFeatures(gpu, model, dataset, await teachers());
    for (const method of coresets) {
      const choose = method === "herding" ? herding : kCenter;
      const numbers = classes.flatMap(({ numbers: all, features }) =>
        Array.from(choose(features, ipc), (i) => all[i]!),
      );
      add(method, [realSet(dataset, Uint32Array.from(numbers))]);
    }
  }
  return out;
}
