/** @file The shaders that a convolution may run on: the same bits from all, the same values in parts, matrices. */

import { describe, expect, test } from "vitest";

import {
  conv2d,
  convInput,
  convKernel,
  Gpu,
  interpret,
  Program,
  Random,
  variable,
  type Shape,
  type Tensor,
} from "../../engine/index.ts";
import { apply, type Kernel, type KernelOp, type Target } from "../../engine/graph/tensor.ts";
import { lower } from "../../engine/gpu/lower.ts";
import { pipelineFor } from "../../engine/gpu/pipeline.ts";
import { specialise } from "../../engine/gpu/shader.ts";
import { runOnGpu, sharedGpu } from "../support/gpu.ts";
import { expectNear } from "../support/tolerance.ts";
import { normal } from "./table/row.ts";

const ANY = { f16: false, maxWorkgroupSize: 256, maxBuffers: 8 };
const HARDWARE: Target = { ...ANY, software: false, subgroupSize: 32 };

/** Adapters that kernels are chosen for; subgroups of eight are what the one at hand has, if any. */
const targets = (lanes: number): Target[] => [
  { ...ANY, software: true, subgroupSize: 0 },
  ...(lanes >= 4 ? [{ ...ANY, software: true, subgroupSize: lanes }] : []),
  HARDWARE,
];

interface Shapes {
  readonly x: Shape;
  readonly k: Shape;
  readonly stride: number;
  readonly padding: number;
}

/** The three convolutions of variables of these shapes, or the sums of two of each. */
function three({ x, k, stride, padding }: Shapes, pairs: 1 | 2): Tensor[] {
  const window = { stride, padding };
  const g = conv2d(variable("x", x), variable("k", k), window).shape;
  const once = (p: number): Tensor[] => {
    const [a, b, c] = [variable(`x${p}`, x), variable(`k${p}`, k), variable(`g${p}`, g)];
    return [
      conv2d(a, b, window),
      convInput(c, b, x.slice(2), window),
      convKernel(a, c, k.slice(2), window),
    ];
  };
  const [first, second] = [once(0), once(1)];
  if (pairs === 1) return first;
  return first.map((t, i) => apply(t.op, [...t.inputs, ...second[i]!.inputs], t.params));
}

