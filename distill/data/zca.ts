/**
 * @file ZCA whitening (DATM.md §1): W = (Σ + eps I)^(-1/2) of the training images' covariance Σ, and
 * images through it. All of it is matrix products, so the device does it; an eigen-decomposition of a
 * few thousand dimensions would take minutes. Letters: n images, m of them at once, D = C·H·W.
 */
import {
  abs,
  add,
  div,
  full,
  gather,
  iota,
  matmul,
  max,
  mul,
  oneHot,
  Program,
  repeat,
  reshape,
  showBytes,
  sqrt,
  square,
  sub,
  sum,
  transpose,
  variable,
  type Gpu,
  type Procedure,
  type Tensor,
} from "../../engine/index.ts";
import { DataError, type ImageShape, type Split } from "./dataset.ts";
import type { Whitening } from "./preprocess.ts";

/** Published for every data set. */
export const ZCA_EPS = 0.1;

/** Images that the device takes at once. */
const ROWS = 1024;

/**
 * Terms that are added up one after the other. Neighbours among pixels are nearly equal, so that
 * roundings of a longer sum do not cancel: with 3072 terms the largest eigenvalue is off by 6e-4.
 */
const TERMS = 256;

/** Distance from convergence, relative, at which one more step leaves nothing but rounding: it is squared. */
const NEAR = 1e-4;
/** Steps at most. About 13 are needed; one more for every factor 9/4 between largest eigenvalue and eps. */
const STEPS = 40;
const USUAL_STEPS = 13;

export interface FitOptions {
  /** Added to every eigenvalue of the covariance; 0.1 when absent. */
  readonly eps?: number | undefined;
  /** Is told which part of the work is done, 0..1. */
  readonly report?: (part: number) => void;
}

/** Throws `DataError` where an adapter can't bind a matrix of so many rows and columns. */
function checkMatrix({ facts }: Gpu, width: number): void {
  const bytes = 4 * width ** 2;
  const most = facts.limits["maxStorageBufferBindingSize"] ?? Infinity;
  if (bytes > most)
    throw new DataError(
      `zca: an adapter must bind ${showBytes(bytes)} at once to whiten images of ${width} values, got ${facts.name} with ${showBytes(most)}`,
    );
}

/** Numbers of `length` images from `start` on. */
const numbers = (start: number, length: number): number[] =>
  Array.from({ length }, (_, i) => start + i);

/** Runs of at most `most` images. */
function* runsOf(count: number, most: number): Generator<readonly [start: number, length: number]> {
  for (let start = 0; start < count; start += most) yield [start, Math.min(most, count - start)];
}

/** Mean image `[D]` of a split, summed in float64. */
function meanImage(split: Split, size: number): Float32Array<ArrayBuffer> {
  const total = new Float64Array(size);
  for (const [start, length] of runsOf(split.count, ROWS)) {
    const images = split.images(numbers(start, length));
    for (let at = 0; at < images.length; at += size)
      for (let d = 0; d < size; d++) total[d]! += images[at + d]!;
  }
  return Float32Array.from(total, (v) => v / split.count);
}

/**
 * A run of images less their mean in the first D columns of `rows` [m, width], as many rows as the run
 * has; the rest is zeros.
 */
function fillCentred(
  rows: Float32Array,
  width: number,
  split: Split,
  mean: Float32Array,
  [start, length]: readonly [number, number],
): void {
  const size = mean.length;
  const images = split.images(numbers(start, length));
  rows.fill(0);
  for (let n = 0; n < length; n++)
    for (let d = 0; d < size; d++) rows[n * width + d] = images[n * size + d]! - mean[d]!;
}

/**
 * `accumulate` adds centred rows to Σ (n - 1) in `root`. Then the coupled Newton-Schulz iteration
 * (Higham, "Functions of Matrices", 2008, eq. 6.35) for A = Σ + eps I: `start` sets Y = A / b with a bound
 * b of its eigenvalues, and Z = I; a step is T = (3 I - Z Y) / 2, Y ← Y T, Z ← T Z, after which Y comes to
 * (A / b)^½ and Z to its inverse. The order of the factors matters: others are unstable. `multiply` and
 * `advance` run once for each block of `terms`. `finish` gives W and W⁻¹, symmetric to the last bit.
 * `width` is D, made up to whole blocks.
 */
