/** @file Options that commands share, and opening the adapter that suits the work. */
import type { Argv } from "yargs";
import { Gpu } from "../../engine/index.ts";
import { createProgress, type Progress } from "../progress.ts";
import type { Recipe } from "../recipe.ts";
import { taskOf } from "../run.ts";

export interface CommonArguments {
  readonly adapter: string | undefined;
  readonly checks: "safe" | "fast";
  readonly quiet: boolean;
}

/** `--adapter`, `--checks` and `--quiet`. */
export function commonOptions<T>(yargs: Argv<T>): Argv<T & CommonArguments> {
  return yargs
    .option("adapter", {
      type: "string",
      requiresArg: true,
      describe: "hardware, lavapipe, swiftshader or part of an adapter's name",
    })
    .option("checks", {
      choices: ["safe", "fast"] as const,
      default: "safe" as const,
      describe: "What Dawn checks of every call: all of it, or nothing",
    })
    .option("quiet", {
      type: "boolean",
      default: false,
      describe: "Print errors and results only",
    });
}

/**
 * Multiplications of a minibatch's forward pass, roughly, below which kernels are so small that a
 * software adapter runs them faster on one thread than it wakes a second.
 */
const SMALL_WORK = 8e6;

/** The adapter for the work of some recipes. */
export function openGpu(
  { adapter, checks }: CommonArguments,
  recipes: readonly Recipe[],
): Promise<Gpu> {
  const works = recipes.map((recipe) => {
    const { model } = taskOf(recipe);
    return model.size * model.task.size ** 2 * Math.max(recipe.batch_syn, recipe.teachers.batch);
  });
  const work = Math.max(...works);
  return Gpu.open({ adapter, checks, threads: work < SMALL_WORK ? "one" : "all" });
}

export const progressFor = ({ quiet }: CommonArguments): Progress => createProgress({ quiet });
