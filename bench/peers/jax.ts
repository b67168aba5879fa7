/** @file jax-js: JAX's transformations in JavaScript. Arrays are owned: an operation frees what it takes, `ref` keeps it. */
import { createRequire } from "node:module";
import { installNavigator, setNavigator } from "./adapter.ts";
import {
  loss,
  ownLayout,
  productLayout,
  type Jax,
  type Layout,
  type Value,
} from "./jax-network.ts";
import { load, type OpenOptions, type Peer, type Prepared } from "./peer.ts";
import { LEARNING_RATE, networkOf, type Arrays, type Task } from "./tasks.ts";

/** The package, the layout of its network, and its compiler or what stands in for it. */
interface Frame {
  readonly jax: Jax;
  readonly layout: Layout;
  readonly compile: Jax["jit"];
}

/** How a user might write it. */
export interface Variant {
  /**
   * `own`: the package's convolution. `products`: sums of matrix products, which its wasm backend has
   * fast code for.
   */
  readonly convolution: "own" | "products";
  /** What goes through its compiler: everything, nothing, or all but gradients of gradients. */
  readonly compiled: "all" | "first order" | "nothing";
  /**
   * How the images reach a student's loss: by closure, or as an argument that is not differentiated,
   * as one would first write it; then their gradient comes out as zero.
   */
  readonly images: "closure" | "argument";
}

/** θ - lr ∇ℓ for every parameter. */
const step = (parameters: readonly Value[], gradient: readonly Value[]): Value[] =>
  parameters.map((p, i) => p.sub(gradient[i]!.mul(LEARNING_RATE)));

const references = (values: readonly Value[]): Value[] => values.map((v) => v.ref);

function teacherStep(
  { jax, layout, compile }: Frame,
  task: Task & { kind: "teacher step" },
  inputs: Arrays,
): Prepared {
  const x = jax.numpy.array(inputs["x"]!, { shape: [task.batch, 3, 32, 32] });
  const targets = jax.numpy.array(inputs["targets"]!, { shape: [task.batch, 10] });
  const train = compile((parameters: Value[], images: Value, classes: Value): Value[] => {
    const gradient = jax.grad((p: Value[]) => loss(jax, layout, p, images, classes))(
      references(parameters),
    );
    const next = step(parameters, gradient);
    images.dispose();
    classes.dispose();
    return next;
  });
  let theta = parametersOf(jax, task.width, inputs["theta"]!);
  return {
    async first() {
      theta = train(theta, x.ref, targets.ref);
      const parts: number[] = [];
      for (const p of theta) parts.push(...(await p.ref.data()));
      return Float32Array.from(parts);
    },
    async repeat(times) {
      for (let i = 0; i < times; i++) theta = train(theta, x.ref, targets.ref);
      await jax.blockUntilReady(theta);
    },
  };
}

function iteration(
  { jax, layout, compile }: Frame,
  imagesBy: Variant["images"],
  { width, batch, steps }: Task & { kind: "iteration" },
  inputs: Arrays,
): Prepared {
  const { start, target, images, targets } = inputs;
  const theta0 = parametersOf(jax, width, start!);
  const goal = parametersOf(jax, width, target!);
  const x = jax.numpy.array(images!, { shape: [batch, 3, 32, 32] });
  const classes = jax.numpy.array(targets!, { shape: [batch, 10] });
  const scale = start!.reduce((sum, v, i) => sum + (v - target![i]!) ** 2, 0);
  const distance = (pictures: Value): Value => {
    const gradient = {
      closure: (p: Value[]) => jax.grad((q: Value[]) => loss(jax, layout, q, pictures, classes))(p),
      argument: (p: Value[]) =>
        jax.grad((q: Value[], r: Value) => {
          const value = loss(jax, layout, q, r, classes);
          r.dispose();
          return value;
        })(p, pictures.ref),
    }[imagesBy];
    let parameters = references(theta0);
    for (let s = 0; s < steps; s++) parameters = step(parameters, gradient(references(parameters)));
    pictures.dispose();
    return parameters
      .map((p, i) => {
        const away = p.sub(goal[i]!.ref);
        return away.ref.mul(away).sum();
      })
      .reduce((a, b) => a.add(b))
      .div(scale);
  };
  const gradient = compile(jax.grad(distance));
  return runner(jax, () => gradient(x.ref));
}

