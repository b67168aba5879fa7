/** @file What networks are made of, by composition: activations, norms, pools, losses. */
import { ShapeError, showShape } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import {
  add,
  div,
  equal,
  exp,
  greater,
  log,
  maximum,
  mul,
  neg,
  sqrt,
  stopGradient,
  sub,
  toFloat,
  where,
} from "./elementwise.ts";
import { broadcastTo, pad, reshape, slice } from "./layout.ts";
import { matmul } from "./matmul.ts";
import { max, mean, sum } from "./reduce.ts";
import { full, iota } from "./source.ts";

/** max(x, 0); derivative 0 at 0. */
export function relu(x: Tensor): Tensor {
  return where(greater(x, 0), x, 0);
}

/** x where positive, else slope · x. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  return where(greater(x, 0), x, mul(x, slope));
}

/** x² */
export function square(x: Tensor): Tensor {
  return mul(x, x);
}

/** ln Σ exp over the last axis, which is kept as size 1. The shift by the maximum cancels exactly. */
function logSumExp(x: Tensor): Tensor {
  const shift = stopGradient(max(x, [-1], true));
  return add(log(sum(exp(sub(x, shift)), [-1], true)), shift);
}

/** Logarithm of {@link softmax}. */
export function logSoftmax(x: Tensor): Tensor {
  return sub(x, logSumExp(x));
}

/** exp(x) / Σ exp(x) over the last axis. */
export function softmax(x: Tensor): Tensor {
  const e = exp(sub(x, stopGradient(max(x, [-1], true))));
  return div(e, sum(e, [-1], true));
}

/**
 * Cross-entropy of logits `[N, K]` with target probabilities `[N, K]`, mean over N:
 * -(1/N) Σ t · log softmax(z).
 * @throws ShapeError when the shapes differ.
 */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  if (logits.rank !== 2 || String(logits.shape) !== String(targets.shape))
    throw new ShapeError(
      `crossEntropy: logits and targets must both be [N, K], got ${showShape(logits.shape)} and ${showShape(targets.shape)}`,
    );
  return mul(neg(sum(mul(targets, logSoftmax(logits)))), 1 / logits.shape[0]!);
}

/** Cross-entropy of logits `[N, K]` with labels that are logits themselves `[N, K]` (DATM §3.2). */
export function softCrossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return crossEntropy(logits, softmax(labels));
}

/**
 * Class numbers `[N]` (u32) as rows `[N, K]` of one 1 and zeros.
 * @throws ShapeError when the labels are not of that form.
 */
export function oneHot(labels: Tensor, classes: number): Tensor {
  if (labels.dtype !== "u32" || labels.rank !== 1)
    throw new ShapeError(
      `oneHot: labels must be u32 [N], got ${labels.dtype} ${showShape(labels.shape)}`,
    );
  const shape = [labels.size, classes];
  return equal(
    broadcastTo(reshape(toFloat(labels), [labels.size, 1]), shape),
    broadcastTo(reshape(toFloat(iota(classes)), [1, classes]), shape),
  );
}

/** Cross-entropy of logits `[N, K]` with class numbers `[N]` (u32), mean over N. */
export function hardCrossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return crossEntropy(logits, oneHot(labels, logits.shape[1]!));
}

/**
 * x Wᵀ + b for x `[N, F]`, W `[K, F]`, b `[K]`.
 * @throws ShapeError when the feature counts differ.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const y = matmul(x, weight, { transposeB: true });
  return bias ? add(y, bias) : y;
}

/** (x - mean) / √(variance + eps) over `axes`; biased variance. */
export function standardise(x: Tensor, axes: readonly number[], eps = 1e-5): Tensor {
  const centred = sub(x, mean(x, axes, true));
  return div(centred, sqrt(add(mean(square(centred), axes, true), eps)));
}

/** A scale and a shift for each channel, `[C]`, of x `[N, C, H, W]`. */
function affine(x: Tensor, scale: Tensor, shift: Tensor): Tensor {
  const shape = [scale.size, 1, 1];
  return add(mul(x, reshape(scale, shape)), reshape(shift, shape));
}

/**
 * Group norm of x `[N, C, H, W]`: statistics over the channels of a group and all pixels.
 * One channel a group is instance norm.
 * @throws ShapeError when the groups do not divide the channels.
 */
export function groupNorm(
  x: Tensor,
  groups: number,
  scale: Tensor,
  shift: Tensor,
  eps = 1e-5,
): Tensor {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  if (x.rank !== 4 || c % groups !== 0)
    throw new ShapeError(
      `groupNorm: ${groups} groups must divide the channels of [N, C, H, W], got ${showShape(x.shape)}`,
    );
  if (groups === c) return affine(standardise(x, [2, 3], eps), scale, shift);
  const grouped = reshape(x, [n, groups, (c / groups) * h * w]);
  return affine(reshape(standardise(grouped, [2], eps), x.shape), scale, shift);
}

/** Instance norm of x `[N, C, H, W]`: statistics of each channel of each image. */
export function instanceNorm(x: Tensor, scale: Tensor, shift: Tensor, eps = 1e-5): Tensor {
  return groupNorm(x, x.shape[1] ?? 1, scale, shift, eps);
}

