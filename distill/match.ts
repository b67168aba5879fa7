/** @file The matching loop: start epochs, minibatches, threshold, momentum (DATM.md §5). */
import {
  abs,
  add,
  greater,
  greaterEqual,
  mul,
  Program,
  sub,
  sum,
  variable,
  where,
  type Gpu,
  type Procedure,
  type Random,
  type Tensor,
} from "../engine/index.ts";
import type { Model } from "../models/index.ts";
import type { Recipe } from "./recipe.ts";
import type { SyntheticSet } from "./start.ts";
import { drawRows } from "./augment.ts";
import { strategiesOf } from "./strategy.ts";
import { drawTable } from "./unroll.ts";
import { studentProcedures, studentVariables, type StudentOptions } from "./student.ts";
import type { TrajectoryBuffer } from "./trajectory.ts";

/** What one iteration did. */
export interface IterationRecord {
  /** From 1. */
  readonly iteration: number;
  /** Normalised matching loss L. */
  readonly loss: number;
  /** The student's learning rate α after the iteration. */
  readonly lr: number;
  readonly teacher: number;
  /** Epoch t that the student started from. */
  readonly start: number;
  /** False when L was above the threshold, or anything was not finite, and nothing changed. */
  readonly accepted: boolean;
}

/** A synthetic set with the learning rate that was learned with it. */
export interface DistilledSet extends SyntheticSet {
  readonly lr: number;
}

/** A run that cannot go on: nothing that it would produce could be used. */
export class DistillError extends Error {
  override readonly name = "DistillError";
}

/** Iterations in a row without an accepted one after which a run gives up. */
const PATIENCE = 200;
/** Beyond any value that training produces; NaN compares false with it. */
const FINITE = 1e30;

/**
 * SGD with momentum on images, label logits and α, all three only if L ≤ threshold and every gradient
 * is finite: v ← μ v + g, p ← p - lr v. α stays as it is where the step would make it ≤ 0.
 */
function updateProcedure(options: StudentOptions): Procedure {
  const v = studentVariables(options);
  const setting = (name: string): Tensor => variable(name, []);
  const sized = (g: Tensor): Tensor => sum(abs(g));
  const size = [v.gradImages, v.gradLabels, v.gradLr].map(sized).reduce((a, b) => add(a, b));
  const accepted = mul(
    greaterEqual(setting("threshold"), variable("loss", [])),
    greater(FINITE, size),
  );
  const step = (parameter: Tensor, g: Tensor, name: string) => {
    const velocity = variable(`velocity${name}`, parameter.shape);
    const next = where(accepted, add(mul(setting(`momentum${name}`), velocity), g), velocity);
    const moved = sub(parameter, mul(setting(`rate${name}`), next));
    return { next, moved: where(accepted, moved, parameter) };
  };
  const images = step(v.images, v.gradImages, "Images");
  const labels = step(v.labels, v.gradLabels, "Labels");
  const lr = step(v.lr, v.gradLr, "Lr");
  return {
    images: images.moved,
    velocityImages: images.next,
    labels: labels.moved,
    velocityLabels: labels.next,
    lr: where(greater(lr.moved, 0), lr.moved, v.lr),
    velocityLr: lr.next,
    accepted,
  };
}

/** Upper bound (exclusive) of the start epoch at an iteration, counted from 0: T_now of DATM.md §5. */
export function maxStartEpoch(recipe: Recipe, iteration: number): number {
  const {
    max_start_epoch: most,
    current_max_start_epoch: first,
    expansion_end_epoch: end,
  } = recipe;
  if (!recipe.sequential || first === undefined || end === undefined) return most;
  return Math.min(most, first + Math.floor(((most - first) * iteration) / end));
}

/**
 * Endless minibatches of a set: a random permutation is cut into chunks of `batch` from its front,
 * and used from the last chunk, so that a short one comes first; then comes a new permutation.
 */
export function* minibatchStream(count: number, batch: number, random: Random) {
  for (;;) {
    const order = random.permutation(count);
    const last = Math.floor((count - 1) / batch) * batch;
    for (let at = last; at >= 0; at -= batch) yield order.subarray(at, Math.min(at + batch, count));
  }
}

/** Teachers in shuffled order, shuffled anew when all have had their turn. */
function* teacherStream(count: number, random: Random): Generator<number, never> {
  for (;;) yield* random.permutation(count);
}

export interface MatchOptions {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly recipe: Recipe;
  readonly teachers: TrajectoryBuffer;
  readonly start: SyntheticSet;
  readonly random: Random;
  /** Called once, before the first iteration. */
  readonly onPlanned?: (memory: PlannedMemory) => void;
  /** Waited for after every iteration; `current` reads the set as the iteration has left it. */
  readonly onIteration?: (record: IterationRecord, current: () => Promise<DistilledSet>) => unknown;
}