/** Parameters in our order, each with its shape. */
function parametersOf(jax: Jax, width: number, theta: Float32Array): Value[] {
  let at = 0;
  return networkOf(width).parameters.map(({ shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    at += size;
    return jax.numpy.array(theta.slice(at - size, at), { shape });
  });
}

function runner(jax: Jax, run: () => Value): Prepared {
  return {
    first: () => run().data(),
    async repeat(times) {
      for (let i = 0; i < times; i++) {
        const result = run();
        // Arrays are lazy: one that is disposed of before it is waited for is never computed.
        await jax.blockUntilReady(result);
        result.dispose();
      }
    },
  };
}

function convolution(
  { jax, layout, compile }: Frame,
  { of, channels, filters, size, batch }: Task & { kind: "conv" },
  inputs: Arrays,
): Prepared {
  const value = (name: string, ...shape: number[]): Value =>
    jax.numpy.array(inputs[name] ?? new Float32Array(shape.reduce((a, b) => a * b)), { shape });
  const x = layout.enter(value("x", batch, channels, size, size));
  const k = value("k", filters, channels, 3, 3);
  const g = layout.enter(value("g", batch, filters, size, size));
  const { conv, leave } = layout;
  // The gradient of ⟨conv(x, k), g⟩: the way to these two kernels that a user has.
  const inX = compile((u: Value, kernel: Value, along: Value): Value => {
    const result = jax.grad((v: Value) => conv(v, kernel.ref).mul(along.ref).sum())(u);
    kernel.dispose();
    along.dispose();
    return result;
  });
  const inK = compile((u: Value, pictures: Value, along: Value): Value => {
    const result = jax.grad((v: Value) => conv(pictures.ref, v).mul(along.ref).sum())(u);
    pictures.dispose();
    along.dispose();
    return result;
  });
  const forwards = compile(conv);
  const run = {
    forward: () => leave(forwards(x.ref, k.ref)),
    input: () => leave(inX(x.ref, k.ref, g.ref)),
    kernel: () => inK(k.ref, x.ref, g.ref),
  }[of];
  return runner(jax, run);
}

export async function openJax(
  device: "webgpu" | "wasm",
  { convolution: by, compiled, images }: Variant,
  { adapter: wanted }: OpenOptions,
): Promise<Peer> {
  const adapter = device === "webgpu" ? await installNavigator(wanted) : undefined;
  if (!adapter) setNavigator();
  const jax = (await load("@jax-js/jax")) as Jax;
  await jax.init(device);
  jax.defaultDevice(device);
  const layout = { own: ownLayout, products: productLayout }[by](jax);
  const eager: Jax["jit"] = (f) => f;
  const first: Frame = { jax, layout, compile: compiled === "nothing" ? eager : jax.jit };
  const second: Frame = { jax, layout, compile: compiled === "all" ? jax.jit : eager };
  const prepare = (task: Task, inputs: Arrays): Prepared => {
    switch (task.kind) {
      case "matmul": {
        const shape = [task.n, task.n];
        const a = jax.numpy.array(inputs["a"]!, { shape });
        const b = jax.numpy.array(inputs["b"]!, { shape });
        return runner(jax, () => jax.numpy.matmul(a.ref, b.ref));
      }
      case "conv":
        return convolution(first, task, inputs);
      case "teacher step":
        return teacherStep(first, task, inputs);
      case "iteration":
        return iteration(second, images, task, inputs);
    }
  };
  return {
    versions: { "@jax-js/jax": versionOf("@jax-js/jax") },
    ...(adapter ? { adapter } : {}),
    prepare: (task, inputs) => Promise.resolve(prepare(task, inputs)),
  };
}

/** The version of an installed package whose manifest is not exported. */
function versionOf(name: string): string {
  const path = createRequire(import.meta.url).resolve(name);
  const root = path.slice(0, path.lastIndexOf(`/${name}/`) + name.length + 2);
  const manifest = createRequire(import.meta.url)(`${root}package.json`) as { version: string };
  return manifest.version;
}