function fittingProcedures(width: number, terms: number): Record<string, Procedure> {
  const matrix = [width, width];
  const images = variable("images", [terms, width]);
  const root = variable("root", matrix);
  const inverse = variable("inverse", matrix);
  const step = variable("step", matrix);
  const nextRoot = variable("nextRoot", matrix);
  const nextInverse = variable("nextInverse", matrix);
  const bound = variable("bound", []);
  const identity = oneHot(iota(width), width);
  const none = full(matrix, 0);
  const a = add(mul(root, variable("scale", [])), mul(identity, variable("eps", [])));
  const largest = max(sum(abs(a), [1]));
  /** The block of rows of this repetition. */
  const block = (x: Tensor): Tensor => gather(reshape(x, [width / terms, terms, width]), repeat());
  /** What the block adds to x · y: its columns of x times its rows of y. */
  const part = (x: Tensor, y: Tensor): Tensor =>
    matmul(block(transpose(x)), block(y), { transposeA: true });
  return {
    begin: { root: none },
    accumulate: { root: add(root, matmul(images, images, { transposeA: true })) },
    start: { root: div(a, largest), inverse: identity, step: none, bound: largest },
    multiply: { step: add(step, part(inverse, root)) },
    turn: {
      // In two sums: each row is added up by others.
      distance: sqrt(div(sum(sum(square(sub(identity, step)), [1])), width)),
      step: sub(mul(identity, 1.5), mul(step, 0.5)),
      nextRoot: none,
      nextInverse: none,
    },
    advance: {
      nextRoot: add(nextRoot, part(root, step)),
      nextInverse: add(nextInverse, part(step, inverse)),
    },
    next: { root: nextRoot, inverse: nextInverse, step: none },
    finish: {
      whiten: mul(add(inverse, transpose(inverse)), div(0.5, sqrt(bound))),
      colour: mul(add(root, transpose(root)), mul(0.5, sqrt(bound))),
    },
  };
}

/**
 * The whitening of a split's raw images.
 * @throws DataError when there are fewer than two, eps is too small beside their variance, or their
 * covariance too large for the adapter.
 */
export async function fitWhitening(
  gpu: Gpu,
  split: Split,
  { channels, height, width: across }: ImageShape,
  { eps = ZCA_EPS, report = () => undefined }: FitOptions = {},
): Promise<Whitening> {
  const { count } = split;
  if (count < 2) throw new DataError(`zca: there must be at least 2 images, got ${count}`);
  const size = channels * height * across;
  const terms = Math.min(TERMS, size);
  const blocks = Math.ceil(size / terms);
  const width = blocks * terms;
  checkMatrix(gpu, width);
  const mean = meanImage(split, size);
  // Half the precision would be off by more than the least eigenvalues are.
  const options = { precision: "f32" } as const;
  using program = await Program.compile(gpu, fittingProcedures(width, terms), options);
  program.write("scale", Float32Array.of(1 / (count - 1)));
  program.write("eps", Float32Array.of(eps));
  const work = count + 3 * width * USUAL_STEPS;
  const rows = new Float32Array(terms * width);
  program.run("begin");
  for (const run of runsOf(count, terms)) {
    fillCentred(rows, width, split, mean, run);
    program.write("images", rows);
    program.run("accumulate");
    await program.done();
    report((run[0] + run[1]) / work);
  }
  program.run("start");
  for (let steps = 1; ; steps++) {
    program.run("multiply", blocks);
    program.run("turn");
    program.run("advance", blocks);
    program.run("next");
    const [distance] = await program.read("distance");
    if (distance[0]! < NEAR) break;
    if (steps === STEPS || !Number.isFinite(distance[0]!))
      throw new DataError(
        `zca: eps must not be that small beside the images' variance, got ${eps}`,
      );
    report(Math.min(1, (count + 3 * width * steps) / work));
  }
  program.run("finish");
  const [whiten] = await program.read("whiten");
  const [colour] = await program.read("colour");
  return {
    ...{ kind: "zca", mean, eps },
    whiten: corner(whiten, width, size),
    colour: corner(colour, width, size),
  };
}

/** The first `size` rows and columns of a matrix of `width`. */
function corner(
  matrix: Float32Array<ArrayBuffer>,
  width: number,
  size: number,
): Float32Array<ArrayBuffer> {
  if (width === size) return matrix;
  const out = new Float32Array(size * size);
  for (let d = 0; d < size; d++) out.set(matrix.subarray(d * width, d * width + size), d * size);
  return out;
}

/** Whitens images on the device. It owns a program: hold it by `using`. */
export class Whitener implements Disposable {
  private readonly program: Program;
  private readonly mean: Float32Array;

  private constructor(program: Program, mean: Float32Array) {
    this.program = program;
    this.mean = mean;
  }

  /** @throws DataError when the matrix is too large for the adapter. */
  static async compile(gpu: Gpu, { mean, whiten }: Whitening): Promise<Whitener> {
    const size = mean.length;
    checkMatrix(gpu, size);
    const images = variable("images", [ROWS, size]);
    const whitened = matmul(images, variable("whiten", [size, size]));
    const options = { precision: "f32" } as const;
    const program = await Program.compile(gpu, { run: { whitened } }, options);
    program.write("whiten", whiten);
    return new Whitener(program, mean);
  }

  /** A split's raw images whitened, in order: pieces `[≤ m, D]`. */
  async *pieces(split: Split): AsyncGenerator<Float32Array<ArrayBuffer>> {
    const size = this.mean.length;
    const rows = new Float32Array(ROWS * size);
    for (const run of runsOf(split.count, ROWS)) {
      fillCentred(rows, size, split, this.mean, run);
      this.program.write("images", rows);
      this.program.run("run");
      const [whitened] = await this.program.read("whitened");
      yield whitened.subarray(0, run[1] * size);
    }
  }

  [Symbol.dispose](): void {
    this.program[Symbol.dispose]();
  }
}
