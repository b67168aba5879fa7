/** @file What peers are given to do, and the numbers they do it on: the same for all, written once. */
import { Random, sizeOf, type Shape } from "../../engine/index.ts";
import { buildModel, initialise, type Model } from "../../models/index.ts";

/**
 * One workload.
 * - `matmul`: y = a b, all `[n, n]`.
 * - `conv`: one of the three bilinear maps of a 3×3 convolution of stride 1 and padding 1 on
 *   x `[batch, channels, size, size]`, k `[filters, channels, 3, 3]`, g `[batch, filters, size, size]`:
 *   y from x and k, the gradient in x from g and k, the gradient in k from x and g.
 * - `teacher step`: θ - lr ∇ℓ of a ConvNetD3 on images x `[batch, 3, 32, 32]`, ℓ the mean cross-entropy
 *   against `targets` `[batch, 10]`; repetitions go on from the last θ.
 * - `iteration`: the gradient of ‖θ_S - θ*‖² / ‖θ_0 - θ*‖² in `images` `[batch, 3, 32, 32]` through S such
 *   steps, every one on all of them.
 */
export type Task =
  | { readonly kind: "matmul"; readonly n: number }
  | {
      readonly kind: "conv";
      readonly of: "forward" | "input" | "kernel";
      readonly channels: number;
      readonly filters: number;
      readonly size: number;
      readonly batch: number;
    }
  | { readonly kind: "teacher step"; readonly width: number; readonly batch: number }
  | {
      readonly kind: "iteration";
      readonly width: number;
      readonly batch: number;
      readonly steps: number;
    };

/** A row of the table, named as `npm run bench` names it. */
export interface Row {
  readonly name: string;
  readonly task: Task;
  /** Multiplications and additions of the textbook formula, where there is one. */
  readonly flops?: number;
  /** What is compared with ours instead of `task`, where the network is too large for every peer's f32. */
  readonly checked?: Task;
}

/** Arrays by name. */
export type Arrays = Readonly<Record<string, Float32Array<ArrayBuffer>>>;

export const LEARNING_RATE = 0.01;
export const CLASSES = 10;

const IMAGE = { channels: 3, size: 32, classes: CLASSES };

/** The network of a task. */
export const networkOf = (width: number): Model => buildModel("ConvNetD3", IMAGE, { width });

/** Class probabilities `[batch, 10]`: softmax of the logits. */
function softmaxRows(logits: Float32Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(logits.length);
  for (let at = 0; at < logits.length; at += CLASSES) {
    const exps = Array.from(logits.subarray(at, at + CLASSES), Math.exp);
    const total = exps.reduce((a, b) => a + b, 0);
    out.set(
      exps.map((e) => e / total),
      at,
    );
  }
  return out;
}

/** What a task starts from, drawn from a fixed seed. */
export function inputsOf(task: Task): Arrays {
  const random = new Random(7);
  const draw = (...shape: Shape): Float32Array<ArrayBuffer> => random.fill(sizeOf(shape), -1, 1);
  switch (task.kind) {
    case "matmul":
      return { a: draw(task.n, task.n), b: draw(task.n, task.n) };
    case "conv": {
      const { of, channels, filters, size, batch } = task;
      return {
        ...(of === "input" ? {} : { x: draw(batch, channels, size, size) }),
        ...(of === "kernel" ? {} : { k: draw(filters, channels, 3, 3) }),
        ...(of === "forward" ? {} : { g: draw(batch, filters, size, size) }),
      };
    }
    case "teacher step": {
      const targets = new Float32Array(task.batch * CLASSES);
      for (let i = 0; i < task.batch; i++) targets[i * CLASSES + (i % CLASSES)] = 1;
      return {
        theta: initialise(networkOf(task.width), random),
        x: draw(task.batch, 3, 32, 32),
        targets,
      };
    }
    case "iteration": {
      const model = networkOf(task.width);
      const start = initialise(model, random);
      const away = random.fill(model.size, -0.01, 0.01);
      const labels = draw(task.batch, CLASSES);
      return {
        start,
        target: start.map((v, i) => v + away[i]!),
        images: draw(task.batch, 3, 32, 32),
        labels,
        targets: softmaxRows(labels),
      };
    }
  }
}

/** What comes out of a task: its name, and the input that is taken from it before it is compared. */
export function outputOf(task: Task): { readonly name: string; readonly change?: string } {
  switch (task.kind) {
    case "matmul":
    case "conv":
      return { name: "y" };
    case "teacher step":
      // A step is a thousandth of θ: compared without it, a wrong gradient would pass.
      return { name: "theta", change: "theta" };
    case "iteration":
      return { name: "gradImages" };
  }
}

const square = (n: number): Row => ({
  name: `matmul ${n}`,
  task: { kind: "matmul", n },
  flops: 2 * n ** 3,
});

const convolution = (of: "forward" | "input" | "kernel"): Row => ({
  name: `conv ${of} 64x64 16x16 n32`,
  task: { kind: "conv", of, channels: 64, filters: 64, size: 16, batch: 32 },
  flops: 2 * 32 * 64 * 64 * 256 * 9,
});

const teacherStep = (width: number, batch: number): Row => ({
  name: `teacher step ConvNetD3 w${width} n${batch}`,
  task: { kind: "teacher step", width, batch },
});

/** The row of an iteration. */
export const iterationRow = (width: number, batch: number, steps: number): Row => ({
  name: `iteration ConvNetD3 w${width} n${batch} s${steps}`,
  task: { kind: "iteration", width, batch, steps },
  // Rounding grows through dozens of steps: two tell a right program from a wrong one.
  ...(steps > 5 ? { checked: { kind: "iteration", width: 16, batch: 4, steps: 2 } } : {}),
});

/** Rows that a CPU adapter runs in seconds. */
export const rows: readonly Row[] = [
  square(512),
  square(1024),
  convolution("forward"),
  convolution("input"),
  convolution("kernel"),
  teacherStep(32, 32),
  iterationRow(32, 10, 1),
  iterationRow(32, 10, 5),
];

/** Rows at the sizes that are distilled with, for a GPU. */
export const largeRows: readonly Row[] = [
  teacherStep(128, 256),
  iterationRow(128, 10, 80),
  iterationRow(128, 100, 80),
  iterationRow(128, 500, 80),
];

/** Rows that `--quick` leaves out. */
export const slowRows: ReadonlySet<string> = new Set([
  "matmul 1024",
  "iteration ConvNetD3 w32 n10 s5",
]);
