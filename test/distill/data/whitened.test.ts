/** @file ZCA whitening: against an eigen-decomposition, in the cache, and in a run. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { byteSplit, DataError, type Source } from "../../../distill/data/dataset.ts";
import { loadDigits } from "../../../distill/data/digits.ts";
import { toPixels, type Whitening } from "../../../distill/data/preprocess.ts";
import { whiten, whitenBy } from "../../../distill/data/whitened.ts";
import { fitWhitening } from "../../../distill/data/zca.ts";
import { distilledFile } from "../../../distill/run.ts";
import { scoreDistilled } from "../../../distill/evaluation/score.ts";
import { beginRun, distil, openRun, teachersOf, workOf } from "../../../distill/run.ts";
import { readDistilled } from "../../../distill/distilled.ts";
import { createProgress } from "../../../distill/progress.ts";
import { readRecipe, shippedRecipes } from "../../../distill/recipe-file.ts";
import { resolveRecipe } from "../../../distill/recipe.ts";
import { Random } from "../../../engine/index.ts";
import { relativeError } from "../../golden/fill.ts";
import { sharedGpu } from "../../support/gpu.ts";

const gpu = sharedGpu();

let folder: string;
const before = process.env["POTSTILL_CACHE"];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-whitened-"));
  process.env["POTSTILL_CACHE"] = folder;
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  if (before === undefined) delete process.env["POTSTILL_CACHE"];
  else process.env["POTSTILL_CACHE"] = before;
});

/** Smooth images: neighbours are nearly equal, so that few eigenvalues are large and most are small. */
function smooth(seed: number, count: number, shape: readonly [number, number, number]) {
  const [channels, height, width] = shape;
  const random = new Random(seed);
  const size = channels * height * width;
  const pixels = new Uint8Array(count * size);
  for (let n = 0; n < count; n++) {
    const waves = Array.from({ length: 4 }, () => random.fill(4, -1, 1));
    for (let p = 0; p < size; p++) {
      const c = Math.floor(p / (height * width));
      const [i, j] = [Math.floor(p / width) % height, p % width];
      const sum = waves.reduce(
        (s, [a, b, d, e], k) => s + d! * Math.cos((k * (a! * i + b! * j)) / 3 + 3 * e! + 0.2 * c),
        0,
      );
      pixels[n * size + p] = Math.round(255 / (1 + Math.exp(-1.5 * sum)));
    }
  }
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 2);
  return byteSplit({ channels, height, width, pixels, labels, levels: 255 });
}

function sourceOf(shape: readonly [number, number, number], train: number, test: number): Source {
  const [channels, height, width] = shape;
  const name = "smooth";
  const halves = { train: smooth(1, train, shape), test: smooth(2, test, shape) };
  const id = `${name} ${shape.join()} ${train} ${test}`;
  return { name, id, classes: ["a", "b"], channels, height, width, ...halves };
}

const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Mean [D] and unbiased covariance [D, D] of rows, in float64. */
function covarianceOf(
  rows: Float32Array,
  size: number,
): { mean: Float64Array; sigma: Float64Array } {
  const count = rows.length / size;
  const mean = new Float64Array(size);
  rows.forEach((v, i) => (mean[i % size]! += v / count));
  const sigma = new Float64Array(size * size);
  for (let at = 0; at < rows.length; at += size)
    for (let i = 0; i < size; i++) {
      const left = (rows[at + i]! - mean[i]!) / (count - 1);
      for (let j = 0; j < size; j++) sigma[i * size + j]! += left * (rows[at + j]! - mean[j]!);
    }
  return { mean, sigma };
}

function product(a: ArrayLike<number>, b: ArrayLike<number>, size: number): Float64Array {
  const out = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let k = 0; k < size; k++) {
      const left = a[i * size + k]!;
      for (let j = 0; j < size; j++) out[i * size + j]! += left * b[k * size + j]!;
    }
  return out;
}

/** f of a symmetric matrix by its eigenvalues: Jacobi's rotations until nothing is left off the diagonal. */
function matrixFunction(
  matrix: Float64Array,
  size: number,
  f: (eigenvalue: number) => number,
): Float64Array {
  const a = matrix.slice();
  const u = new Float64Array(size * size);
  for (let i = 0; i < size; i++) u[i * size + i] = 1;
  const rotate = (m: Float64Array, p: number, q: number, c: number, s: number): void => {
    const [x, y] = [m[p]!, m[q]!];
    m[p] = c * x - s * y;
    m[q] = s * x + c * y;
  };
  for (let sweep = 0; sweep < 12; sweep++)
    for (let p = 0; p < size; p++)
      for (let q = p + 1; q < size; q++) {
        const off = a[p * size + q]!;
        if (Math.abs(off) < 1e-16) continue;
        const angle = Math.atan2(2 * off, a[q * size + q]! - a[p * size + p]!) / 2;
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < size; k++) rotate(a, k * size + p, k * size + q, c, s);
        for (let k = 0; k < size; k++) rotate(a, p * size + k, q * size + k, c, s);
        for (let k = 0; k < size; k++) rotate(u, k * size + p, k * size + q, c, s);
      }
  const scaled = u.map((v, i) => v * f(a[(i % size) * (size + 1)]!));
  const transposed = u.map((_, i) => u[(i % size) * size + Math.floor(i / size)]!);
  return product(scaled, transposed, size);
}

