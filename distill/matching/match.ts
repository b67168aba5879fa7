/** @file The matching loop: what one iteration does, which sets are kept, and where a run can go on (DATM.md §5). */
import type { Gpu, Memory, Random } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { BestSet, type BestState, type KeptSet, type Score } from "./best.ts";
import { depthMask, withoutNearest } from "./masks.ts";
import { parseBytes } from "./memory.ts";
import { openPlace, type Place } from "./place.ts";
import {
  adviseOnMemory,
  DistillError,
  placementOf,
  type MatchingOptions,
  type Placement,
} from "./placement.ts";
import type { Recipe } from "../recipe.ts";
import { drawTrajectories, type Draws } from "./schedule.ts";
import type { SyntheticSet } from "./start.ts";
import { strategiesOf } from "../training/strategy.ts";
import { backwards, forwards } from "./unroll.ts";
import { freshState, type DistilledSet, type SetState, type Update } from "./update.ts";

export type { KeptSet, Score } from "./best.ts";
export { DistillError } from "./placement.ts";
export type { DistilledSet } from "./update.ts";
export type { Memory as PlannedMemory } from "../../engine/index.ts";

/** What one iteration did. */
export interface IterationRecord {
  /** From 1. */
  readonly iteration: number;
  /** Normalised matching loss L, the mean of those of its trajectories. */
  readonly loss: number;
  /** The student's learning rate α after the iteration. */
  readonly lr: number;
  readonly teacher: number;
  /** Epoch t that the student started from. */
  readonly start: number;
  /** Teachers and start epochs of its other trajectories. */
  readonly others?: readonly { readonly teacher: number; readonly start: number }[];
  /** False when L was above the threshold, or anything was not finite, and nothing changed. */
  readonly accepted: boolean;
  /** The student's step that was matched, where it may be an earlier one than the last. */
  readonly step?: number;
  /** True when α stayed as it was because its step would have made it ≤ 0. */
  readonly held?: true;
  /** What went wrong with the numbers, and what may help. */
  readonly problem?: string;
}

/** Everything that a run needs to go on after an iteration, with the same bits as if it had never stopped. */
export interface MatchState extends SetState, BestState {
  /** Iterations done. */
  readonly iteration: number;
  /** Iterations since the last accepted one. */
  readonly rejected: number;
}

/** Trajectories to match. */
export interface Teachers {
  readonly count: number;
  /** The parameters `[P]` of a teacher after `epoch` epochs. */
  snapshot(teacher: number, epoch: number): Float32Array<ArrayBuffer>;
}

