/** @file What is scored: fresh networks trained on a set by the plan, as a row of results. */
import { crc32 } from "node:zlib";
import { describePreprocessing } from "../data/preprocess.ts";
import {
  checkPreprocessing,
  readDistilled,
  writeDistilled,
  type DistilledFile,
} from "../distilled.ts";
import type { Model } from "../../models/index.ts";
import { FileError } from "../files.ts";
import type { Recipe, Teaching } from "../recipe.ts";
import { appendMetrics } from "../resume/folder.ts";
import { makerOf } from "../resume/about.ts";
import { UnfinishedEvaluation } from "../resume/evaluation.ts";
import { distilledFile, randomOf, type RunContext, type Work } from "../run.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import type { TrainingSet } from "../training/train.ts";
import { syntheticSet, wholeSet } from "./baselines.ts";
import { evaluate, type Evaluation, type EvaluationSettings } from "./evaluate.ts";
import { planOf, type EvaluationPlan } from "./plan.ts";
import { realSubsets } from "./subsets.ts";
import { resultRow, type ResultRow, type RowKey } from "./table.ts";

/** Where sets are scored. */
export interface Bench extends Pick<
  RunContext,
  "gpu" | "beside" | "folder" | "progress" | "dataset" | "signal"
> {
  /** Keeps what is known, so that an evaluation goes on where it was cut off. */
  readonly unfinished?: UnfinishedEvaluation | undefined;
}

/** A set with what it is called, and with what its training has of its own. */
export interface Candidate {
  readonly key: Omit<RowKey, "network">;
  readonly own?: Partial<Pick<EvaluationSettings, "lr" | "epochs" | "batch" | "augmentation">>;
  setOf(seed: number): TrainingSet;
}

const labelOf = ({ method, ipc, variant }: Candidate["key"], network: string): string =>
  ["evaluate", method, ...(method === "full" ? [] : [`ipc ${ipc}`]), variant ?? "", network]
    .filter((word) => word !== "")
    .join(" ");

/** Trains fresh networks on a candidate's sets, one a seed, by the plan and tests them, but those that are known. */
export async function score(
  { gpu, beside = [], progress, dataset, signal, unfinished }: Bench,
  plan: EvaluationPlan,
  model: Model,
  { key, own, setOf }: Candidate,
): Promise<Evaluation> {
  const settings = { ...plan, ...own };
  const random = randomOf(plan, "evaluation");
  const kept = unfinished?.seeds([key, own ?? {}, model.name]);
  const passes = settings.epochs + 1;
  const known = Array.from({ length: settings.seeds }, (_, seed) => kept?.get(seed));
  const before = known.filter((confusion) => confusion !== undefined).length;
  progress.start(labelOf(key, model.name), settings.seeds * passes, before * passes);
  const report = (done: number, finished: readonly number[]): void => {
    signal?.throwIfAborted();
    progress.update(done, soFar(finished));
  };
  try {
    const gpus = [gpu, ...beside] as const;
    const result = await evaluate(gpus, model, setOf, dataset, settings, random, report, kept);
    report(settings.seeds * passes, result.values);
    return result;
  } finally {
    progress.stop();
  }
}

/** The mean of the seeds that are finished, for progress. */
function soFar(finished: readonly number[]): Record<string, string> {
  if (finished.length === 0) return {};
  const mean = finished.reduce((a, b) => a + b, 0) / finished.length;
  return { accuracy: `${(100 * mean).toFixed(1)} % of ${finished.length}` };
}

/**
 * The row of a candidate. `metrics.jsonl` gets a line: "evaluation" of the network that the run is of,
 * `own`, "transfer" of others, and of variants.
 */
export async function scoreRow(
  bench: Bench,
  plan: EvaluationPlan,
  model: Model,
  candidate: Candidate,
  own: string,
): Promise<ResultRow> {
  const result = await score(bench, plan, model, candidate);
  return record(bench, plan, model, candidate, own, result);
}

/** As {@link scoreRow} for a result that is known. */
export function record(
  { folder }: Bench,
  plan: EvaluationPlan,
  { name: network }: Model,
  { key, own: settings }: Candidate,
  own: string,
  result: Evaluation,
): ResultRow {
  const row = resultRow({ ...key, network }, result);
  const { lr = plan.lr } = settings ?? {};
  appendMetrics(folder, metricsOf(row, { usual: network === own, lr }));
  return row;
}

/** What `metrics.jsonl` has of a row; `usual` is the network that the run is of. */
export function metricsOf(
  { method, ipc, network, variant, values }: ResultRow,
  { usual, lr }: { readonly usual: boolean; readonly lr: number },
): object {
  const evaluation = usual && variant === undefined;
  return {
    ...{ event: evaluation ? "evaluation" : "transfer", method, ipc },
    ...(evaluation ? {} : { network }),
    ...(variant === undefined ? {} : { variant }),
    ...{ lr, accuracies: values },
  };
}

