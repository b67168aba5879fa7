/** @file Sets assessed: networks by networks, beside the baselines, as the rows of one table. */
import type { Model } from "../../models/index.ts";
import { hardTargets, predictedClasses, softTargets } from "../labels.ts";
import type { Recipe } from "../recipe.ts";
import { DSA_STRATEGY, parseStrategy } from "../training/strategy.ts";
import type { DistilledFile } from "../distilled.ts";
import { BASELINES, type Baseline } from "./baselines.ts";
import type { EvaluationPlan } from "./plan.ts";
import {
  distilledCandidate,
  scoreRow,
  wholeCandidate,
  type Bench,
  type Candidate,
} from "./score.ts";
import { realSubsets, type Advisers } from "./subsets.ts";
import type { ResultRow, RowKey, Variant } from "./table.ts";
import { wholeRow } from "./whole.ts";

/** A distilled set with what its rows say of it. */
export interface GivenSet {
  readonly file: Pick<DistilledFile, "images" | "labels" | "lr" | "meta">;
  readonly key: Pick<RowKey, "method" | "recipe">;
}

export interface AssessOptions {
  readonly bench: Bench;
  readonly plan: EvaluationPlan;
  readonly networks: readonly Model[];
  /** Name of the network that the sets were made with. */
  readonly own: string;
  readonly sets: readonly GivenSet[];
  readonly baselines: readonly Baseline[];
  /** Images a class of the baselines. */
  readonly ipcs: readonly number[];
  /** Of the teachers, which the whole training set is trained like. */
  readonly recipe?: Pick<Recipe, "teachers"> | undefined;
  /** Teachers for the baselines that ask them. */
  readonly advisers: Advisers;
  /** Whether distilled sets with soft labels are scored with hard ones, too. */
  readonly hard: boolean;
  /** Whether sets and random images are scored with the augmentation that the plan has not, too. */
  readonly augmentations: boolean;
  /** Is told all rows so far when there is another. */
  readonly onRows?: (rows: readonly ResultRow[]) => void;
}

/** The rows, and what must be said of them. */
export interface Assessed {
  readonly rows: readonly ResultRow[];
  readonly notes: readonly string[];
}

/**
 * Scores the whole training set, then for each number of images a class the baselines and the sets,
 * each with all networks.
 * @throws RangeError when a class has too few images; FileError when a teacher's file is damaged.
 */
export async function assess(options: AssessOptions): Promise<Assessed> {
  const { bench, plan, networks, own, baselines, recipe } = options;
  const rows: ResultRow[] = [];
  const notes: string[] = [];
  const add = (row: ResultRow): void => {
    rows.push(row);
    options.onRows?.(rows);
  };
  if (baselines.includes("full") && recipe) {
    const cached = [];
    for (const model of networks) {
      const whole = await wholeRow(bench, plan, model, recipe, own);
      if (whole.cached) cached.push(model.name);
      add(whole.row);
    }
    if (cached.length > 0)
      notes.push(`whole training set: from the cache for ${cached.join(", ")}`);
  }
  for (const ipc of countsOf(options)) {
    for (const candidate of await candidatesOf(options, ipc))
      for (const model of networks) add(await scoreRow(bench, plan, model, candidate, own));
  }
  return { rows, notes };
}

/** A set and a network that is trained on it: a row. */
export interface Pair {
  readonly candidate: Candidate;
  readonly model: Model;
}

/** All rows that {@link assess} would have, in its order. Throws as it does. */
export async function pairsOf(options: AssessOptions): Promise<Pair[]> {
  const { bench, networks, baselines, recipe } = options;
  const whole = baselines.includes("full") && recipe ? [wholeCandidate(bench, recipe)] : [];
  const others: Candidate[] = [];
  for (const ipc of countsOf(options)) others.push(...(await candidatesOf(options, ipc)));
  return [...whole, ...others].flatMap((candidate) =>
    networks.map((model) => ({ candidate, model })),
  );
}

/** Images a class, ascending. */
const countsOf = ({ ipcs, sets }: AssessOptions): number[] =>
  [...new Set([...ipcs, ...sets.map(({ file }) => file.meta.ipc)])].sort((a, b) => a - b);

/** Everything that is scored with so many images a class. */
async function candidatesOf(
  { bench, plan, sets, advisers, hard, augmentations, ...options }: AssessOptions,
  ipc: number,
): Promise<Candidate[]> {
  const wanted = options.ipcs.includes(ipc) ? options.baselines : [];
  const candidates = (await realSubsets(bench.dataset, advisers, plan, ipc, wanted)).map(
    ({ method, setOf }): Candidate => ({ key: { method, ipc }, setOf }),
  );
  for (const { file, key } of sets) {
    if (file.meta.ipc !== ipc) continue;
    const candidate = distilledCandidate(file, key);
    candidates.push(candidate);
    if (hard && hasSoftLabels(file)) candidates.push(hardened(file, candidate));
  }
  return augmentations ? candidates.flatMap((each) => withOther(plan, each)) : candidates;
}

/** Share of a label that its class must have for a label to be hard. */
const CERTAIN = 0.9999;

/** Whether some image's label is shared by classes. */
function hasSoftLabels({ labels, meta }: GivenSet["file"]): boolean {
  const classes = meta.classes.length;
  const targets = softTargets(labels, classes);
  for (let at = 0; at < targets.length; at += classes)
    if (Math.max(...targets.subarray(at, at + classes)) < CERTAIN) return true;
  return false;
}

/** The set with the predictedClasses class as the label of each image. */
function hardened({ labels, meta }: GivenSet["file"], { key, own, setOf }: Candidate): Candidate {
  const classes = meta.classes.length;
  const set = { ...setOf(0), targets: hardTargets(predictedClasses(labels, classes), classes) };
  return { key: { ...key, variant: "hard" }, ...(own && { own }), setOf: () => set };
}

/** Methods whose rows the augmentation-robust score compares, besides the distilled ones. */
const COMPARED: readonly string[] = ["random", "random-soft"];

/** A candidate, and it again with the augmentation that the plan has not. */
function withOther({ augmentation }: EvaluationPlan, candidate: Candidate): Candidate[] {
  const { key, own } = candidate;
  const baseline = BASELINES.some((name) => name === key.method);
  if (key.variant !== undefined || (baseline && !COMPARED.includes(key.method))) return [candidate];
  const plain = augmentation.length === 0;
  const variant: Variant = plain ? "augmented" : "plain";
  const other = { ...own, augmentation: plain ? parseStrategy(DSA_STRATEGY) : [] };
  return [candidate, { ...candidate, key: { ...key, variant }, own: other }];
}
