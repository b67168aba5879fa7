/**
 * @file Takes the time of the device's work for a profiler: of every dispatch by timestamps, each in a
 * pass of its own; where the adapter has none, of every submission by the host's clock.
 */
import type { Gpu } from "./device.ts";
import { showDescription } from "./listing.ts";
import type { Dispatch } from "./plan.ts";
import type { Profiler, Work } from "./profiler.ts";
import { CHUNK } from "./tape.ts";

/** Timestamps of one submission on their way to the host. */
interface Pending {
  readonly work: readonly Work[];
  readonly submitted: number;
  readonly staging: GPUBuffer;
}

/** Bytes of a timestamp. */
const STAMP = 8;

/** A device's clock. Its buffers live as long as the device. */
export class Timer {
  readonly profiler: Profiler;
  private readonly gpu: Gpu;
  private readonly queries: { set: GPUQuerySet; resolved: GPUBuffer } | undefined;
  private readonly known = new WeakMap<Dispatch, Work>();
  /** Dispatches of the submission that is being encoded. */
  private current: Work[] = [];
  private pending: Pending[] = [];
  private readonly spare: GPUBuffer[] = [];
  /** The end of the last submission that the host timed. */
  private last: Promise<number> = Promise.resolve(0);

  constructor(gpu: Gpu, profiler: Profiler) {
    this.gpu = gpu;
    this.profiler = profiler;
    if (!gpu.facts.timestamps) return;
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    this.queries = {
      set: gpu.device.createQuerySet({ type: "timestamp", count: 2 * CHUNK }),
      resolved: gpu.device.createBuffer({ size: 2 * CHUNK * STAMP, usage }),
    };
  }

  /** Notes a dispatch; returns the pass it must have to itself, if it is timed alone. */
  dispatching(step: Dispatch): GPUComputePassDescriptor | undefined {
    const at = 2 * this.current.length;
    this.current.push(this.workOf(step));
    if (!this.queries) return undefined;
    return {
      timestampWrites: {
        querySet: this.queries.set,
        beginningOfPassWriteIndex: at,
        endOfPassWriteIndex: at + 1,
      },
    };
  }

  /** Submits what was encoded for a procedure, and sees to it that its times reach the host. */
  submit(procedure: string, encoder: GPUCommandEncoder): void {
    const { queue } = this.gpu.device;
    const work = this.current;
    this.current = [];
    const staging = this.resolve(encoder, 2 * work.length);
    const commands = encoder.finish();
    const submitted = performance.now();
    queue.submit([commands]);
    if (staging) this.pending.push({ work, submitted, staging });
    else if (work.length > 0) this.timeSubmission(procedure, work, submitted);
  }

  /** Waits for all that was submitted, and gives its times to the profiler. */
  async collect(): Promise<void> {
    const pending = this.pending;
    this.pending = [];
    const mapped = pending.map(({ staging }) => staging.mapAsync(GPUMapMode.READ));
    await this.gpu.settled(Promise.all([this.last, ...mapped]));
    for (const { work, submitted, staging } of pending) {
      const stamps = new BigUint64Array(staging.getMappedRange());
      const ms = (i: number): number => Number(stamps[i]!) / 1e6;
      this.profiler.alignClocks(submitted, ms(0));
      work.forEach((item, i) => {
        this.profiler.work(item, ms(2 * i), Math.max(0, ms(2 * i + 1) - ms(2 * i)));
      });
      staging.unmap();
      this.spare.push(staging);
    }
  }

  /** Adds the way of `count` timestamps to where the host can read them. */
  private resolve(encoder: GPUCommandEncoder, count: number): GPUBuffer | undefined {
    if (!this.queries || count === 0) return undefined;
    const { set, resolved } = this.queries;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const staging =
      this.spare.pop() ?? this.gpu.device.createBuffer({ size: resolved.size, usage });
    encoder.resolveQuerySet(set, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, count * STAMP);
    return staging;
  }

  /** From when it was submitted, or the one before it ended, to its end: one entry, as the host sees it. */
  private timeSubmission(procedure: string, work: readonly Work[], submitted: number): void {
    const sum = (key: "flops" | "bytes"): number => work.reduce((all, w) => all + w[key], 0);
    const whole: Work = {
      name: `submissions of ${procedure}`,
      dispatches: work.length,
      flops: sum("flops"),
      bytes: sum("bytes"),
    };
    const before = this.last;
    this.last = this.gpu.device.queue.onSubmittedWorkDone().then(async () => {
      const end = performance.now();
      const begin = Math.max(submitted, await before);
      this.profiler.work(whole, begin, Math.max(0, end - begin));
      return end;
    });
    // A device that is lost says so to whoever waits for it.
    this.last.catch(() => undefined);
  }

  private workOf(step: Dispatch): Work {
    let work = this.known.get(step);
    if (!work) {
      const { op, grid, flops, bytes, operands, results } = step;
      const name = showDescription(step);
      work = { name, dispatches: 1, op, grid, operands, results, flops, bytes };
      this.known.set(step, work);
    }
    return work;
  }
}
