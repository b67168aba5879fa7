/**
 * @file The student: training steps on the synthetic set, and the exact gradient through them at
 * constant activation memory (DATM.md §5).
 *
 * Letters: N synthetic images in all, B in a minibatch, S steps, K classes, P parameters.
 * Three procedures share variables on the device. `step` runs S times and keeps θ_0 … θ_S in
 * `history`. `turn` computes the matching loss and μ_S. `adjoint` runs S times, last step first, and
 * needs nothing of a step but its θ_s: so memory holds one step's activations, whatever S is.
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
} from "../engine/index.ts";
import { joinParameters, splitParameters, type Model } from "../models/index.ts";

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
 * `batches` [S, B] u32 and `weights` [S, B] (minibatch s in row s), `theta` [P], `history` [S+1, P],
 * `mu` [P] (μ = -α λ), and the gradients `gradImages`, `gradLabels`, `gradLr` of the loss.
 */
export function studentVariables({ model, images, batch, steps }: StudentOptions) {
  const { channels, size, classes } = model.task;
  return {
    images: variable("images", [images, channels, size, size]),
    labels: variable("labels", [images, classes]),
    lr: variable("lr", []),
    start: variable("start", [model.size]),
    target: variable("target", [model.size]),
    batches: variable("batches", [steps, batch], "u32"),
    weights: variable("weights", [steps, batch]),
    theta: variable("theta", [model.size]),
    history: variable("history", [steps + 1, model.size]),
    mu: variable("mu", [model.size]),
    gradImages: variable("gradImages", [images, channels, size, size]),
    gradLabels: variable("gradLabels", [images, classes]),
    gradLr: variable("gradLr", []),
  };
}

type Variables = ReturnType<typeof studentVariables>;

/** The minibatch of step `s` (u32 []): images [B, C, H, W], label logits [B, K], weights [B], and its indices. */
function minibatch(v: Variables, s: Tensor) {
  const index = gather(v.batches, s);
  return {
    index,
    x: gather(v.images, index),
    y: gather(v.labels, index),
    w: gather(v.weights, s),
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

/** The procedures of a student: `begin`, `step`, `turn`, `adjoint`. */
export function studentProcedures(options: StudentOptions): Record<string, Procedure> {
  const { model } = options;
  const v = studentVariables(options);

  // θ_{s+1} = θ_s - α ∇_θ ℓ(f(θ_s, x), y)
  const s = repeat();
  const parameters = splitParameters(model, v.theta);
  const batch = minibatch(v, s);
  const loss = weightedSoftLoss(model.forward(parameters, batch.x), batch.y, batch.w);
  const next = sub(v.theta, mul(v.lr, joinParameters(grad(loss, parameters))));

  // L = ‖θ_S - θ*‖² / ‖θ_0 - θ*‖²,  μ_S = -α ∂L/∂θ_S
  const distance = sub(v.theta, v.target);
  const scale = sum(square(sub(v.start, v.target)));

  return {
    begin: {
      theta: v.start,
      history: setRow(v.history, full([], 0, "u32"), v.start),
      gradImages: full(v.images.shape, 0),
      gradLabels: full(v.labels.shape, 0),
      gradLr: full([], 0),
    },
    step: { theta: next, history: setRow(v.history, addIndex(s, 1), next) },
    turn: {
      loss: div(sum(square(distance)), scale),
      mu: div(mul(distance, mul(v.lr, -2)), scale),
    },
    adjoint: adjoint(v, options),
  };
}

/**
 * One step backwards. With λ_s = ∂L/∂θ_s and φ_s = λ_{s+1}ᵀ ∇_θ ℓ at θ_s:
 * ∂L/∂x += -α ∂φ/∂x, ∂L/∂y += -α ∂φ/∂y, ∂L/∂α += -φ, λ_s = λ_{s+1} - α ∂φ/∂θ.
 * All of it is linear in λ, so μ = -α λ is kept instead and φ is taken along μ: the gradients of x
 * and y are then added up as they come.
 */
function adjoint(v: Variables, { model, steps, gradient = "exact" }: StudentOptions): Procedure {
  const s = subIndex(full([], steps - 1, "u32"), repeat());
  const parameters = splitParameters(model, stored(gather(v.history, s)));
  const { index, x, y, w } = minibatch(v, s);
  const z = model.forward(parameters, x);
  const loss = weightedSoftLoss(z, y, w);
  const phi = directionalDerivative(loss, z, parameters, splitParameters(model, v.mu));
  const exact = gradient === "exact";
  const [dx, dy, ...dtheta] = grad(phi, exact ? [x, y, ...parameters] : [x, y]);
  return {
    gradImages: addRows(v.gradImages, index, dx!),
    gradLabels: addRows(v.gradLabels, index, dy!),
    gradLr: add(v.gradLr, div(phi, v.lr)),
    ...(exact ? { mu: sub(v.mu, mul(v.lr, joinParameters(dtheta))) } : {}),
  };
}
