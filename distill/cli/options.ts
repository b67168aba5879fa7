/** @file Options that commands share, and the adapter that suits the work. */
import { availableParallelism } from "node:os";
import type { Argv } from "yargs";
import { Gpu } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { createProgress, type Progress } from "../progress.ts";
import { shardOf, type Shard } from "../cluster/shard.ts";
import type { Recipe, Teaching } from "../recipe.ts";
import type { Work } from "../run.ts";
import type { Lanes } from "../teachers/teacher.ts";
import { outputOptions, type OutputArguments } from "./output.ts";
import { withProfile } from "./profile.ts";

export interface AdapterArguments {
  readonly adapter: string | undefined;
  readonly checks: "safe" | "fast";
  readonly precision: "f32" | "f16";
  readonly profile: string | undefined;
}

export interface CommonArguments extends AdapterArguments, OutputArguments {
  readonly data: string | undefined;
}

/** `--adapter`, `--checks` (by default `checks`), `--precision` and `--profile`. */
export function adapterOptions<T>(
  yargs: Argv<T>,
  checks: AdapterArguments["checks"] = "safe",
): Argv<T & AdapterArguments> {
  return yargs
    .option("adapter", {
      type: "string",
      requiresArg: true,
      describe: "hardware, lavapipe, swiftshader, null or part of an adapter's name",
    })
    .option("checks", {
      choices: ["safe", "fast"] as const,
      default: checks,
      describe: "What Dawn checks of every call: all of it, or nothing",
    })
    .option("precision", {
      choices: ["f32", "f16"] as const,
      default: "f32" as const,
      describe: "How large intermediate tensors are stored; sums are always f32",
    })
    .option("profile", {
      type: "string",
      requiresArg: true,
      describe: "Take the time of every kernel (slower), print a table, write a trace to this file",
    });
}

/** `--data`. */
export function dataOption<T>(yargs: Argv<T>): Argv<T & { data: string | undefined }> {
  return yargs.option("data", {
    type: "string",
    requiresArg: true,
    describe: "Folder of the known data sets [POTSTILL_DATA, or ./data]",
  });
}

/** The adapter's options, `--data`, `--json` and `--quiet`. */
export function commonOptions<T>(yargs: Argv<T>): Argv<T & CommonArguments> {
  return outputOptions(dataOption(adapterOptions(yargs)));
}

/** `--checkpoint-every`. */
export const checkpointOption = {
  type: "number",
  requiresArg: true,
  describe: "Iterations from one checkpoint to the next [as many as take 10 s]",
} as const;

/** The positional `folder` of commands that look at divided work. */
export const sharedFolder = {
  type: "string",
  demandOption: true,
  describe: "Folder that the shards write to",
} as const;

export interface ShardArguments {
  readonly shard: string | undefined;
}

/** `--shard`. */
export function shardOption<T>(yargs: Argv<T>): Argv<T & ShardArguments> {
  return yargs.option("shard", {
    type: "string",
    requiresArg: true,
    describe: "Do part i of n only, i/n [of a Slurm array or a Kubernetes Indexed Job: its task]",
  });
}

/** The part of the work that the arguments or a cluster ask for. Throws `ShardError`. */
export const shardFor = ({ shard }: ShardArguments): Shard | undefined => shardOf(shard);

/** Work on the adapter that the arguments name, profiled if they ask for it. */
export function withAdapter<T>(
  { adapter, checks, precision, profile }: AdapterArguments,
  work: (gpu: Gpu) => Promise<T>,
  threads?: "one" | "all",
): Promise<T> {
  return withProfile(
    profile,
    (profiler) => Gpu.open({ adapter, checks, precision, threads, profiler }),
    work,
  );
}

/**
 * Multiplications of a minibatch's forward pass, roughly, below which kernels are so small that a
 * software adapter runs them faster on one thread than it wakes a second.
 */
const SMALL_WORK = 2e7;

/** How many of lavapipe's threads suit some recipes' work. */
function threadsFor(works: readonly Work<Teaching | Recipe>[]): "one" | "all" {
  const sizes = works.map(({ recipe, model }) => {
    const synthetic = "batch_syn" in recipe ? recipe.batch_syn : 0;
    return model.size * model.task.size ** 2 * Math.max(synthetic, recipe.teachers.batch);
  });
  return Math.max(...sizes) < SMALL_WORK ? "one" : "all";
}

/** Runs `use` on the adapter as it suits some recipes' work. */
export function withGpu<T>(
  args: AdapterArguments,
  works: readonly Work<Teaching | Recipe>[],
  use: (gpu: Gpu) => Promise<T>,
): Promise<T> {
  return withAdapter(args, use, threadsFor(works));
}

/** Devices of one thread each for work that one thread of a CPU suffices for; else the one that is open. */
export function lanesFor(
  { adapter, checks, precision, profile }: AdapterArguments,
  works: readonly Work<Teaching | Recipe>[],
  gpu: Gpu,
): Lanes {
  const single = gpu.facts.kind === "lavapipe" && threadsFor(works) === "one";
  return {
    most: single && profile === undefined ? availableParallelism() : 1,
    open: () => Gpu.open({ adapter, checks, precision, threads: "one" }),
  };
}

/** As {@link withGpu}; where there are lanes, `use` gets more devices, at most one more than there are recipes. */
export function withLanes<T>(
  args: AdapterArguments,
  works: readonly Work[],
  use: (gpus: readonly [Gpu, ...Gpu[]]) => Promise<T>,
): Promise<T> {
  return withGpu(args, works, (gpu) =>
    withMore(args, gpu, Math.min(lanesFor(args, works, gpu).most, works.length + 1), use),
  );
}

/**
 * Runs `use` on devices for evaluations of `models` with so many seeds, which can be trained at the same
 * time: on a software adapter one a core, of one thread each, where there are seeds or kernels are small
 * enough that nothing is lost.
 */
export function withSeedLanes<T>(
  args: AdapterArguments,
  models: readonly Model[],
  { batch, seeds }: { readonly batch: number; readonly seeds: number },
  use: (gpus: readonly [Gpu, ...Gpu[]]) => Promise<T>,
): Promise<T> {
  const cores = availableParallelism();
  const work = Math.max(...models.map(({ size, task }) => size * task.size ** 2 * batch));
  const threads = work < SMALL_WORK || seeds >= cores ? "one" : "all";
  const open = async (gpu: Gpu): Promise<T> => {
    const single = gpu.facts.kind === "lavapipe" && threads === "one";
    const most = single && args.profile === undefined ? Math.min(cores, seeds) : 1;
    return await withMore(args, gpu, most, use);
  };
  return withAdapter(args, open, threads);
}

/** Runs `use` with one-thread devices beside `gpu`, `most` together. */
async function withMore<T>(
  { adapter, checks, precision }: AdapterArguments,
  gpu: Gpu,
  most: number,
  use: (gpus: readonly [Gpu, ...Gpu[]]) => Promise<T>,
): Promise<T> {
  const more: Gpu[] = [];
  try {
    while (more.length < most - 1)
      more.push(await Gpu.open({ adapter, checks, precision, threads: "one" }));
    return await use([gpu, ...more]);
  } finally {
    for (const beside of more) beside[Symbol.dispose]();
  }
}

export const progressFor = ({ quiet }: OutputArguments): Progress => createProgress({ quiet });

/** Where data sets are looked for, and who is told when one takes long to load. */
export const dataFrom = (args: CommonArguments) => ({
  data: args.data,
  progress: progressFor(args),
});
