/**
 * @file The student: training steps on the synthetic set, and the exact gradient through them at
 * constant activation memory (DATM.md §5).
 *
 * Letters: N synthetic images in all, B in a minibatch, M micro-batches of m images that make up a
 * minibatch, S steps, K classes, P parameters.
 * Procedures share variables on the device. `step` runs S times and keeps θ_0 … θ_S in `history`.
 * `turn` computes the matching loss and μ_S. `adjoint` runs S times, last step first, and needs
 * nothing of a step but its θ_s: so memory holds one step's activations, whatever S is.
 * Where samples do not mix, a step's gradients are sums over samples. With M > 1 `stepPart` and
 * `adjointPart` add them up, one micro-batch a repetition, and `step` and `adjoint` only use the sum:
 * then memory holds the activations of m images, whatever B is.
 */
import {
  add,
  addIndex,
  addRows,
  div,
  full,
  gather,
  grad,
  logSoftmax,
  mul,
  neg,
  repeat,
  reshape,
  setRow,
  softmax,
  square,
  stored,
  sub,
  subIndex,
  sum,
  variable,
  vjp,
  type Procedure,
  type Tensor,
} from "../../engine/index.ts";
import { joinParameters, splitParameters, type Model } from "../../models/index.ts";
import { augment, ROW } from "../training/augment.ts";
import type { Strategy } from "../training/strategy.ts";

/** How the gradient treats earlier steps: exactly, or as TESLA does, without the Hessian term. */
export type GradientKind = "exact" | "tesla";

export interface StudentOptions {
  readonly model: Model;
  /** N, images in the synthetic set. */
  readonly images: number;
  /** B, images in a minibatch. */
  readonly batch: number;
  /** S, steps of the student. */
  readonly steps: number;
  readonly gradient?: GradientKind;
  /** Operators that augment the images of a minibatch; none when absent. */
  readonly augmentation?: Strategy;
  /** m, images whose activations are held at once; B when absent. Fewer only where samples do not mix. */
  readonly micro?: number;
  /** Whether parameters have weights w in the matching loss: the variable `importance` [P]. */
  readonly weighted?: boolean;
  /** Whether the student may be matched at an earlier step than the last: adds `measure` and `recall`. */
  readonly nearest?: boolean;
  /** K, trajectories whose mean loss an iteration takes; 1 when absent. More of them add `again`. */
  readonly trajectories?: number;
}

/** M, and m made as small as M micro-batches allow, so that few of their rows are idle. */
export function partsOf({ batch, micro = batch }: Pick<StudentOptions, "batch" | "micro">) {
  const parts = Math.ceil(batch / micro);
  return { parts, micro: Math.ceil(batch / parts) };
}

/**
 * Soft cross-entropy of logits z `[B, K]` and label logits y `[B, K]`, weighted by w `[B]`:
 * ℓ = -Σ w · softmax(y) · log softmax(z). With w = 1/B it is DATM's loss; a weight 0 leaves a row out.
 */
export function weightedSoftLoss(z: Tensor, y: Tensor, w: Tensor): Tensor {
  const weights = reshape(w, [w.size, 1]);
  return neg(sum(mul(mul(softmax(y), weights), logSoftmax(z))));
}

/**
 * Variables of a student, by name:
 * `images` [N, C, H, W], `labels` [N, K] logits, `lr` [] (α), `start` and `target` [P] (θ_0, θ*),
 * `batches` [S·M, m] u32 and `weights` [S·M, m] (minibatch s in rows sM … sM + M - 1), `theta` [P],
 * `history` [S+1, P], `mu` [P] (μ = -α λ), and the gradients `gradImages`, `gradLabels`, `gradLr` of
 * the loss. Only with an augmentation: `draws` [S·M, m, ROW], rows as {@link augment} takes them, for
 * each of `batches`. Only with several micro-batches: `gradTheta` [P], the sum over those done.
 */