describe("the whitening of a split", () => {
  it("has the matrices of an eigen-decomposition", async () => {
    const [shape, size] = [{ channels: 3, height: 4, width: 4 }, 48];
    const split = smooth(3, 500, [3, 4, 4]);
    const { mean, sigma } = covarianceOf(split.images(all(500)), size);
    for (const eps of [0.1, 0.01]) {
      const got = await fitWhitening(gpu(), split, shape, { eps });
      expect(relativeError(got.mean, mean)).toBeLessThan(1e-6);
      const whitening = matrixFunction(sigma, size, (s) => (s + eps) ** -0.5);
      const colouring = matrixFunction(sigma, size, (s) => (s + eps) ** 0.5);
      expect(relativeError(got.whiten, whitening)).toBeLessThan(1e-5);
      expect(relativeError(got.colour, colouring)).toBeLessThan(1e-5);
      for (const matrix of [got.whiten, got.colour])
        expect(matrix.map((_, i) => matrix[(i % size) * size + Math.floor(i / size)]!)).toEqual(
          matrix,
        );
    }
  });

  it("is as good where it takes several blocks, the last one short", async () => {
    const [shape, size] = [{ channels: 3, height: 10, width: 10 }, 300];
    const split = smooth(4, 700, [3, 10, 10]);
    const parts: number[] = [];
    const report = (part: number): number => parts.push(part);
    const { whiten: w, colour, eps } = await fitWhitening(gpu(), split, shape, { report });
    const { sigma } = covarianceOf(split.images(all(700)), size);
    for (let i = 0; i < size; i++) sigma[i * (size + 1)]! += eps;
    const identity = Float64Array.from({ length: size ** 2 }, (_, i) => +(i % (size + 1) === 0));
    expect(relativeError(product(w, product(sigma, w, size), size), identity)).toBeLessThan(2e-5);
    expect(relativeError(product(w, colour, size), identity)).toBeLessThan(1e-5);
    expect(parts.every((part, i) => part > (parts[i - 1] ?? 0) && part <= 1)).toBe(true);
  });

  it("needs two images, and an eps that rounding does not hide", async () => {
    const shape = { channels: 1, height: 2, width: 2 };
    const one = byteSplit({
      ...shape,
      pixels: new Uint8Array(4),
      labels: new Uint8Array(1),
      levels: 1,
    });
    await expect(fitWhitening(gpu(), one, shape)).rejects.toThrow(
      new DataError("zca: there must be at least 2 images, got 1"),
    );
    const split = smooth(5, 100, [3, 8, 8]);
    const wide = { channels: 3, height: 8, width: 8 };
    await expect(fitWhitening(gpu(), split, wide, { eps: 1e-12 })).rejects.toThrow(
      new DataError("zca: eps must not be that small beside the images' variance, got 1e-12"),
    );
  });
});

describe("an adapter", () => {
  it("must bind the matrix at once", async () => {
    const split = smooth(6, 9, [1, 8, 8]);
    const shape = { channels: 1, height: 8, width: 8 };
    const { facts } = gpu();
    const { limits } = facts;
    facts.limits = { ...limits, maxStorageBufferBindingSize: 4 * 63 ** 2 };
    try {
      await expect(fitWhitening(gpu(), split, shape)).rejects.toThrow(
        /^zca: an adapter must bind 16\.4 kB at once to whiten images of 64 values, got .+ with 15\.9 kB$/,
      );
    } finally {
      facts.limits = limits;
    }
  });
});

