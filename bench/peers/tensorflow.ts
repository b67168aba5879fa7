/** @file TensorFlow.js: eager operations on a tape, images as `[N, H, W, C]`, kernels as `[3, 3, C, O]`. */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { installNavigator, setNavigator } from "./adapter.ts";
import { load, type OpenOptions, type Peer, type Prepared } from "./peer.ts";
import { CLASSES, LEARNING_RATE, networkOf, type Arrays, type Task } from "./tasks.ts";
import { convolutionsOf, patch, type Convolutions, type Patches } from "./tensorflow-patches.ts";

/** What is used of a tensor. */
export interface Value {
  readonly shape: readonly number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** A gradient of a kernel, as TensorFlow.js registers them: a function for every input. */
export interface GradientRule {
  readonly kernelName: string;
  readonly inputsToSave: readonly string[];
  readonly gradFunc: (dy: Value, saved: readonly Value[]) => Readonly<Record<string, () => Value>>;
}

/** What is used of the package. */
export interface TensorFlow {
  readonly version: { readonly tfjs: string };
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tidy<T>(work: () => T): T;
  engine(): {
    runKernel(name: string, inputs: Record<string, Value>, attributes: object): Value;
  };
  registerGradient(rule: GradientRule): void;
  customGrad(
    f: (
      a: Value,
      b: Value,
      save: (values: Value[]) => void,
    ) => {
      value: Value;
      gradFunc: (dy: Value, saved: readonly Value[]) => Value[];
    },
  ): (a: Value, b: Value) => Value;
  grads(f: (...xs: Value[]) => Value): (xs: readonly Value[]) => Value[];
  grad(f: (x: Value) => Value): (x: Value) => Value;
  tensor(values: Float32Array, shape: readonly number[]): Value;
  matMul(a: Value, b: Value, transposeA?: boolean, transposeB?: boolean): Value;
  conv2d(x: Value, k: Value, strides: number, padding: "same" | "valid"): Value;
  conv2dTranspose(
    g: Value,
    k: Value,
    shape: readonly number[],
    strides: number,
    padding: "same",
  ): Value;
  avgPool(x: Value, size: number, strides: number, padding: "valid"): Value;
  relu(x: Value): Value;
  exp(x: Value): Value;
  log(x: Value): Value;
  add(a: Value, b: Value | number): Value;
  sub(a: Value, b: Value | number): Value;
  mul(a: Value, b: Value | number): Value;
  div(a: Value, b: Value | number): Value;
  square(x: Value): Value;
  rsqrt(x: Value): Value;
  neg(x: Value): Value;
  sum(x: Value, axis?: number | number[], keepDims?: boolean): Value;
  mean(x: Value, axes?: number[], keepDims?: boolean): Value;
  reshape(x: Value, shape: readonly number[]): Value;
  transpose(x: Value, order: readonly number[]): Value;
  slice(x: Value, begin: readonly number[], size: readonly number[]): Value;
  pad(x: Value, paddings: readonly (readonly [number, number])[]): Value;
  stack(xs: readonly Value[]): Value;
  reverse(x: Value, axes: number[]): Value;
  zerosLike(x: Value): Value;
  readonly losses: { softmaxCrossEntropy(targets: Value, logits: Value): Value };
}

export type Backend = "webgpu" | "wasm" | "cpu";

/** `values` of `shape` with its axes in `order`; on the host, outside what is timed. */
function permute(
  values: Float32Array,
  shape: readonly number[],
  order: readonly number[],
): Float32Array {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const out = new Float32Array(values.length);
  const sizes = order.map((axis) => shape[axis]!);
  for (let i = 0; i < out.length; i++) {
    let rest = i;
    let at = 0;
    for (let axis = order.length - 1; axis >= 0; axis--) {
      at += (rest % sizes[axis]!) * strides[order[axis]!]!;
      rest = Math.floor(rest / sizes[axis]!);
    }
    out[i] = values[at]!;
  }
  return out;
}

/** A layout of theirs: the order of our axes in it. */
const IMAGES = [0, 2, 3, 1];
const KERNEL = [2, 3, 1, 0];

/** A tensor of theirs from an array of ours. */
function place(
  tf: TensorFlow,
  values: Float32Array,
  shape: readonly number[],
  order: number[],
): Value {
  return tf.tensor(
    permute(values, shape, order),
    order.map((axis) => shape[axis]!),
  );
}

/** An array of ours from a tensor of theirs. */
async function fetchAs(value: Value, order: readonly number[]): Promise<Float32Array> {
  const back = order.map((_, axis) => order.indexOf(axis));
  return permute(await value.data(), value.shape, back);
}

/** The order of a parameter's axes in theirs; the classifier's inputs are seen as `[C, H, W]`. */
function layoutOf(shape: readonly number[]): { shape: readonly number[]; order: number[] } {
  if (shape.length === 4) return { shape, order: KERNEL };
  if (shape.length === 2) return { shape: [CLASSES, shape[1]! / 16, 4, 4], order: [2, 3, 1, 0] };
  return { shape, order: [0] };
}

/** Logits `[N, 10]` of a ConvNetD3 on images `[N, 32, 32, 3]`. */
function forward(tf: TensorFlow, parameters: readonly Value[], images: Value): Value {
  let x = images;
  for (let at = 0; at + 2 < parameters.length; at += 4) {
    const [kernel, bias, scale, shift] = parameters.slice(at, at + 4) as [
      Value,
      Value,
      Value,
      Value,
    ];
    x = tf.add(tf.conv2d(x, kernel, 1, "same"), bias);
    const centred = tf.sub(x, tf.mean(x, [1, 2], true));
    const variance = tf.mean(tf.square(centred), [1, 2], true);
    x = tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-5)));
    x = tf.avgPool(tf.relu(tf.add(tf.mul(x, scale), shift)), 2, 2, "valid");
  }
  const [w, b] = parameters.slice(-2) as [Value, Value];
  return tf.add(tf.matMul(tf.reshape(x, [images.shape[0]!, -1]), tf.reshape(w, [-1, CLASSES])), b);
}