/** The whole training set: the teachers' minibatches, and twice their passes over the data. */
export function wholeCandidate(
  { dataset }: Bench,
  { teachers }: Pick<Teaching, "teachers">,
): Candidate {
  const ipc = Math.round(dataset.train.count / dataset.classes.length);
  const own = { epochs: 2 * teachers.epochs, batch: teachers.batch };
  const set = wholeSet(dataset);
  return { key: { method: "full", ipc }, own, setOf: () => set };
}

/** A distilled set, trained with its own learning rate. */
export function distilledCandidate(
  { images, labels, lr, meta }: Pick<DistilledFile, "images" | "labels" | "lr" | "meta">,
  key: Pick<RowKey, "method" | "recipe">,
): Candidate {
  const set = syntheticSet(images, labels, meta.classes.length);
  const { ipc, chosenOn } = meta;
  return { key: { ...key, ipc, ...(chosenOn && { chosenOn }) }, own: { lr }, setOf: () => set };
}

/** The row of the whole training set. */
export function scoreWhole(context: RunContext, recipe: Recipe): Promise<ResultRow> {
  const { model } = context;
  const whole = wholeCandidate(context, recipe);
  return scoreRow(context, planOf(recipe), model, whole, recipe.network);
}

/** The rows of random real images, with hard and with soft labels; every seed draws its own images. */
export async function scoreRandom(
  context: RunContext,
  recipe: Recipe,
  teachers: TrajectoryBuffer,
): Promise<ResultRow[]> {
  const { gpu, model, dataset } = context;
  const { ipc, network } = recipe;
  const plan = planOf(recipe);
  const advisers = { gpu, model, teachers: () => Promise.resolve(teachers) };
  const wanted = ["random", "random-soft"] as const;
  const rows: ResultRow[] = [];
  for (const { method, setOf } of await realSubsets(dataset, advisers, plan, ipc, wanted))
    rows.push(await scoreRow(context, plan, model, { key: { method, ipc }, setOf }, network));
  return rows;
}

/**
 * The distilled set of a recipe in a run's folder.
 * @throws FileError when it is damaged, or was made for other data or another network.
 */
export function distilledFor(folder: string, { recipe, source }: Work): DistilledFile {
  const path = distilledFile(folder, recipe.ipc);
  const file = readDistilled(path);
  const { channels, height, width, classes } = source;
  const rows = recipe.ipc * classes.length;
  const wanted = {
    dataset: source.name,
    ipc: recipe.ipc,
    network: recipe.network,
    width: recipe.width,
    classes: classes.join(", "),
    images: `[${[rows, channels, height, width].join(", ")}]`,
  };
  const found = {
    ...file.meta,
    classes: file.meta.classes.join(", "),
    images: `[${file.shape.join(", ")}]`,
  };
  for (const key of Object.keys(wanted) as (keyof typeof wanted)[])
    if (found[key] !== wanted[key])
      throw new FileError(
        `${path}: ${key} must be ${wanted[key]} as in the recipe, got ${found[key]}`,
      );
  return file;
}

/** Of what a set is, whatever it is called. */
export const checksumOf = ({ images, labels, lr }: Omit<DistilledFile, "meta" | "shape">) => [
  crc32(images),
  crc32(labels),
  lr,
];

/** The evaluation of a run's own set: what is known of it is kept in the run's folder. Throws as `distilledFor`. */
export function evaluationOf(context: RunContext, recipe: Recipe): UnfinishedEvaluation {
  const { gpu, folder, dataset, model } = context;
  const set = checksumOf(distilledFor(folder, { recipe, source: dataset, model }));
  const data = [dataset.id, describePreprocessing(dataset.preprocessing)];
  return new UnfinishedEvaluation(folder, [makerOf(gpu.facts), data, planOf(recipe), set]);
}

/** The row of a distilled set, read back from its file; throws as `distilledFor`. */
export async function scoreDistilled(
  context: RunContext & Pick<Bench, "unfinished">,
  recipe: Recipe,
): Promise<ResultRow> {
  const { dataset, model, events, folder } = context;
  const file = distilledFor(folder, { recipe, source: dataset, model });
  checkPreprocessing(file, dataset, distilledFile(folder, recipe.ipc));
  const candidate = distilledCandidate(file, { method: recipe.method });
  const row = await scoreRow(context, planOf(recipe), model, candidate, recipe.network);
  events?.evaluation(recipe.iterations, recipe.network, row.mean, row.std);
  return row;
}

/** Writes into the distilled set's file what networks trained on it reach: a row of {@link scoreDistilled}. */
export function recordAccuracy(folder: string, { ipc, mean, std, seeds }: ResultRow): void {
  const path = distilledFile(folder, ipc);
  const { meta, ...file } = readDistilled(path);
  writeDistilled(path, { ...file, meta: { ...meta, accuracy: { mean, std, seeds } } });
}
