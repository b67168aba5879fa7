/** @file gpu.js: kernels written as one function of an output cell; it has no derivatives. */
import type { GPU as GpuJs, IKernelFunctionThis } from "gpu.js";
import { createRequire } from "node:module";
import { installNavigator, setNavigator } from "./adapter.ts";
import { AbsentError, load, type OpenOptions, type Peer, type Prepared } from "./peer.ts";
import type { Arrays, Task } from "./tasks.ts";

/** Sizes of a convolution, as constants of its kernel. */
type Sizes = { channels: number; filters: number; size: number; batch: number };
type This = IKernelFunctionThis<Sizes>;

/** Results that stay on the device until they are asked for. */
interface Handle {
  toArray(): Promise<unknown>;
  delete?(): void;
}
type Run = (...inputs: unknown[]) => Promise<Handle>;

/** The arrays a kernel takes, in order, and the kernel; images and kernels are flat, `[z][y][x]` out. */
function kernelOf(
  gpu: GpuJs,
  task: Task,
): { readonly inputs: readonly string[]; readonly run: Run } {
  const settings = { pipeline: true, immutable: true };
  switch (task.kind) {
    case "matmul": {
      const run = gpu.createKernel(
        function (this: IKernelFunctionThis<{ n: number }>, a: number[][], b: number[][]) {
          let sum = 0;
          for (let i = 0; i < this.constants.n; i++)
            sum += a[this.thread.y]![i]! * b[i]![this.thread.x]!;
          return sum;
        },
        { ...settings, output: [task.n, task.n], constants: { n: task.n } },
      );
      return { inputs: ["a", "b"], run: run as unknown as Run };
    }
    case "conv":
      return convolution(gpu, task);
    case "teacher step":
    case "iteration":
      throw new AbsentError("gpu.js has no automatic differentiation");
  }
}

function convolution(gpu: GpuJs, task: Task & { kind: "conv" }): ReturnType<typeof kernelOf> {
  const { of, channels, filters, size, batch } = task;
  const constants: Sizes = { channels, filters, size, batch };
  const settings = { pipeline: true, immutable: true, constants };
  switch (of) {
    case "forward": {
      const run = gpu.createKernel(
        function (this: This, x: number[], k: number[]) {
          const n = Math.floor(this.thread.z / this.constants.filters);
          const o = this.thread.z - n * this.constants.filters;
          let sum = 0;
          for (let c = 0; c < this.constants.channels; c++)
            for (let r = 0; r < 3; r++)
              for (let q = 0; q < 3; q++) {
                const h = this.thread.y + r - 1;
                const w = this.thread.x + q - 1;
                if (h >= 0 && w >= 0 && h < this.constants.size && w < this.constants.size)
                  sum +=
                    x[
                      ((n * this.constants.channels + c) * this.constants.size + h) *
                        this.constants.size +
                        w
                    ]! * k[((o * this.constants.channels + c) * 3 + r) * 3 + q]!;
              }
          return sum;
        },
        { ...settings, output: [size, size, batch * filters] },
      );
      return { inputs: ["x", "k"], run: run as unknown as Run };
    }
    case "input": {
      const run = gpu.createKernel(
        function (this: This, g: number[], k: number[]) {
          const n = Math.floor(this.thread.z / this.constants.channels);
          const c = this.thread.z - n * this.constants.channels;
          let sum = 0;
          for (let o = 0; o < this.constants.filters; o++)
            for (let r = 0; r < 3; r++)
              for (let q = 0; q < 3; q++) {
                const h = this.thread.y - r + 1;
                const w = this.thread.x - q + 1;
                if (h >= 0 && w >= 0 && h < this.constants.size && w < this.constants.size)
                  sum +=
                    g[
                      ((n * this.constants.filters + o) * this.constants.size + h) *
                        this.constants.size +
                        w
                    ]! * k[((o * this.constants.channels + c) * 3 + r) * 3 + q]!;
              }
          return sum;
        },
        { ...settings, output: [size, size, batch * channels] },
      );
      return { inputs: ["g", "k"], run: run as unknown as Run };
    }
    case "kernel": {
      const run = gpu.createKernel(
        function (this: This, x: number[], g: number[]) {
          const o = Math.floor(this.thread.z / this.constants.channels);
          const c = this.thread.z - o * this.constants.channels;
          let sum = 0;
          for (let n = 0; n < this.constants.batch; n++)
            for (let i = 0; i < this.constants.size; i++)
              for (let j = 0; j < this.constants.size; j++) {
                const h = i + this.thread.y - 1;
                const w = j + this.thread.x - 1;
                if (h >= 0 && w >= 0 && h < this.constants.size && w < this.constants.size)
                  sum +=
                    x[
                      ((n * this.constants.channels + c) * this.constants.size + h) *
                        this.constants.size +
                        w
                    ]! *
                    g[
                      ((n * this.constants.filters + o) * this.constants.size + i) *
                        this.constants.size +
                        j
                    ]!;
              }
          return sum;
        },
        { ...settings, output: [3, 3, filters * channels] },
      );
      return { inputs: ["x", "g"], run: run as unknown as Run };
    }
  }
}