/** Memory of a matching program in bytes, as planned. */
export type PlannedMemory = Program["memory"];

/** A student's program with everything that one iteration needs. */
export async function compileMatching(gpu: Gpu, options: StudentOptions): Promise<Program> {
  if (options.model.mixesSamples && options.images % options.batch !== 0)
    throw new DistillError(
      `batch_syn: must divide the ${options.images} images for a network with batch norm, got ${options.batch}`,
    );
  return Program.compile(gpu, {
    ...studentProcedures(options),
    update: updateProcedure(options),
  });
}

/**
 * Distils: `iterations` matching iterations from `start`.
 * @throws DistillError when batch_syn does not suit the set, or no iteration is accepted any more.
 */
export async function match(options: MatchOptions): Promise<DistilledSet> {
  const { gpu, model, recipe, teachers, start, random, onPlanned, onIteration } = options;
  const count = start.labels.length / model.task.classes;
  const { batch_syn: batch, syn_steps: steps } = recipe;
  if (batch > count)
    throw new DistillError(
      `batch_syn: must be at most the ${count} synthetic images, got ${batch}`,
    );
  const augmentation = strategiesOf(recipe).student;
  const sizes = { model, images: count, batch, steps, augmentation };
  using program = await compileMatching(gpu, sizes);
  onPlanned?.(program.memory);
  writeSettings(program, recipe, start);
  const current = async (): Promise<DistilledSet> => {
    const [images, labels, lr] = await program.read("images", "labels", "lr");
    return { images, labels, lr: lr[0]! };
  };
  const batches = minibatchStream(count, batch, random.stream("minibatches"));
  const order = teacherStream(teachers.count, random.stream("teachers"));
  const epochs = random.stream("start epochs");
  let rejected = 0;
  for (let iteration = 0; iteration < recipe.iterations; iteration++) {
    const teacher = order.next().value;
    const least = recipe.min_start_epoch;
    const epoch = least + epochs.below(maxStartEpoch(recipe, iteration) - least);
    program.write("start", teachers.snapshot(teacher, epoch));
    program.write("target", teachers.snapshot(teacher, epoch + recipe.expert_epochs));
    writeMinibatches(program, batches, steps, batch);
    if (augmentation.length > 0) {
      const { channels, size } = model.task;
      const shape = { channels, height: size, width: size };
      const draws = random.stream(`augmentation ${iteration}`);
      const rows = Array.from({ length: steps }, () => drawRows(augmentation, shape, batch, draws));
      program.write("draws", drawTable(sizes, rows));
    }
    for (const [procedure, times] of [
      ["begin", 1],
      ["step", steps],
      ["turn", 1],
      ["adjoint", steps],
      ["update", 1],
    ] as const)
      program.run(procedure, times);
    const [loss, lr, accepted] = await program.read("loss", "lr", "accepted");
    const record = {
      iteration: iteration + 1,
      loss: loss[0]!,
      lr: lr[0]!,
      teacher,
      start: epoch,
      accepted: accepted[0] === 1,
    };
    await onIteration?.(record, current);
    rejected = record.accepted ? 0 : rejected + 1;
    if (rejected >= PATIENCE) throw new DistillError(hopeless(record));
  }
  return await current();
}

function hopeless({ iteration, loss, start }: IterationRecord): string {
  const advice = "lower lr_img, lr_y or lr_teacher, or raise threshold";
  return `distill: some of the last ${PATIENCE} iterations must be accepted, got none up to iteration ${iteration} (start epoch ${start}, loss ${loss}); ${advice}`;
}

function writeSettings(program: Program, recipe: Recipe, start: SyntheticSet): void {
  const settings = {
    lr: recipe.lr_teacher,
    threshold: recipe.threshold,
    rateImages: recipe.lr_img,
    rateLabels: recipe.lr_y,
    rateLr: recipe.lr_lr,
    momentumImages: recipe.momentum_img,
    momentumLabels: recipe.momentum_y,
    momentumLr: recipe.momentum_lr,
    velocityLr: 0,
  };
  for (const [name, value] of Object.entries(settings)) program.write(name, Float32Array.of(value));
  program.write("images", start.images);
  program.write("labels", start.labels);
  program.write("velocityImages", new Float32Array(start.images.length));
  program.write("velocityLabels", new Float32Array(start.labels.length));
}

/** The next S minibatches; rows past a short one's end have weight 0. */
function writeMinibatches(
  program: Program,
  batches: Generator<Uint32Array>,
  steps: number,
  batch: number,
): void {
  const rows = new Uint32Array(steps * batch);
  const weights = new Float32Array(steps * batch);
  for (let s = 0; s < steps; s++) {
    const indices = batches.next().value as Uint32Array;
    rows.set(indices, s * batch);
    weights.fill(1 / indices.length, s * batch, s * batch + indices.length);
  }
  program.write("batches", rows);
  program.write("weights", weights);
}
