/** @file The page of `npm run results:cifar`. */
import { confidenceInterval } from "../distill/evaluation/interval.ts";
import {
  markdownResults,
  markdownTable,
  percent,
  type ResultRow,
} from "../distill/evaluation/table.ts";
import { formatBytes } from "../distill/matching/memory.ts";
import { formatTime } from "../distill/progress.ts";
import { publishedFor } from "../distill/published.ts";
import { GROUPS, type Recipe } from "../distill/recipe.ts";
import type { Work } from "../distill/run.ts";
import type { Beside } from "./iteration-beside.ts";
import { madeBy, type Made } from "./results-page.ts";
import type { Stage } from "./stages.ts";
import type { Plan } from "./time-plan.ts";

/** A shipped recipe, and what was done of it. */
export interface Done {
  readonly name: string;
  readonly published: Recipe;
  readonly work: Work;
}

export interface CifarResults {
  readonly done: readonly Done[];
  readonly rows: readonly ResultRow[];
  readonly stages: Readonly<Record<string, Stage>>;
  readonly beside: readonly Beside[];
  readonly plan: Plan;
  /** The wanted time in s. */
  readonly time: number;
  /** Official number of training images. */
  readonly images: number;
}

/** Settings that are not as published, each as `key ours (published theirs)`. */
export function differences(published: Recipe, ours: Recipe): string[] {
  const told = (prefix: string, a: object, b: object): string[] =>
    Object.entries(b).flatMap(([key, value]: [string, unknown]) => {
      const theirs = (a as Record<string, unknown>)[key];
      if (Object.hasOwn(GROUPS, key)) return told(`${key}.`, theirs as object, value as object);
      return value === theirs
        ? []
        : [`\`${prefix}${key}\` ${String(value)} (published ${String(theirs)})`];
    });
  return told("", published, ours);
}

const inPercent = (x: number): string => (100 * x).toFixed(1);

function besidePublished({ done, rows }: CifarResults): string {
  const lines = done.flatMap(({ name, work: { recipe } }) => {
    const row = rows.find((some) => some.recipe === name)!;
    const interval = confidenceInterval(row, row.seeds);
    const shown = interval ? interval.map(inPercent).join(" to ") : "";
    const theirs = inPercent(publishedFor(name)!.accuracy);
    return [[String(recipe.ipc), theirs, percent(row).replace(" %", ""), shown]];
  });
  return markdownTable([["images a class", "published", "here", "95 % interval"], ...lines]);
}

function unlikePublished({ done, images }: CifarResults): string {
  const lines = done.flatMap(({ name, published, work: { recipe, source } }) => {
    const { count } = source.train;
    const fewer = count < images ? [`training images ${count} (published ${images})`] : [];
    const others = [...fewer, ...differences(published, recipe)];
    return others.length > 0 ? [`- ${name}: ${others.join(", ")}`] : [];
  });
  if (lines.length === 0) return "All settings are the published ones.";
  return `Not as published, so the numbers do not compare as they stand:\n\n${lines.join("\n")}`;
}

const inMs = (ms: number): string => `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;

/** One line a stage, with the time of one of its pieces where it has many. */
function stageTable(stages: CifarResults["stages"]): string {
  const lines = Object.entries(stages).map(([label, { seconds, pieces, gpu, process }]) => [
    label,
    formatTime(1000 * seconds),
    pieces > 0 ? inMs((1000 * seconds) / pieces) : "",
    gpu > 0 ? formatBytes(gpu) : "",
    formatBytes(process),
  ]);
  return markdownTable([["stage", "time", "a piece", "GPU memory", "process memory"], ...lines]);
}

function besideTorch(beside: CifarResults["beside"]): string {
  const lines = beside.map(({ name, results }) => {
    if ("absent" in results) return [name, "not measured", `not measured: ${results.absent}`, ""];
    const [ours, torch] = results.map(({ medianMs, status, note }) =>
      medianMs === undefined
        ? `${status}${note === undefined ? "" : `: ${note}`}`
        : `${medianMs.toFixed(1)} ms`,
    );
    return [name, ours!, torch!, results[1]!.ratio?.toFixed(2) ?? ""];
  });
  return markdownTable([["iteration", "Potstill", "PyTorch", "PyTorch / Potstill"], ...lines]);
}

/** The whole page; `command` is what made it. */
export function cifarPage(command: string, results: CifarResults, made: Made): string {
  const { done, rows, stages, beside, plan, time } = results;
  const { teachers, network, width, zca } = made.recipe;
  const torch = Object.assign({}, ...beside.map(({ versions }) => versions)) as Record<
    string,
    string
  >;
  const versions = Object.entries(torch).map(([name, version]) => `${name} ${version}`);
  const planned = `${plan.experts} teachers × ${teachers.epochs} epochs and ${plan.iterations} iterations a set`;
  return `# CIFAR-10

${network}, ${width} channels wide,${zca ? " whitened images (ZCA)," : ""} DATM by the recipes ${done.map(({ name }) => name).join(" and ")}:
${planned}, which is what ${formatTime(1000 * time)} allowed here. Test accuracy in percent, mean ± standard deviation over
${rows[0]!.seeds} fresh networks.

## Beside the published numbers

${besidePublished(results)}

Published: ${publishedFor(done[0]!.name)!.source}.

${unlikePublished(results)}

## Beside real images

${markdownResults(rows)}${plan.whole ? "" : "\n\nFor the whole training set there was no time."}

## Time and memory

GPU memory is that of all programs, at its most; a piece is an epoch, an iteration, an image that is whitened.

${stageTable(stages)}

## Beside PyTorch

The gradient of one iteration on the same numbers, checked against each other and timed in turns, without augmentation;
PyTorch on a GPU multiplies in TF32.${versions.length > 0 ? ` ${versions.join(", ")}.` : ""}

${besideTorch(beside)}

## How it was made

${madeBy(command, made)}
`;
}
