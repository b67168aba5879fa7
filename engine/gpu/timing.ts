/** @file What the adapter can do at best: the roofs that kernels are measured against. */
import type { Gpu } from "./device.ts";
import { pipelineFor } from "./pipeline.ts";
import { specialise } from "./shader.ts";

/** Best observed rates: multiply-adds as two operations each, and bytes read plus bytes written. */
export interface Roof {
  readonly gflops: number;
  readonly gbs: number;
}

const FMA = { groups: 64, width: 64, perRound: 16 * 4 * 2 };

/** Best of `runs` timings in ms of one submitted dispatch, after one to warm up. */
async function best(
  gpu: Gpu,
  pipeline: GPUComputePipeline,
  buffers: readonly GPUBuffer[],
  groups: number,
  runs: number,
): Promise<number> {
  const { device } = gpu;
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  let least = Infinity;
  for (let run = 0; run <= runs; run++) {
    const begun = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(groups);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await gpu.settled(device.queue.onSubmittedWorkDone());
    if (run > 0) least = Math.min(least, performance.now() - begun);
  }
  return least;
}

/** Measures both roofs, `runs` times each, and takes the best: other work can only slow it down. */
export async function measureRoof(gpu: Gpu, runs = 5): Promise<Roof> {
  const { software } = gpu.facts;
  const rounds = software ? 4000 : 400_000;
  const count = software ? 2 ** 20 : 2 ** 24;
  const usage = GPUBufferUsage.STORAGE;
  const x = gpu.device.createBuffer({ size: count * 16, usage });
  const y = gpu.device.createBuffer({ size: count * 16, usage });
  try {
    const fma = await pipelineFor(gpu, specialise("roof_fma", { ROUNDS: rounds }), "roof_fma");
    const fmaMs = await best(gpu, fma, [y], FMA.groups, runs);
    const groups = software ? 64 : 4096;
    const constants = { COUNT: count, STRIDE: groups * 256 };
    const copy = await pipelineFor(gpu, specialise("roof_copy", constants), "roof_copy");
    const copyMs = await best(gpu, copy, [x, y], groups, runs);
    return {
      gflops: (FMA.groups * FMA.width * rounds * FMA.perRound) / fmaMs / 1e6,
      gbs: (count * 32) / copyMs / 1e6,
    };
  } finally {
    x.destroy();
    y.destroy();
  }
}