export function studentVariables(options: StudentOptions) {
  const { model, images, steps } = options;
  const { channels, size, classes } = model.task;
  const { parts, micro } = partsOf(options);
  return {
    images: variable("images", [images, channels, size, size]),
    labels: variable("labels", [images, classes]),
    lr: variable("lr", []),
    start: variable("start", [model.size]),
    target: variable("target", [model.size]),
    importance: variable("importance", [model.size]),
    batches: variable("batches", [steps * parts, micro], "u32"),
    weights: variable("weights", [steps * parts, micro]),
    draws: variable("draws", [steps * parts, micro, ROW]),
    theta: variable("theta", [model.size]),
    history: variable("history", [steps + 1, model.size]),
    mu: variable("mu", [model.size]),
    gradImages: variable("gradImages", [images, channels, size, size]),
    gradLabels: variable("gradLabels", [images, classes]),
    gradLr: variable("gradLr", []),
    gradTheta: variable("gradTheta", [model.size]),
  };
}

type Variables = ReturnType<typeof studentVariables>;

/**
 * The micro-batch in row `row` (u32 []) of the tables: images [m, C, H, W], what the network sees of
 * them (x), label logits [m, K], weights [m], and its indices.
 */
function minibatch(v: Variables, row: Tensor, augmentation: Strategy = []) {
  const index = gather(v.batches, row);
  const images = gather(v.images, index);
  return {
    index,
    images,
    x: augment(images, gather(v.draws, row), augmentation),
    y: gather(v.labels, index),
    w: gather(v.weights, row),
  };
}

/**
 * φ = ⟨∇_θ ℓ, λ⟩, the derivative of the loss along λ, as Σ ⟨∂ℓ/∂z, ż⟩ with ż = (∂z/∂θ) λ: no weight
 * gradient is needed for it. ż comes from differentiating the vector-Jacobian product of z, which is
 * linear in its cotangent, with respect to that cotangent.
 */
function directionalDerivative(
  loss: Tensor,
  z: Tensor,
  parameters: readonly Tensor[],
  lambda: readonly Tensor[],
): Tensor {
  const cotangent = full(z.shape, 0);
  const pulled = vjp(z, parameters, cotangent);
  const along = pulled.map((p, i) => sum(mul(p, lambda[i]!))).reduce((a, b) => add(a, b));
  const [tangent] = grad(along, [cotangent]);
  const [dz] = grad(loss, [z]);
  return sum(mul(dz!, tangent!));
}

/** ∇_θ ℓ [P] on the micro-batch in `row`, at θ. */
function gradient(v: Variables, options: StudentOptions, theta: Tensor, row: Tensor): Tensor {
  const { model, augmentation } = options;
  const parameters = splitParameters(model, theta);
  const { x, y, w } = minibatch(v, row, augmentation);
  return joinParameters(grad(weightedSoftLoss(model.forward(parameters, x), y, w), parameters));
}

/**
 * What the micro-batch in `row` adds to the gradients, at θ_s = `theta`. With λ = ∂L/∂θ_{s+1} and
 * φ = λᵀ ∇_θ ℓ: ∂L/∂x += -α ∂φ/∂x, ∂L/∂y += -α ∂φ/∂y, ∂L/∂α += -φ, and `curvature` = -α ∂φ/∂θ [P]
 * unless TESLA's approximation leaves it out. All of it is linear in λ, so μ = -α λ is kept instead
 * and φ is taken along μ: the gradients of x and y are then added up as they come. What the network saw
 * is affine in the images, so their gradient is one transposed map of that of x.
 */
function backwards(v: Variables, options: StudentOptions, theta: Tensor, row: Tensor) {
  const { model, gradient: kind = "exact", augmentation } = options;
  const parameters = splitParameters(model, theta);
  const { index, images, x, y, w } = minibatch(v, row, augmentation);
  const z = model.forward(parameters, x);
  const loss = weightedSoftLoss(z, y, w);
  const phi = directionalDerivative(loss, z, parameters, splitParameters(model, v.mu));
  const exact = kind === "exact";
  const [dx, dy, ...dtheta] = grad(phi, exact ? [images, y, ...parameters] : [images, y]);
  return {
    gradients: {
      gradImages: addRows(v.gradImages, index, dx!),
      gradLabels: addRows(v.gradLabels, index, dy!),
      gradLr: add(v.gradLr, div(phi, v.lr)),
    },
    curvature: exact ? joinParameters(dtheta) : undefined,
  };
}