/** The mean cross-entropy against class probabilities, by their function or by operations that are patched. */
function loss(tf: TensorFlow, patches: Patches, z: Value, targets: Value): Value {
  if (patches === "published" || patches === "added")
    return tf.losses.softmaxCrossEntropy(targets, z);
  const logP = tf.sub(z, tf.log(tf.sum(tf.exp(z), 1, true)));
  return tf.neg(tf.mean(tf.sum(tf.mul(targets, logP), 1)));
}

function parametersOf(tf: TensorFlow, width: number, theta: Float32Array): Value[] {
  let at = 0;
  return networkOf(width).parameters.map(({ shape }) => {
    const layout = layoutOf(shape);
    const size = shape.reduce((a, b) => a * b, 1);
    at += size;
    return place(tf, theta.subarray(at - size, at), layout.shape, layout.order);
  });
}

/** θ - lr ∇ℓ for every parameter. */
const step = (tf: TensorFlow, parameters: readonly Value[], gradient: readonly Value[]): Value[] =>
  parameters.map((p, i) => tf.sub(p, tf.mul(gradient[i]!, LEARNING_RATE)));

function teacherStep(
  tf: TensorFlow,
  patches: Patches,
  { width, batch }: Task & { kind: "teacher step" },
  inputs: Arrays,
): Prepared {
  const images = place(tf, inputs["x"]!, [batch, 3, 32, 32], IMAGES);
  const targets = tf.tensor(inputs["targets"]!, [batch, CLASSES]);
  let parameters = parametersOf(tf, width, inputs["theta"]!);
  const train = (): void => {
    const next = tf.tidy(() => {
      const gradient = tf.grads((...p) => loss(tf, patches, forward(tf, p, images), targets));
      return step(tf, parameters, gradient(parameters));
    });
    for (const p of parameters) p.dispose();
    parameters = next;
  };
  return {
    async first() {
      train();
      const shapes = networkOf(width).parameters.map(({ shape }) => layoutOf(shape).order);
      const parts: number[] = [];
      for (const [i, p] of parameters.entries()) parts.push(...(await fetchAs(p, shapes[i]!)));
      return Float32Array.from(parts);
    },
    async repeat(times) {
      for (let i = 0; i < times; i++) train();
      // All were computed in order: the last one's values tell that the work is done.
      await parameters[parameters.length - 1]!.data();
    },
  };
}