describe("a whitened set", () => {
  const shape = [3, 8, 8] as const;
  const size = 192;
  // More than the device takes at once.
  const source = sourceOf(shape, 1100, 40);

  it("has the covariance Σ / (Σ + eps) in training, and its pixels come back", async () => {
    const { train, test, preprocessing, ...rest } = await whiten(gpu(), source);
    expect(rest).toEqual({
      ...{ name: source.name, id: source.id, classes: source.classes },
      ...{ channels: 3, height: 8, width: 8 },
    });
    expect([train.count, test.count]).toEqual([1100, 40]);
    expect(train.labels).toEqual(source.train.labels);
    const rows = train.images(all(1100));
    const { mean, sigma: whitened } = covarianceOf(rows, size);
    expect(Math.max(...mean.map(Math.abs))).toBeLessThan(1e-5);
    const { sigma } = covarianceOf(source.train.images(all(1100)), size);
    const added = sigma.map((v, i) => v + (i % (size + 1) === 0 ? 0.1 : 0));
    expect(relativeError(product(whitened, added, size), sigma)).toBeLessThan(1e-4);

    // Test images go by the training images' constants.
    const { mean: centre, whiten: w } = preprocessing as Whitening;
    const raw = source.test.images([7, 3]);
    const expected = Float64Array.from(raw, (_, i) => {
      const [at, d] = [Math.floor(i / size) * size, i % size];
      let sum = 0;
      for (let k = 0; k < size; k++) sum += (raw[at + k]! - centre[k]!) * w[k * size + d]!;
      return sum;
    });
    const got = test.images([7, 3]);
    expect(relativeError(got, expected)).toBeLessThan(1e-5);
    const back = toPixels(got, preprocessing, { channels: 3, height: 8, width: 8 });
    back.forEach((v, i) => expect(v).toBeCloseTo(raw[i]!, 4));
  });

  it("is kept in the cache folder where it takes long, and read from there", async () => {
    const data = join(folder, "data");
    const first = await whiten(gpu(), source, { worth: 0 });
    const files = readdirSync(data).sort();
    expect(files).toEqual([
      expect.stringMatching(/^zca-images-\w{16}\.safetensors$/),
      expect.stringMatching(/^zca-matrices-\w{16}\.safetensors$/),
    ]);
    const lines: string[] = [];
    const progress = { ...createProgress({ quiet: true }), start: (l: string) => lines.push(l) };
    const again = await whiten(gpu(), source, { worth: 0, progress });
    expect(lines).toEqual([]);
    expect(again.preprocessing).toEqual(first.preprocessing);
    const indices = [1099, 0, 5];
    expect(again.train.images(indices)).toEqual(first.train.images(indices));
    // Damaged files are made again; what does not fit into the memory is read from the file.
    for (const file of files) writeFileSync(join(data, file), "damaged");
    const third = await whiten(gpu(), source, { worth: 0, memory: 1000, progress });
    expect(lines).toEqual(["fit whitening", "whiten"]);
    expect(third.preprocessing).toEqual(first.preprocessing);
    expect(third.train.images(indices)).toEqual(first.train.images(indices));
    // Another source, and another eps, have files of their own.
    await whiten(gpu(), { ...source, id: "other" }, { worth: 0 });
    await whiten(gpu(), source, { worth: 0, eps: 0.2 });
    expect(readdirSync(data).length).toBe(6);
  });

  it("needs no cache folder, and leaves nothing there where it takes no time", async () => {
    const first = await whiten(gpu(), source);
    expect(existsSync(join(folder, "data"))).toBe(false);
    process.env["POTSTILL_CACHE"] = "";
    const again = await whiten(gpu(), source, { worth: 0 });
    expect(again.train.images([4])).toEqual(first.train.images([4]));
  });

  it("may be whitened as others were, if they are of its shape", async () => {
    const { preprocessing } = await whiten(gpu(), source);
    const other = sourceOf(shape, 30, 10);
    const { train } = await whitenBy(gpu(), other, preprocessing as Whitening);
    const back = toPixels(train.images([3]), preprocessing, other);
    back.forEach((v, i) => expect(v).toBeCloseTo(other.train.images([3])[i]!, 4));
    const small = sourceOf([1, 4, 4], 30, 10);
    await expect(whitenBy(gpu(), small, preprocessing as Whitening)).rejects.toThrow(
      new RangeError("whitening: it must be of images of 16 values, got one of 192"),
    );
  });
});

describe("a run on whitened images", () => {
  it("distils and evaluates in their space, and says how they were whitened", async () => {
    const recipe = resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc1")!), {
      ...{ width: 4, syn_steps: 2, expert_epochs: 1, max_start_epoch: 1, iterations: 2 },
      ...{ zca: true, teachers: { experts: 1, epochs: 1 } },
      evaluation: { num_eval: 1, epoch_eval_train: 3 },
    });
    const run = beginRun(join(folder, "run"));
    const progress = createProgress({ quiet: true });
    const context = await openRun(gpu(), await workOf(recipe), run, progress);
    expect(context.dataset.id).toBe(loadDigits().id);
    const teachers = await teachersOf(context, recipe);
    expect(teachers.teachers[0]!.meta.preprocessing).toMatch(/^zca/);
    const { images } = await distil(context, recipe, teachers);
    expect(images.every(Number.isFinite)).toBe(true);
    const { mean } = await scoreDistilled(context, recipe);
    expect(mean).toBeGreaterThan(0);
    const { meta } = readDistilled(distilledFile(run, 1));
    expect(meta.preprocessing).toEqual(context.dataset.preprocessing);
  });
});
