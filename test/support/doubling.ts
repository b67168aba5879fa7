/** @file The smallest program there is, for tests of the GPU itself: y[i] = 2 i. */

import type { Gpu } from "../../engine/gpu/device.ts";

/** The loop does not change x, up to rounding, and cannot be dropped by a compiler. */
const SHADER = `
override rounds = 0u;
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  var x = f32(id.x);
  for (var i = 0u; i < rounds; i++) { x = fma(x, 0.5, f32(id.x) * 0.5); }
  y[id.x] = 2 * x;
}`;

/** The first 64 values of y. */
export const DOUBLES = Array.from({ length: 64 }, (_, i) => 2 * i);

export interface Doubling {
  submit: () => void;
  /** Gets the first 64 values of y at every submit; to be unmapped before it. */
  read: GPUBuffer;
}

/** The program with `groups` × 64 invocations of `rounds` turns each. */
export async function doubling(gpu: Gpu, groups = 1, rounds = 0): Promise<Doubling> {
  const { device } = gpu;
  const module = device.createShaderModule({ code: SHADER });
  const pipeline = await gpu.settled(
    device.createComputePipelineAsync({
      layout: "auto",
      compute: { module, constants: { rounds } },
    }),
  );
  const y = device.createBuffer({
    size: groups * 256,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  });
  const read = device.createBuffer({
    size: 256,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: y } }],
  });
  const submit = () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(groups);
    pass.end();
    encoder.copyBufferToBuffer(y, 0, read, 0, 256);
    device.queue.submit([encoder.finish()]);
  };
  return { submit, read };
}

/** Runs the program once and reads it. */
export async function doubles(gpu: Gpu): Promise<number[]> {
  const { submit, read } = await doubling(gpu);
  submit();
  await gpu.settled(read.mapAsync(GPUMapMode.READ));
  return [...new Float32Array(read.getMappedRange())];
}
