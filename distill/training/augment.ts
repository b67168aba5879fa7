/**
 * @file DSA, differentiable augmentation (Zhao and Bilen 2021, arXiv 2102.08259; DATM.md §6): one operator
 * for a batch, with draws of its own for each image.
 *
 * Every operator is affine in the image once it is drawn, so all of them are one graph, and an image's
 * augmentation is a row of numbers in it, an input like any other: nothing is compiled again for another
 * draw, and the parts of operators that were not drawn are neutral. Letters: B images in a minibatch.
 */
import {
  add,
  greaterEqual,
  iota,
  mean,
  mul,
  resample,
  reshape,
  slice,
  sub,
  toFloat,
  type Random,
  type Tensor,
} from "../../engine/index.ts";
import type { ImageShape } from "../data/dataset.ts";
import type { Operator, Strategy } from "./strategy.ts";

/** Numbers of one image's augmentation. */
export const ROW = 12;

/** Where they are in its row. */
const MAP = 0;
const COLOUR = 6;
const HOLE = 10;

/** How far DSA goes. */
const RATIO = { brightness: 1, saturation: 2, contrast: 0.5, crop: 0.125, cutout: 0.5, scale: 1.2 };
const DEGREES = 15;

/** A side of the part that an operator takes of a side. */
const part = (side: number, ratio: number): number => Math.floor(side * ratio + 0.5);

/** Draws of each operator for one image; those of real numbers are uniform in [0, 1). */
const DRAWS: Readonly<Record<Operator, (random: Random, shape: ImageShape) => number[]>> = {
  color: (random) => [random.uniform(), random.uniform(), random.uniform()],
  crop: (random, { height, width }) =>
    [height, width].map((side) => {
      const most = part(side, RATIO.crop);
      return random.below(2 * most + 1) - most;
    }),
  // The centre of an even number of pixels is between two of them, or at the image's edge.
  cutout: (random, { height, width }) =>
    [height, width].map((side) => random.below(side + 1 - (part(side, RATIO.cutout) % 2))),
  flip: (random) => [random.uniform()],
  scale: (random) => [random.uniform(), random.uniform()],
  rotate: (random) => [random.uniform()],
};

/** The row of an image that stays as it is. */
function neutral({ height }: ImageShape): number[] {
  return [1, 0, 0, 0, 1, 0, 1, 0, 0, 0, height, 0];
}

/**
 * The row `[ROW]` of an operator's draws for one image: brightness, saturation and contrast for `color`;
 * rows and columns to shift by for `crop`; row and column of the centre for `cutout`; horizontal and
 * vertical for `scale`.
 */
export function rowOf(operator: Operator, draws: readonly number[], shape: ImageShape): number[] {
  const row = neutral(shape);
  const { height, width } = shape;
  const [u, v, w] = draws as [number, number, number];
  /** Rows and columns that row and column of the result depend on, and their shifts. */
  const map = (...entries: [number, number, number, number, number, number]): void => {
    row.splice(MAP, 6, ...entries);
  };
  switch (operator) {
    case "color": {
      const brightness = (u - 0.5) * RATIO.brightness;
      const saturation = v * RATIO.saturation;
      const contrast = w + RATIO.contrast;
      const pixel = contrast * saturation;
      row.splice(COLOUR, 4, pixel, contrast - pixel, 1 - contrast, brightness);
      break;
    }
    case "crop":
      map(1, 0, u, 0, 1, v);
      break;
    case "cutout":
      row[HOLE] = u - Math.floor(part(height, RATIO.cutout) / 2);
      row[HOLE + 1] = v - Math.floor(part(width, RATIO.cutout) / 2);
      break;
    case "flip":
      map(1, 0, 0, 0, u < 0.5 ? -1 : 1, 0);
      break;
    case "scale": {
      const factor = (draw: number): number =>
        draw * (RATIO.scale - 1 / RATIO.scale) + 1 / RATIO.scale;
      map(factor(v), 0, 0, 0, factor(u), 0);
      break;
    }
    case "rotate": {
      const angle = ((u - 0.5) * 2 * DEGREES * Math.PI) / 180;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      // Sides count as equally long, whatever they are in pixels.
      const [tall, wide] = [height - 1, width - 1];
      map(cos, wide > 0 ? (sin * tall) / wide : 0, 0, tall > 0 ? (-sin * wide) / tall : 0, cos, 0);
      break;
    }
  }
  return row;
}

/** Rows `[B, ROW]` of a batch: one operator, drawn from the strategy, for all of it. */
export function drawRows(
  strategy: Strategy,
  shape: ImageShape,
  batch: number,
  random: Random,
): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(batch * ROW);
  const operator = strategy[random.below(strategy.length)];
  for (let b = 0; b < batch; b++)
    rows.set(
      operator ? rowOf(operator, DRAWS[operator](random, shape), shape) : neutral(shape),
      b * ROW,
    );
  return rows;
}

/**
 * Images x `[B, C, H, W]` augmented by `rows` `[B, ROW]`, of operators of the strategy. Rows are constant to
 * derivatives. In order: colour, α x + β (mean over channels) + γ (mean over the image) + δ; cutout, a
 * product with zeros and ones; and an affine map of the pixels.
 */
export function augment(x: Tensor, rows: Tensor, strategy: Strategy): Tensor {
  const [batch, , height, width] = x.shape as [number, number, number, number];
  const number = (at: number): Tensor =>
    reshape(slice(rows, [0, at], [batch, 1]), [batch, 1, 1, 1]);
  const has = (...some: readonly Operator[]): boolean => some.some((o) => strategy.includes(o));
  let y = x;
  if (has("color")) {
    const [pixel, channels, image, shift] = [0, 1, 2, 3].map((k) => number(COLOUR + k));
    const across = mul(channels!, mean(x, [1], true));
    const level = add(mul(image!, mean(x, [1, 2, 3], true)), shift!);
    y = add(add(mul(pixel!, x), across), level);
  }
  if (has("cutout")) {
    const inside = (side: number, shape: readonly number[], first: Tensor): Tensor => {
      const from = sub(reshape(toFloat(iota(side)), shape), first);
      return mul(greaterEqual(from, 0), greaterEqual(part(side, RATIO.cutout) - 1, from));
    };
    const rowsIn = inside(height, [height, 1], number(HOLE));
    const columnsIn = inside(width, [1, width], number(HOLE + 1));
    y = mul(y, sub(1, mul(rowsIn, columnsIn)));
  }
  if (has("crop", "flip", "scale", "rotate"))
    y = resample(y, reshape(slice(rows, [0, MAP], [batch, 6]), [batch, 2, 3]));
  return y;
}