async function compute(gpu: Gpu, y: Tensor, kernel: Kernel): Promise<Uint32Array> {
  const { device } = gpu;
  const random = new Random(3);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const inputs = y.inputs.map(({ shape, size }) => {
    const buffer = device.createBuffer({ size: size * 4, usage });
    device.queue.writeBuffer(buffer, 0, normal(random, shape));
    return buffer;
  });
  const bytes = y.size * 4;
  const result = device.createBuffer({ size: bytes, usage });
  const mappable = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer({ size: bytes, usage: mappable });
  const pipeline = await pipelineFor(
    gpu,
    specialise(kernel.shader, kernel.constants),
    kernel.shader,
  );
  const operands = kernel.operands ?? inputs.map((_, i) => i);
  const entries = [...operands.map((i) => inputs[i]!), result].map((buffer, binding) => ({
    binding,
    resource: { buffer },
  }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(...kernel.grid);
  pass.end();
  encoder.copyBufferToBuffer(result, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await gpu.settled(staging.mapAsync(GPUMapMode.READ));
  const bits = new Uint32Array(staging.getMappedRange().slice(0));
  for (const buffer of [...inputs, result, staging]) buffer.destroy();
  return bits;
}

/** Rows of vectors; a stride; a single row wider than any tile. */
const SHAPES: readonly (readonly [Shapes, 1 | 2])[] = [
  [{ x: [3, 10, 8, 8], k: [40, 10, 3, 3], stride: 1, padding: 1 }, 1],
  [{ x: [2, 3, 9, 7], k: [9, 3, 3, 3], stride: 2, padding: 1 }, 2],
  [{ x: [1, 5, 1, 150], k: [34, 5, 1, 1], stride: 1, padding: 0 }, 1],
];

describe("the kernels of a convolution", () => {
  const gpu = sharedGpu();

  test.each(SHAPES)("give the same bits for %j, pairs %i", async (shapes, pairs) => {
    const { subgroupSize } = gpu().facts;
    for (const y of three(shapes, pairs)) {
      const kernels = targets(subgroupSize?.min ?? 0).flatMap((target) => {
        const op = y.op as KernelOp;
        const aligned = y.inputs.map(() => 0);
        const unaligned = y.inputs.map(() => 1);
        return [aligned, unaligned].flatMap((starts) => op.kernels(y.inputs, y, target, starts));
      });
      const different = new Map(kernels.map((kernel) => [JSON.stringify(kernel), kernel]));
      expect(different.size).toBeGreaterThanOrEqual(3);
      const [first, ...others] = different.values();
      const bits = await compute(gpu(), y, first!);
      expect(bits.some((b) => b !== 0)).toBe(true);
      for (const kernel of others)
        expect(await compute(gpu(), y, kernel), `${y.op.name} by ${kernel.shader}`).toEqual(bits);
    }
  });
});

describe("a convolution to kernels", () => {
  const shapes: Shapes = { x: [3, 5, 8, 8], k: [6, 5, 3, 3], stride: 1, padding: 1 };
  const y = three(shapes, 1)[2]!;

  test("is lowered to parts on hardware, by shapes alone, and never on a CPU", () => {
    const [lowered] = lower([y], HARDWARE);
    expect(lowered!.op.name).toBe("sum");
    // 192 pixels make three parts of 64.
    expect(lowered!.inputs[0]!.op.name).toBe("convKernelParts");
    expect(lowered!.inputs[0]!.shape).toEqual([3, 6, 5, 3, 3]);
    expect(lower([y], { ...HARDWARE, software: true })).toEqual([y]);
  });

  describe("in parts", () => {
    const gpu = sharedGpu({ software: false });

    test("is what the interpreter says", async () => {
      const random = new Random(5);
      const values = {
        x0: normal(random, shapes.x),
        g0: normal(random, [3, 6, 8, 8]),
      };
      const { y: actual } = await runOnGpu(gpu(), { y }, values);
      const [expected] = interpret([y], values);
      expectNear(actual!, expected!, { c: 4, terms: 3 * 64 }, "y");
      using program = await Program.compile(gpu(), { main: { y } });
      expect(program.print("main")).toContain("convKernelParts");
    });
  });
});

describe("a convolution of operands stored as f16", () => {
  const shapes: Shapes = { x: [2, 5, 8, 8], k: [40, 5, 3, 3], stride: 1, padding: 1 };
  const matrix = { m: 16, n: 16, k: 16 };
  const images = three(shapes, 2).slice(0, 2);

  const shaders = (y: Tensor, target: Target): string[] => {
    const starts = y.inputs.map(() => 0);
    const kernels = (y.op as KernelOp).kernels(y.inputs, y, target, starts);
    return kernels.map(({ shader }) => shader);
  };

  test("runs on matrix units where there are some that divide its tiles", () => {
    const halves: Target = { ...HARDWARE, f16: true, precision: "f16" };
    for (const y of images) {
      expect(shaders(y, { ...halves, matrix })).toEqual(["conv_matrix"]);
      expect(shaders(y, { ...HARDWARE, f16: true, matrix })).not.toContain("conv_matrix");
      expect(shaders(y, halves)).not.toContain("conv_matrix");
      const odd = { ...halves, matrix: { m: 12, n: 16, k: 16 } };
      expect(shaders(y, odd)).not.toContain("conv_matrix");
    }
  });

  test.each([matrix, { m: 8, n: 8, k: 8 }, { m: 16, n: 8, k: 16 }])(
    "compiles for matrices of %j",
    async (sizes) => {
      using gpu = await Gpu.open({ adapter: "null" });
      const target: Target = { ...HARDWARE, f16: true, precision: "f16", matrix: sizes };
      for (const y of images) {
        const starts = y.inputs.map(() => 0);
        const [kernel] = (y.op as KernelOp).kernels(y.inputs, y, target, starts);
        const code = specialise(kernel.shader, kernel.constants);
        await expect(pipelineFor(gpu, code, kernel.shader)).resolves.toBeDefined();
      }
    },
  );
});
