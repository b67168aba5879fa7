/** @file The order in which a student's procedures run: its steps forwards, then backwards. */
import type { Program } from "../../engine/index.ts";
import { ROW } from "../training/augment.ts";
import { partsOf, type StudentOptions } from "./student.ts";

/** Repetitions `first` … `first + times - 1` of a procedure. */
export interface Run {
  readonly procedure: string;
  readonly times: number;
  readonly first: number;
  /** Row of the tables of minibatches that a repetition reads, if it reads one. */
  readonly row?: (repetition: number) => number;
  /** Whether it adds to the gradients of images and labels. */
  readonly adds?: boolean;
}

type Sizes = Pick<StudentOptions, "batch" | "micro" | "steps" | "gradient">;

const once = (procedure: string, first = 0): Run => ({ procedure, times: 1, first });

/** From θ_0 to θ_S, on the first trajectory of an iteration or on another. */
export function forwards(options: Sizes, trajectory = 0): Run[] {
  const { steps } = options;
  const { parts } = partsOf(options);
  const row = (repetition: number): number => repetition;
  const begin = once(trajectory === 0 ? "begin" : "again");
  if (parts === 1) return [begin, { procedure: "step", times: steps, first: 0, row }];
  const runs = [begin];
  for (let s = 0; s < steps; s++)
    runs.push({ procedure: "stepPart", times: parts, first: s * parts, row }, once("step", s));
  return runs;
}

/** From the loss at θ_e, `end` = e, back to θ_0; `turn` has run. */
export function backwards(options: Sizes, end = options.steps): Run[] {
  const { steps, gradient = "exact" } = options;
  const { parts } = partsOf(options);
  const row = (repetition: number): number => steps * parts - 1 - repetition;
  const skipped = steps - end;
  if (parts === 1) return [{ procedure: "adjoint", times: end, first: skipped, row, adds: true }];
  const runs: Run[] = [];
  for (let s = end - 1; s >= 0; s--) {
    const first = (steps - 1 - s) * parts;
    const part = { procedure: "adjointPart", times: parts, first, row, adds: true };
    runs.push(once("recall", s), part);
    if (gradient === "exact") runs.push(once("adjoint"));
  }
  return runs;
}

/** Queues runs on a program that holds the whole set. */
export function runAll(program: Program, runs: readonly Run[]): void {
  for (const { procedure, times, first } of runs) program.run(procedure, times, { first });
}

/** Minibatches as the tables `batches` and `weights` [S·M, m]: the rows past a short one's end have weight 0. */
export function minibatchTables(options: Sizes, minibatches: readonly ArrayLike<number>[]) {
  const { parts, micro } = partsOf(options);
  const width = parts * micro;
  const batches = new Uint32Array(options.steps * width);
  const weights = new Float32Array(options.steps * width);
  minibatches.forEach((indices, s) => {
    batches.set(indices, s * width);
    weights.fill(1 / indices.length, s * width, s * width + indices.length);
  });
  return { batches, weights };
}

/** The minibatches' augmentations, `[B, ROW]` each, as the table `draws` [S·M, m, ROW]. */
export function drawTable(
  options: Sizes,
  draws: readonly Float32Array[],
): Float32Array<ArrayBuffer> {
  const { parts, micro } = partsOf(options);
  const width = parts * micro * ROW;
  const table = new Float32Array(options.steps * width);
  draws.forEach((rows, s) => table.set(rows, s * width));
  return table;
}