/** An array as kernels take it: rows of `columns`, or flat where there are none. */
function shaped(values: Float32Array, columns: number | undefined): Float32Array | Float32Array[] {
  if (columns === undefined) return values;
  return Array.from({ length: values.length / columns }, (_, i) =>
    values.subarray(i * columns, (i + 1) * columns),
  );
}

/** Keeps an array where the kernels are, so that runs do not pay for its way there. */
function upload(gpu: GpuJs, values: Float32Array | Float32Array[]): Promise<Handle> {
  const settings = { pipeline: true, immutable: true };
  const copy = Array.isArray(values)
    ? gpu.createKernel(
        function (this: IKernelFunctionThis, a: number[][]) {
          return a[this.thread.y]![this.thread.x]!;
        },
        { ...settings, output: [values[0]!.length, values.length] },
      )
    : gpu.createKernel(
        function (this: IKernelFunctionThis, a: number[]) {
          return a[this.thread.x]!;
        },
        { ...settings, output: [values.length] },
      );
  return (copy as unknown as Run)(values);
}

/** Nested rows as one array. */
function flatten(nested: unknown): Float32Array {
  if (nested instanceof Float32Array) return nested;
  const parts = (nested as unknown[]).map(flatten);
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export async function openGpuJs(
  mode: "webgpu" | "cpu",
  { adapter: wanted }: OpenOptions,
): Promise<Peer> {
  const adapter = mode === "webgpu" ? await installNavigator(wanted) : undefined;
  if (!adapter) setNavigator();
  const { GPU } = (await load("gpu.js")) as typeof import("gpu.js");
  const gpu = new GPU({ mode: mode as "cpu" });
  const { version } = createRequire(import.meta.url)("gpu.js/package.json") as { version: string };
  return {
    versions: { "gpu.js": version },
    ...(adapter ? { adapter } : {}),
    async prepare(task, inputs: Arrays): Promise<Prepared> {
      const { inputs: names, run } = kernelOf(gpu, task);
      const columns = task.kind === "matmul" ? task.n : undefined;
      const handles: unknown[] = [];
      for (const name of names) {
        const values = shaped(inputs[name]!, columns);
        handles.push(mode === "webgpu" ? await upload(gpu, values) : values);
      }
      return runner(run, handles);
    },
  };
}

function runner(run: Run, handles: readonly unknown[]): Prepared {
  const read = async (handle: Handle | unknown[]): Promise<unknown> =>
    "toArray" in handle ? handle.toArray() : handle;
  return {
    async first() {
      return flatten(await read(await run(...handles)));
    },
    async repeat(times) {
      let last: Handle | undefined;
      for (let i = 0; i < times; i++) {
        last?.delete?.();
        last = await run(...handles);
      }
      if (last) await read(last);
    },
  };
}
