/** @file Which of several kernels that do the same is the fastest here: measured once, then remembered. */
import { choicesOf, hashOf, type Choices } from "./choices.ts";
import type { Gpu } from "./device.ts";
import { pipelineFor } from "./pipeline.ts";

/** One way to do a launch. */
export interface Candidate {
  readonly label: string;
  readonly code: string;
  readonly grid: readonly [number, number, number];
  /** Bytes of what is bound, in order: what is read, then what is written. */
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  readonly flops: number;
}

/** Number of the candidate to take. */
export type Choose = (candidates: readonly Candidate[]) => number;

/** Takes the candidate of that number everywhere, or the last. */
export const always =
  (number: number): Choose =>
  ({ length }) =>
    Math.min(number, length - 1);

/** Operations below which starting a kernel takes longer than what it does. */
const TINY = 2 ** 20;
/** How long the kernels of one program may be measured, in ms; those left over keep the first candidate. */
const BUDGET_MS = 1000;
/** About what one measurement lasts, in ms, and how often it is taken. */
const SAMPLE_MS = 5;
const SAMPLES = 3;
/** What another candidate must gain over the first, so that noise changes nothing. */
const GAIN = 0.97;

/** Chooses for one program: what was measured before, else the first. */
export class Tuner {
  private readonly gpu: Gpu;
  private readonly choices: Choices;
  private readonly missing = new Map<string, readonly Candidate[]>();

  constructor(gpu: Gpu, choices = choicesOf(gpu)) {
    this.gpu = gpu;
    this.choices = choices;
  }

  readonly choose: Choose = (candidates) => {
    if (candidates.length === 1 || candidates[0]!.flops < TINY) return 0;
    const key = hashOf(JSON.stringify(candidates.map(({ code, grid }) => [code, grid])));
    const choice = this.choices.get(key);
    if (choice !== undefined && choice >= 0 && choice < candidates.length) return choice;
    this.missing.set(key, candidates);
    return 0;
  };

  /**
   * Measures what {@link choose} had no choice for, the most work first. Resolves to whether anything
   * was measured.
   */
  async measure(): Promise<boolean> {
    const begun = performance.now();
    const found = new Map<string, number>();
    const work = (candidates: readonly Candidate[]): number => candidates[0]!.flops;
    for (const [key, candidates] of [...this.missing].sort(([, a], [, b]) => work(b) - work(a))) {
      if (performance.now() - begun > BUDGET_MS) break;
      found.set(key, await fastest(this.gpu, candidates));
      this.missing.delete(key);
    }
    if (found.size > 0) this.choices.add(found);
    return found.size > 0;
  }
}

/** Number of the candidate that takes the least time. */
async function fastest(gpu: Gpu, candidates: readonly Candidate[]): Promise<number> {
  const pipelines = await Promise.all(
    candidates.map(({ code, label }) => pipelineFor(gpu, code, label)),
  );
  using memory = new Scratch(gpu.device);
  const runs = candidates.map(({ grid, reads, writes }, i) => {
    const pipeline = pipelines[i]!;
    const entries = [...reads, ...writes].map((bytes, binding) => ({
      binding,
      resource: { buffer: memory.buffer(binding, bytes) },
    }));
    const layout = pipeline.getBindGroupLayout(0);
    return { pipeline, group: gpu.device.createBindGroup({ layout, entries }), grid };
  });
  // The first run may still compile; the second tells how many a measurement needs.
  for (const run of runs) await time(gpu, run, 1);
  const once = await time(gpu, runs[0]!, 1);
  const repeats = Math.min(100, Math.max(1, Math.round(SAMPLE_MS / once)));
  const best = runs.map(() => Infinity);
  for (let sample = 0; sample < SAMPLES; sample++)
    for (const [i, run] of runs.entries())
      best[i] = Math.min(best[i]!, await time(gpu, run, repeats));
  const least = Math.min(...best);
  return least < GAIN * best[0]! ? best.indexOf(least) : 0;
}

interface Run {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number, number];
}

/** What one of `repeats` dispatches takes, in ms. */
async function time(gpu: Gpu, { pipeline, group, grid }: Run, repeats: number): Promise<number> {
  const { device } = gpu;
  const begun = performance.now();
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  for (let n = 0; n < repeats; n++) pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
  pass.end();
  device.queue.submit([encoder.finish()]);
  await gpu.settled(device.queue.onSubmittedWorkDone());
  return (performance.now() - begun) / repeats;
}

/** Memory to run candidates on: they share what they bind at the same place and of the same size. */
class Scratch implements Disposable {
  private readonly device: GPUDevice;
  private readonly buffers = new Map<string, GPUBuffer>();

  constructor(device: GPUDevice) {
    this.device = device;
  }

  buffer(binding: number, bytes: number): GPUBuffer {
    const key = `${binding}: ${bytes}`;
    let buffer = this.buffers.get(key);
    if (!buffer) {
      const size = Math.ceil(bytes / 16) * 16;
      buffer = this.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
      this.buffers.set(key, buffer);
    }
    return buffer;
  }

  [Symbol.dispose](): void {
    for (const buffer of this.buffers.values()) buffer.destroy();
  }
}
