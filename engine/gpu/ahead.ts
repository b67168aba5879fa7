/**
 * @file Compilation on idle cores of what waits to be compiled on one.
 *
 * lavapipe turns a shader into machine code when it is first dispatched, on its device's one thread,
 * and keeps it on disk. So devices of their own work through the waiting shaders from the other end:
 * the first device finds these in the cache when it comes to them. Results do not depend on it.
 */
import { availableParallelism } from "node:os";
import type { Gpu } from "./device.ts";
import { pipelineFor } from "./pipeline.ts";
import type { Dispatch } from "./plan.ts";
import { slowPolling } from "./polling.ts";

/** What a first run takes whose shaders are in the driver's cache: then there is nothing to help with. */
const PATIENCE_MS = 40;
/** More would mostly wait for the disk and each other. */
const MOST_HELPERS = 3;

/** Helps a device to compile. It owns devices: they go when it is disposed and they have nothing in hand. */
export class Ahead implements Disposable {
  private readonly open: () => Promise<Gpu>;
  private readonly helpers: Promise<Gpu>[] = [];
  /** What each helper is at, if anything. */
  private readonly tasks: (Promise<void> | undefined)[] = [];
  /** Launches that the device comes to, the next one first, each of another shader. */
  private waiting: Dispatch[] = [];
  private readonly known = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  /** How many shaders were compiled for the device, for tests. @internal */
  compiled = 0;

  /** `open` opens another device like the one that is helped. */
  constructor(open: () => Promise<Gpu>) {
    this.open = open;
  }

  /** The device was given these launches to do, in this order. */
  expect(launches: readonly Dispatch[]): void {
    const before = this.waiting.length;
    for (const launch of launches)
      if (!this.known.has(launch.code)) {
        this.known.add(launch.code);
        this.waiting.push(launch);
      }
    if (this.waiting.length === before) return;
    this.timer ??= setTimeout(() => {
      const helpers = Math.min(MOST_HELPERS, availableParallelism() - 1);
      for (let index = 0; index < helpers; index++)
        this.tasks[index] ??= this.work(index).finally(() => (this.tasks[index] = undefined));
    }, PATIENCE_MS).unref();
  }

  /** All that the device was given is done. */
  settle(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.waiting = [];
  }

  [Symbol.dispose](): void {
    this.closed = true;
    this.settle();
    this.helpers.forEach((helper, index) => void this.release(helper, index));
  }

  /** A device that is destroyed while it compiles can take the process down. */
  private async release(helper: Promise<Gpu>, index: number): Promise<void> {
    await this.tasks[index];
    await helper.then((gpu) => gpu[Symbol.dispose]()).catch(() => undefined);
  }

  private async work(index: number): Promise<void> {
    const resume = slowPolling();
    try {
      const gpu = await (this.helpers[index] ??= this.open());
      for (let next = this.waiting.pop(); next && !this.closed; next = this.waiting.pop()) {
        await compileOnly(gpu, next);
        this.compiled++;
      }
    } catch {
      // What a helper cannot compile, the device compiles itself, and tells why if that fails.
    } finally {
      resume();
    }
  }
}

/** Has a launch's shader compiled by a dispatch of no workgroups, which only an indirect one may be. */
async function compileOnly(gpu: Gpu, { code, op, bindings, immediate }: Dispatch): Promise<void> {
  const { device } = gpu;
  const pipeline = await pipelineFor(gpu, code, op);
  const none = device.createBuffer({ size: 16, usage: GPUBufferUsage.INDIRECT });
  const buffers = bindings.map(() =>
    device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE }),
  );
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const layout = pipeline.getBindGroupLayout(0);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
  if (immediate) pass.setImmediates(0, new Uint32Array(1));
  pass.dispatchWorkgroupsIndirect(none, 0);
  pass.end();
  device.queue.submit([encoder.finish()]);
  await gpu.idle();
  for (const buffer of [none, ...buffers]) buffer.destroy();
}
