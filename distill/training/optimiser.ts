/** @file Optimisers as graphs: SGD as PyTorch has it, and GSAM's direction for it (DATM.md §3). */
import {
  abs,
  add,
  div,
  mul,
  sqrt,
  square,
  stored,
  sub,
  sum,
  type Tensor,
} from "../../engine/index.ts";

/** Settings of stochastic gradient descent, as PyTorch defines them. */
export interface SgdSettings {
  readonly lr: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

/** Settings of GSAM: how far the second gradient is taken from θ, and how much of the first is taken off. */
export interface GsamSettings {
  readonly rho: number;
  readonly alpha: number;
  /** Whether the way there is scaled by the parameters (ASAM). */
  readonly adaptive: boolean;
}

/** Keeps quotients of norms finite, as the published program does. */
const EPSILON = 1e-12;

const dot = (a: Tensor, b: Tensor): Tensor => sum(mul(a, b));
const norm = (a: Tensor): Tensor => sqrt(sum(square(a)));

/**
 * v ← μ v + (d + wd θ), θ ← θ - lr v for a direction d `[P]`, the gradient or what takes its place.
 * Settings are scalars `[]`.
 */
export function sgdStep(
  theta: Tensor,
  velocity: Tensor,
  direction: Tensor,
  { lr, momentum, weightDecay }: Readonly<Record<keyof SgdSettings, Tensor>>,
): { theta: Tensor; velocity: Tensor } {
  const next = add(mul(momentum, velocity), add(direction, mul(weightDecay, theta)));
  return { theta: sub(theta, mul(lr, next)), velocity: next };
}

/**
 * GSAM's direction d `[P]` at θ `[P]` (Zhuang et al. 2022, arXiv 2203.08065, as FTD's program has it):
 * g = ∇ℓ(θ), e = ρ g/‖g‖ or, adaptive, ρ θ² ⊙ g/‖|θ| ⊙ g‖, h = ∇ℓ(θ + e), d = h - α (g - (g·ĥ) ĥ).
 * What is taken off is the part of g across h: that narrows the gap between ℓ(θ + e) and ℓ(θ).
 * Norms are over all parameters together; ρ and α are scalars `[]`.
 */
export function gsamDirection(
  theta: Tensor,
  gradient: (theta: Tensor) => Tensor,
  { rho, alpha }: { readonly rho: Tensor; readonly alpha: Tensor },
  adaptive: boolean,
): Tensor {
  const g = gradient(theta);
  const size = norm(adaptive ? mul(abs(theta), g) : g);
  const way = adaptive ? mul(square(theta), g) : g;
  const h = gradient(stored(add(theta, mul(way, div(rho, add(size, EPSILON))))));
  const [gNorm, hNorm] = [norm(g), norm(h)];
  const cosine = div(dot(g, h), add(mul(gNorm, hNorm), EPSILON));
  const along = mul(h, div(mul(cosine, gNorm), add(hNorm, EPSILON)));
  return sub(h, mul(alpha, sub(g, along)));
}