function iteration(
  tf: TensorFlow,
  patches: Patches,
  { width, batch, steps }: Task & { kind: "iteration" },
  { start, target, images, targets }: Arrays,
): Prepared {
  const theta0 = parametersOf(tf, width, start!);
  const goal = parametersOf(tf, width, target!);
  const pictures = place(tf, images!, [batch, 3, 32, 32], IMAGES);
  const classes = tf.tensor(targets!, [batch, CLASSES]);
  const scale = start!.reduce((sum, v, i) => sum + (v - target![i]!) ** 2, 0);
  const gradient = tf.grad((x) => {
    let parameters: readonly Value[] = theta0;
    const inTheta = tf.grads((...p) => loss(tf, patches, forward(tf, p, x), classes));
    for (let s = 0; s < steps; s++) parameters = step(tf, parameters, inTheta(parameters));
    const distance = parameters
      .map((p, i) => tf.sum(tf.square(tf.sub(p, goal[i]!))))
      .reduce((a, b) => tf.add(a, b));
    return tf.div(distance, scale);
  });
  return runner(tf, () => gradient(pictures), IMAGES);
}

function convolution(
  tf: TensorFlow,
  { conv, convInput, convKernel }: Convolutions,
  { of, channels, filters, size, batch }: Task & { kind: "conv" },
  inputs: Arrays,
): Prepared {
  const imageShape = [batch, channels, size, size];
  const images = (name: string, shape: readonly number[]): Value =>
    place(tf, inputs[name]!, shape, IMAGES);
  switch (of) {
    case "forward": {
      const x = images("x", imageShape);
      const k = place(tf, inputs["k"]!, [filters, channels, 3, 3], KERNEL);
      return runner(tf, () => conv(x, k), IMAGES);
    }
    case "input": {
      const g = images("g", [batch, filters, size, size]);
      const k = place(tf, inputs["k"]!, [filters, channels, 3, 3], KERNEL);
      return runner(tf, () => convInput(g, k), IMAGES);
    }
    case "kernel": {
      const x = images("x", imageShape);
      const g = images("g", [batch, filters, size, size]);
      return runner(tf, () => convKernel(x, g), KERNEL);
    }
  }
}

function runner(tf: TensorFlow, run: () => Value, order: readonly number[]): Prepared {
  return {
    async first() {
      const result = tf.tidy(run);
      const values = await fetchAs(result, order);
      result.dispose();
      return values;
    },
    async repeat(times) {
      for (let i = 0; i < times; i++) {
        const result = tf.tidy(run);
        if (i + 1 === times) await result.data();
        result.dispose();
      }
    },
  };
}

export async function openTensorFlow(
  backend: Backend,
  patches: Patches,
  { adapter: wanted }: OpenOptions,
): Promise<Peer> {
  const adapter = backend === "webgpu" ? await installNavigator(wanted) : undefined;
  if (!adapter) setNavigator();
  const tf = (await load("@tensorflow/tfjs")) as TensorFlow;
  // The CPU's comes with the package.
  if (backend !== "cpu") {
    const name = `@tensorflow/tfjs-backend-${backend}`;
    const module = (await load(name)) as { setWasmPaths?(folder: string): void };
    module.setWasmPaths?.(`${dirname(createRequire(import.meta.url).resolve(name))}/`);
  }
  await tf.setBackend(backend);
  await tf.ready();
  const convolutions = convolutionsOf(tf, backend, patches);
  patch(tf, convolutions, patches);
  return {
    versions: { "@tensorflow/tfjs": tf.version.tfjs },
    ...(adapter ? { adapter } : {}),
    prepare(task, inputs) {
      switch (task.kind) {
        case "matmul": {
          const a = tf.tensor(inputs["a"]!, [task.n, task.n]);
          const b = tf.tensor(inputs["b"]!, [task.n, task.n]);
          return Promise.resolve(runner(tf, () => tf.matMul(a, b), [0, 1]));
        }
        case "conv":
          return Promise.resolve(convolution(tf, convolutions, task, inputs));
        case "teacher step":
          return Promise.resolve(teacherStep(tf, patches, task, inputs));
        case "iteration":
          return Promise.resolve(iteration(tf, patches, task, inputs));
      }
    },
  };
}