/** Mean and variance of each channel, `[C]` both. */
export interface Moments {
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/**
 * Mean and biased variance of each channel of x `[N, C, H, W]`, over all pixels of the batch. Images
 * count by `weights` `[N]`, which add up to 1; equally when absent. One of weight 0 is left out.
 * @throws ShapeError when x has not four axes, or there is not one weight an image.
 */
export function batchMoments(x: Tensor, weights?: Tensor): Moments {
  const [n, c] = x.shape as [number, number];
  if (x.rank !== 4 || (weights && (weights.rank !== 1 || weights.size !== n)))
    throw new ShapeError(
      `batchMoments: x must be [N, C, H, W] and weights [N], got ${showShape(x.shape)}${weights ? ` and ${showShape(weights.shape)}` : ""}`,
    );
  const average = (y: Tensor): Tensor =>
    weights ? sum(mul(mean(y, [2, 3]), reshape(weights, [n, 1])), [0]) : mean(y, [0, 2, 3]);
  const centre = average(x);
  return {
    mean: centre,
    variance: average(square(sub(x, reshape(centre, [c, 1, 1])))),
  };
}

/**
 * Batch norm of x `[N, C, H, W]`, by default with the statistics of the batch; evaluation of a trained
 * network gives those that were met in training.
 * @throws ShapeError when x has not four axes.
 */
export function batchNorm(
  x: Tensor,
  scale: Tensor,
  shift: Tensor,
  moments?: Moments,
  eps = 1e-5,
): Tensor {
  if (x.rank !== 4)
    throw new ShapeError(`batchNorm: x must be [N, C, H, W], got ${showShape(x.shape)}`);
  const { mean: centre, variance } = moments ?? batchMoments(x);
  const channel = [scale.size, 1, 1];
  const deviation = reshape(sqrt(add(variance, eps)), channel);
  return affine(div(sub(x, reshape(centre, channel)), deviation), scale, shift);
}

/**
 * Layer norm of x over its last axes, those of `scale` and `shift`.
 * @throws ShapeError when scale has not the shape of x's last axes.
 */
export function layerNorm(x: Tensor, scale: Tensor, shift: Tensor, eps = 1e-5): Tensor {
  const lead = x.rank - scale.rank;
  if (lead < 0 || scale.shape.some((n, i) => n !== x.shape[lead + i]))
    throw new ShapeError(
      `layerNorm: scale must have the shape of the last axes of x, got ${showShape(scale.shape)} and ${showShape(x.shape)}`,
    );
  const axes = scale.shape.map((_, i) => lead + i);
  return add(mul(standardise(x, axes, eps), scale), shift);
}

/** Window size, distance between windows (default: the size) and zeros around the image. */
export interface PoolOptions {
  readonly size: number;
  readonly stride?: number;
  readonly padding?: number;
}

/** Windows of a pool over x `[N, C, H, W]`: how many there are, and whether they tile the image. */
function windows(op: string, x: Tensor, { size, stride = size, padding = 0 }: PoolOptions) {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const i = Math.floor((h + 2 * padding - size) / stride) + 1;
  const j = Math.floor((w + 2 * padding - size) / stride) + 1;
  const whole = [size - 1, stride - 1, padding].every((n) => Number.isInteger(n) && n >= 0);
  if (x.rank !== 4 || !whole || !(i >= 1 && j >= 1) || 2 * padding > size)
    throw new ShapeError(
      `${op}: a window of ${size} with padding ${padding} must fit into [N, C, H, W], got ${showShape(x.shape)}`,
    );
  const tiles = stride === size && padding === 0 && h % size === 0 && w % size === 0;
  return { shape: [n, c, i, j], split: [n, c, i, size, j, size], tiles, stride, padding };
}

/**
 * The elements at each position of a window, one tensor `[N, C, I, J]` a position, row by row.
 * Windows that tile the image are cut out of split axes, which costs a kernel no arithmetic.
 */
function positions(op: string, x: Tensor, options: PoolOptions, outside: number): Tensor[] {
  const { shape, split, tiles, stride, padding } = windows(op, x, options);
  const [n, c, i, j] = shape as [number, number, number, number];
  const at = Array.from({ length: options.size ** 2 }, (_, k) => {
    return [Math.floor(k / options.size), k % options.size] as const;
  });
  if (tiles) {
    const cut = reshape(x, split);
    return at.map(([r, q]) =>
      reshape(slice(cut, [0, 0, 0, r, 0, q], [n, c, i, 1, j, 1]), [n, c, i, j]),
    );
  }
  const border = { before: [0, 0, padding, padding], after: [0, 0, padding, padding] };
  const padded = pad(x, border);
  const whole =
    padding > 0 && outside !== 0 ? where(pad(full(x.shape, 1), border), padded, outside) : padded;
  return at.map(([r, q]) => slice(whole, [0, 0, r, q], [n, c, i, j], [1, 1, stride, stride]));
}

/**
 * Mean over windows of x `[N, C, H, W]`; padding counts as zeros, as in PyTorch.
 * @throws ShapeError when no window fits.
 */
export function avgPool(x: Tensor, options: PoolOptions): Tensor {
  const { split, tiles } = windows("avgPool", x, options);
  if (tiles) return mean(reshape(x, split), [3, 5]);
  const parts = positions("avgPool", x, options, 0);
  return mul(
    parts.reduce((a, b) => add(a, b)),
    1 / parts.length,
  );
}

/**
 * Maximum over windows of x `[N, C, H, W]`. The derivative goes to the first of equal maxima;
 * padding never wins.
 * @throws ShapeError when no window fits.
 */
export function maxPool(x: Tensor, options: PoolOptions): Tensor {
  return positions("maxPool", x, options, -3.4e38).reduce((a, b) => maximum(a, b));
}
