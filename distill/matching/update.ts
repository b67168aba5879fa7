/** @file The update of the synthetic set: SGD with momentum, guarded (DATM.md §5), on the device or on the host. */
import {
  abs,
  add,
  greater,
  greaterEqual,
  mul,
  sub,
  sum,
  variable,
  where,
  type Procedure,
  type Tensor,
} from "../../engine/index.ts";
import type { Recipe } from "../recipe.ts";
import type { SyntheticSet } from "./start.ts";
import { studentVariables, type StudentOptions } from "./student.ts";

/** A synthetic set with the learning rate α that was learned with it. */
export interface DistilledSet extends SyntheticSet {
  readonly lr: number;
}

/** Everything that an iteration changes. */
export interface SetState extends DistilledSet {
  readonly velocityImages: Float32Array<ArrayBuffer>;
  readonly velocityLabels: Float32Array<ArrayBuffer>;
  readonly velocityLr: number;
  /** Exponential average of the images, where there is one (FTD, arXiv 2211.11004). */
  readonly averageImages?: Float32Array<ArrayBuffer>;
}

/** The state in which a run begins. */
export function freshState(
  { images, labels }: SyntheticSet,
  { lr_teacher: lr, ema_decay: decay }: Recipe,
): SetState {
  return {
    images,
    labels,
    lr: Math.fround(lr),
    velocityImages: new Float32Array(images.length),
    velocityLabels: new Float32Array(labels.length),
    velocityLr: 0,
    ...(decay > 0 ? { averageImages: images } : {}),
  };
}

/** What an update did. */
export interface Update {
  /** Normalised matching loss L. */
  readonly loss: number;
  /** α after it. */
  readonly lr: number;
  /** False when L was above the threshold or anything was not finite: then nothing changed. */
  readonly accepted: boolean;
  /** Whether the loss and all gradients were finite. */
  readonly finite: boolean;
  /** Whether α stayed as it was because its step would have made it ≤ 0. */
  readonly held: boolean;
}

/** Beyond any value that training produces; NaN compares false with it. */
const FINITE = 1e30;

/** Settings of the update as variables `[]` of a program. */
export function updateSettings(recipe: Recipe): Record<string, number> {
  return {
    threshold: recipe.threshold,
    rateImages: recipe.lr_img,
    rateLabels: recipe.lr_y,
    rateLr: recipe.lr_lr,
    momentumImages: recipe.momentum_img,
    momentumLabels: recipe.momentum_y,
    momentumLr: recipe.momentum_lr,
    ...(recipe.ema_decay > 0 ? { decay: recipe.ema_decay } : {}),
  };
}

/**
 * SGD with momentum on images, label logits and α, all three only if L ≤ threshold and every gradient
 * is finite: v ← μ v + g, p ← p - lr v. α stays as it is where the step would make it ≤ 0. With
 * `average` the average of the images, a ← d a + (1 - d) x. `size` is Σ |g| over all gradients.
 */
export function updateProcedure(options: StudentOptions, average = false): Procedure {
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
  const positive = greater(lr.moved, 0);
  const old = variable("averageImages", v.images.shape);
  return {
    images: images.moved,
    velocityImages: images.next,
    labels: labels.moved,
    velocityLabels: labels.next,
    lr: where(positive, lr.moved, v.lr),
    velocityLr: lr.next,
    accepted,
    held: sub(1, positive),
    size,
    ...(average
      ? { averageImages: add(images.moved, mul(setting("decay"), sub(old, images.moved))) }
      : {}),
  };
}

/** What {@link updateProcedure} left of an iteration, as read from the device. */
export function updateOf(
  values: Readonly<Record<"loss" | "lr" | "accepted" | "held" | "size", number>>,
): Update {
  const { loss, lr, accepted, held, size } = values;
  const finite = Number.isFinite(loss) && size < FINITE;
  return { loss, lr, accepted: accepted === 1, finite, held: held === 1 };
}

/** Gradients of the loss, as {@link SetState} has the parameters. */
export interface Gradients {
  readonly images: Float32Array;
  readonly labels: Float32Array;
  readonly lr: number;
}

/** {@link updateProcedure} on the host: changes the arrays of `state` in place and returns what it is now. */
export function updateOnHost(
  state: SetState,
  gradients: Gradients,
  loss: number,
  recipe: Recipe,
): { state: SetState; update: Update } {
  const size = sizeOf(gradients.images) + sizeOf(gradients.labels) + Math.abs(gradients.lr);
  const finite = Number.isFinite(loss) && size < FINITE;
  const accepted = finite && loss <= Math.fround(recipe.threshold);
  const { averageImages: average, images } = state;
  let { lr, velocityLr } = state;
  let held = false;
  if (accepted) {
    step(images, state.velocityImages, gradients.images, recipe.lr_img, recipe.momentum_img);
    step(state.labels, state.velocityLabels, gradients.labels, recipe.lr_y, recipe.momentum_y);
    velocityLr = Math.fround(recipe.momentum_lr * velocityLr + gradients.lr);
    const moved = Math.fround(lr - recipe.lr_lr * velocityLr);
    held = !(moved > 0);
    if (!held) lr = moved;
  }
  if (average)
    for (let i = 0; i < average.length; i++)
      average[i] = images[i]! + recipe.ema_decay * (average[i]! - images[i]!);
  return { state: { ...state, lr, velocityLr }, update: { loss, lr, accepted, finite, held } };
}

function sizeOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += Math.abs(value);
  return sum;
}

/** v ← μ v + g, p ← p - rate v. */
function step(
  parameter: Float32Array,
  velocity: Float32Array,
  gradient: Float32Array,
  rate: number,
  momentum: number,
): void {
  for (let i = 0; i < parameter.length; i++) {
    velocity[i] = momentum * velocity[i]! + gradient[i]!;
    parameter[i] = parameter[i]! - rate * velocity[i]!;
  }
}