/** Steps forwards and backwards on whole minibatches. */
function wholeSteps(v: Variables, options: StudentOptions): Record<string, Procedure> {
  const { steps } = options;
  const s = repeat();
  const next = sub(v.theta, mul(v.lr, gradient(v, options, v.theta, s)));
  const back = subIndex(full([], steps - 1, "u32"), repeat());
  const theta = stored(gather(v.history, back));
  const { gradients, curvature } = backwards(v, options, theta, back);
  return {
    step: { theta: next, history: setRow(v.history, addIndex(s, 1), next) },
    adjoint: {
      ...gradients,
      ...(curvature ? { mu: sub(v.mu, mul(v.lr, curvature)) } : {}),
    },
  };
}

/** Steps in parts: each part adds its share to `gradTheta`, which the step uses up. */
function stepsInParts(v: Variables, options: StudentOptions): Record<string, Procedure> {
  const { model, steps } = options;
  const { parts } = partsOf(options);
  const none = full([model.size], 0);
  const next = sub(v.theta, mul(v.lr, v.gradTheta));
  const back = subIndex(full([], steps * parts - 1, "u32"), repeat());
  const { gradients, curvature } = backwards(v, options, v.theta, back);
  return {
    stepPart: { gradTheta: add(v.gradTheta, gradient(v, options, v.theta, repeat())) },
    step: {
      theta: next,
      history: setRow(v.history, addIndex(repeat(), 1), next),
      gradTheta: none,
    },
    adjointPart: {
      ...gradients,
      ...(curvature ? { gradTheta: add(v.gradTheta, curvature) } : {}),
    },
    ...(curvature ? { adjoint: { mu: sub(v.mu, mul(v.lr, v.gradTheta)), gradTheta: none } } : {}),
  };
}

/**
 * The procedures of a student, as {@link runStudent} runs them: `begin`, `step`, `turn`, `adjoint`;
 * with several micro-batches `stepPart`, `adjointPart` and `recall` too, and with `nearest` `measure`
 * and `recall`. Repetition r of `recall` sets θ to θ_r. With several trajectories `begin` is for the
 * first and `again` for the others: `turn` then adds a K-th of a loss to `loss`, and gradients, which
 * are linear in μ, become those of the mean.
 */
export function studentProcedures(options: StudentOptions): Record<string, Procedure> {
  const { model, weighted = false, nearest = false, trajectories = 1 } = options;
  const v = studentVariables(options);
  const { parts } = partsOf(options);
  if (parts > 1 && model.mixesSamples)
    throw new RangeError(
      `micro_batch: must be batch_syn (${options.batch}) for a network with batch norm, got ${partsOf(options).micro}`,
    );
  const squares = (a: Tensor, axes?: number[]): Tensor => {
    const all = square(sub(a, v.target));
    return sum(weighted ? mul(all, v.importance) : all, axes);
  };

  // L = Σ w (θ_S - θ*)² / Σ w (θ_0 - θ*)²,  μ_S = -α ∂L/∂θ_S
  const scale = squares(v.start);
  const distance = sub(v.theta, v.target);
  const pull = weighted ? mul(distance, v.importance) : distance;
  const begun = {
    theta: v.start,
    history: setRow(v.history, full([], 0, "u32"), v.start),
    ...(parts > 1 ? { gradTheta: full([model.size], 0) } : {}),
  };
  const several = trajectories > 1;
  const loss = variable("loss", []);
  const own = div(squares(v.theta), scale);
  return {
    begin: {
      ...begun,
      gradImages: full(v.images.shape, 0),
      gradLabels: full(v.labels.shape, 0),
      gradLr: full([], 0),
      ...(several ? { loss: full([], 0) } : {}),
    },
    ...(several ? { again: begun } : {}),
    ...(parts > 1 ? stepsInParts(v, options) : wholeSteps(v, options)),
    ...(parts > 1 || nearest ? { recall: { theta: gather(v.history, repeat()) } } : {}),
    ...(nearest ? { measure: { distances: squares(v.history, [1]) } } : {}),
    turn: {
      loss: several ? add(loss, div(own, trajectories)) : own,
      mu: div(mul(pull, mul(v.lr, -2 / trajectories)), scale),
    },
  };
}
