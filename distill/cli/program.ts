/** @file `potstill info --program`: what a matching program does, launch by launch. */
import { Program, showBytes, showFlops, type Gpu, type Step } from "../../engine/index.ts";
import { buildModel, isNetwork } from "../../models/index.ts";
import { matchingOptions } from "../matching/match.ts";
import { matchingProcedures, type MatchingOptions } from "../matching/placement.ts";
import { readRecipe, shippedRecipes } from "../recipe-file.ts";
import { modelOf } from "../run.ts";
import { UsageError } from "./usage.ts";

/** Sizes that a flag of the same name sets. */
export const SIZES = {
  width: "Channels of a network's layers [128, or the recipe's]",
  size: "Pixels along a side of an image [32]",
  channels: "Channels of an image [3]",
  classes: "Classes [10]",
  batch: "Images in a minibatch [10, or the recipe's]",
  images: "Synthetic images in all [as many as in a minibatch, or the recipe's]",
  steps: "Steps of the student [10, or the recipe's]",
  micro: "Images of a minibatch at once [all of them, or the recipe's]",
} as const;

/** What flags give of {@link SIZES}. */
export type GivenSizes = Readonly<Partial<Record<keyof typeof SIZES, number | undefined>>>;

/** Procedures that a program may have, in the order of an iteration. */
export const PROCEDURES = [
  ...(["begin", "stepPart", "step", "measure", "turn"] as const),
  ...(["recall", "adjointPart", "adjoint", "update"] as const),
] as const;
export type Procedure = (typeof PROCEDURES)[number];

/** A program to be shown: the student's options, and the network's settings for its title. */
export interface Shown extends MatchingOptions {
  readonly title: string;
}

const isSize = (n: number): boolean => Number.isInteger(n) && n >= 1;

/**
 * The program of `name`, a network or a shipped recipe, with the sizes that flags give.
 * @throws UsageError for another name or an impossible size; ModelError where a network does not suit them.
 */
export async function shownProgram(name: string, given: GivenSizes): Promise<Shown> {
  for (const [flag, value] of Object.entries(given))
    if (value !== undefined && !isSize(value))
      throw new UsageError(`--${flag} must be an integer from 1, got ${value}`);
  const file = shippedRecipes().get(name);
  if (file === undefined && !isNetwork(name))
    throw new UsageError(
      `--program must be a network (ConvNetD3) or a shipped recipe (${[...shippedRecipes().keys()].join(", ")}), got "${name}"`,
    );
  const recipe = file === undefined ? undefined : readRecipe(file);
  const task = recipe ? (await modelOf(recipe)).task : { size: 32, channels: 3, classes: 10 };
  const { size = task.size, channels = task.channels, classes = task.classes } = given;
  const width = given.width ?? recipe?.width;
  const batch = given.batch ?? recipe?.batch_syn ?? 10;
  const images = given.images ?? (recipe ? recipe.ipc * classes : batch);
  const steps = given.steps ?? recipe?.syn_steps ?? 10;
  const network = recipe?.network ?? name;
  const model = buildModel(
    network,
    { size, channels, classes },
    width === undefined ? {} : { width },
  );
  const title = `${network}, ${model.size} parameters, images [${channels}, ${size}, ${size}], batch ${batch} of ${images} images, ${steps} steps`;
  const micro = given.micro ?? recipe?.micro_batch;
  return {
    ...(recipe ? matchingOptions(model, recipe, images) : {}),
    ...{ title, model, images, batch, steps },
    ...(micro === undefined ? {} : { micro }),
  };
}

/** A launch as JSON: places are variables by name, slots by number. */
function launch(step: Step): object {
  if (step.kind === "copy") return step;
  const { kind, op, region, operands, results, bindings, reads, grid, flops, bytes } = step;
  return {
    ...{ kind, op, region, operands, results },
    reads: bindings.slice(0, reads),
    writes: bindings.slice(reads),
    ...{ grid, flops, bytes },
  };
}

/** Procedures of a program as lines: each with its totals and its launches, then the planned memory. */
export function formatProgram(program: Program, procedures: readonly string[]): string {
  const blocks = procedures.map((name) => {
    const { dispatches, flops, bytes } = program.cost(name);
    const totals = `${name}: ${dispatches} dispatches, ${showFlops(flops)}, ${showBytes(bytes)}`;
    return [totals, ...program.print(name).split("\n")].join("\n  ");
  });
  const { variables, slots, total } = program.memory;
  const memory = `memory: ${showBytes(variables)} of variables, ${showBytes(slots)} of slots, ${showBytes(total)} together`;
  return [...blocks, memory].join("\n\n");
}

/** How often a profiled program runs: the first is slower, and not counted in the rates. */
const PROFILED_RUNS = 5;

export interface DescribeOptions {
  /** The procedure to show; all when undefined. */
  readonly procedure: Procedure | undefined;
  readonly json: boolean;
  /** Whether to run each shown procedure a few times, on zeros, for a profiler to see. */
  readonly run: boolean;
}

/** Compiles a program and returns its text, or its JSON. */
export async function describeProgram(
  gpu: Gpu,
  shown: Shown,
  { procedure, json, run }: DescribeOptions,
): Promise<string> {
  const all = matchingProcedures(shown);
  using program = await Program.compile(gpu, all);
  const procedures =
    procedure === undefined ? PROCEDURES.filter((name) => name in all) : [procedure];
  if (run) for (const name of procedures) program.run(name, PROFILED_RUNS);
  await program.done();
  if (!json) return `${shown.title}\n\n${formatProgram(program, procedures)}`;
  const { title, images, batch, steps } = shown;
  const entries = procedures.map((name) => [
    name,
    { ...program.cost(name), launches: program.steps(name).map(launch) },
  ]);
  const described = {
    ...{ adapter: gpu.facts.name, title, images, batch, steps },
    memory: program.memory,
    procedures: Object.fromEntries(entries) as Record<string, unknown>,
  };
  return JSON.stringify(described, null, 2);
}