/** What {@link match} is given. */
export interface MatchOptions {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly recipe: Recipe;
  readonly teachers: Teachers;
  /** Whether teachers have snapshots between epochs too, as convexified ones do (MCT). */
  readonly continuous?: boolean;
  readonly start: SyntheticSet;
  /** The same for a run that is resumed. */
  readonly random: Random;
  /** The state to go on from, in place of the beginning. */
  readonly resume?: MatchState | undefined;
  /** Called once, before the first iteration. */
  readonly onPlanned?: (memory: Memory) => void;
  /** Waited for after every iteration; `current` reads the set as the iteration has left it. */
  readonly onIteration?: (record: IterationRecord, current: () => Promise<DistilledSet>) => unknown;
  /** Evaluates a set every `eval_every` iterations, for the best one to be chosen by. */
  readonly score?: Score | undefined;
  /** Is given the state after every iteration that `isCheckpoint` names, the last, and one that is stopped at. */
  readonly onCheckpoint?: (state: MatchState) => void | Promise<void>;
  /** Whether the state after an iteration is wanted. */
  readonly isCheckpoint?: (iteration: number) => boolean;
  /** Stops the run after an iteration; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** The sets that a run ends with. */
export interface Matched {
  /** After the last iteration. */
  readonly last: KeptSet;
  /** See `BestSet`. */
  readonly best: KeptSet;
  /** The one of them that the recipe keeps. */
  readonly kept: KeptSet;
}

/** Iterations in a row without an accepted one after which a run gives up. */
const PATIENCE = 200;

/** What a recipe asks of the student, for a set of so many images. */
export function matchingOptions(model: Model, recipe: Recipe, images: number): MatchingOptions {
  return {
    ...{ model, images, batch: recipe.batch_syn, steps: recipe.syn_steps },
    gradient: recipe.gradient,
    augmentation: strategiesOf(recipe).student,
    weighted: recipe.pad_ratio > 0 || recipe.edf_ratio > 0,
    nearest: recipe.att,
    average: recipe.ema_decay > 0,
    trajectories: recipe.trajectories,
    ...(recipe.micro_batch === undefined ? {} : { micro: recipe.micro_batch }),
  };
}

/**
 * Where a run's memory will be on an adapter, or on any desktop adapter.
 * @throws DistillError where batch_syn does not suit the set, or nothing fits.
 */
export function planMatching(
  model: Model,
  recipe: Recipe,
  images: number,
  facts?: Gpu["facts"],
): Placement {
  const { batch_syn: batch, memory, micro_batch: micro = batch } = recipe;
  if (batch > images)
    throw new DistillError(
      `batch_syn: must be at most the ${images} synthetic images, got ${batch}`,
    );
  if (model.mixesSamples && images % batch !== 0)
    throw new DistillError(
      `batch_syn: must divide the ${images} images for a network with batch norm, got ${batch}`,
    );
  if (model.mixesSamples && micro < batch)
    throw new DistillError(
      `micro_batch: must be batch_syn (${batch}) for a network with batch norm, got ${micro}`,
    );
  const bytes = memory === undefined ? undefined : parseBytes(memory);
  return placementOf(matchingOptions(model, recipe, images), { memory: bytes, facts });
}

/**
 * Distils: `iterations` matching iterations from `start`, or those that are left of a resumed run.
 * @throws DistillError when no iteration is accepted any more, or the adapter is out of memory; throws as
 * `planMatching`.
 */
export async function match(options: MatchOptions): Promise<Matched> {
  const { gpu, model, recipe, teachers, random, resume } = options;
  const { onPlanned, onIteration, onCheckpoint, isCheckpoint, signal } = options;
  const { continuous = false } = options;
  const images = options.start.labels.length / model.task.classes;
  const placement = planMatching(model, recipe, images, gpu.facts);
  const wanted = matchingOptions(model, recipe, images);
  const sizes = { ...wanted, micro: placement.micro };
  using place = await openPlace(gpu, sizes, recipe, placement.resident).catch((error: unknown) => {
    throw adviseOnMemory(error, placement, wanted, gpu.facts);
  });
  onPlanned?.(place.program.memory);
  place.load(resume ?? freshState(options.start, recipe));
  const best = new BestSet(comparisons(recipe), options.score, resume);
  const { channels, size } = model.task;
  const shape = { channels, height: size, width: size };
  const drawn = { recipe, teachers: teachers.count, images, shape, continuous, random };
  const current = (): Promise<DistilledSet> => place.set();
  let rejected = resume?.rejected ?? 0;
  for (let done = resume?.iteration ?? 0; done < recipe.iterations;) {
    const trajectories = drawTrajectories(drawn, done);
    place.begin();
    const steps: number[] = [];
    for (const [i, { teacher, start, ...draws }] of trajectories.entries()) {
      const theta = teachers.snapshot(teacher, start);
      const target = teachers.snapshot(teacher, start + recipe.expert_epochs);
      place.setMinibatches(draws);
      steps.push(await follow(place, recipe, i, theta, target));
    }
    const update = await place.update();
    const [{ teacher, start }, ...more] = trajectories as [Draws, ...Draws[]];
    const others = more.map(({ teacher, start }) => ({ teacher, start }));
    const at = {
      ...{ iteration: ++done, teacher, start },
      ...(others.length > 0 ? { others } : {}),
      ...(recipe.att ? { step: steps[0]! } : {}),
    };
    const record = recordOf(at, update);
    await onIteration?.(record, current);
    rejected = update.accepted ? 0 : rejected + 1;
    if (rejected >= PATIENCE) throw new DistillError(hopeless(record));
    await best.after(done, update.loss, current);
    const stops = signal?.aborted === true || done === recipe.iterations;
    if (onCheckpoint && (stops || isCheckpoint?.(done) === true))
      await onCheckpoint({ ...(await place.state()), ...best.state, iteration: done, rejected });
    signal?.throwIfAborted();
  }
  const last = { ...(await current()), iteration: recipe.iterations };
  const chosen = best.state.best ?? last;
  return { last, best: chosen, kept: recipe.keep === "best" ? chosen : last };
}

/** When sets are compared. */
function comparisons({ iterations, eval_every: interval, ...recipe }: Recipe) {
  const from = recipe.sequential ? (recipe.expansion_end_epoch ?? 0) : 0;
  return { iterations, interval, from };
}

/**
 * Adds up the gradients of an iteration's trajectory number `i` from θ_0 = `start` on the minibatches
 * that are set; returns the step that is matched.
 */
async function follow(
  place: Place,
  recipe: Recipe,
  i: number,
  start: Float32Array<ArrayBuffer>,
  target: Float32Array<ArrayBuffer>,
): Promise<number> {
  const { program, options } = place;
  program.write("start", start);
  program.write("target", target);
  const mask = options.weighted ? depthMask(start.length, recipe.pad_ratio) : undefined;
  if (mask) program.write("importance", mask);
  await place.run(forwards(options, i));
  const step = options.nearest ? await goToNearest(place) : options.steps;
  if (mask && recipe.edf_ratio > 0) {
    const [theta] = await program.read("theta");
    program.write("importance", withoutNearest(mask, theta, target, recipe.edf_ratio));
  }
  program.run("turn");
  await place.run(backwards(options, step));
  return step;
}

/**
 * Takes the student to the step, after the first, at which it is nearest to the target, and returns
 * that step: it is matched there (ATT, Liu et al. 2024, arXiv 2407.14245).
 */
async function goToNearest({ program, options }: Place): Promise<number> {
  program.run("measure");
  const [distances] = await program.read("distances");
  let step = options.steps;
  for (let s = options.steps - 1; s >= 1; s--) if (distances[s]! < distances[step]!) step = s;
  program.run("recall", 1, { first: step });
  return step;
}

function recordOf(
  at: Pick<IterationRecord, "iteration" | "teacher" | "start" | "others" | "step">,
  { loss, lr, accepted, finite, held }: Update,
): IterationRecord {
  const { iteration, teacher, start } = at;
  const problem = `distill: loss and gradients must be finite, got others in iteration ${iteration} (teacher ${teacher}, start epoch ${start}, loss ${loss}); lower lr_lr, lr_img or lr_teacher`;
  return {
    ...{ ...at, loss, lr, accepted },
    ...(held ? { held } : {}),
    ...(finite ? {} : { problem }),
  };
}

function hopeless({ iteration, loss, start }: IterationRecord): string {
  const advice = "lower lr_img, lr_y or lr_teacher, or raise threshold";
  return `distill: some of the last ${PATIENCE} iterations must be accepted, got none up to iteration ${iteration} (start epoch ${start}, loss ${loss}); ${advice}`;
}
