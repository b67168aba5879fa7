/** @file What a device and its host did and how long it took: totals by kernel, and a bounded list of events. */
import type { Shape } from "../graph/shape.ts";

/** Tracks of the host: what it prepares, what it hands to the device, and when it waits. */
export type HostTrack = "compile" | "encode" | "wait";

/** Work of the device whose time is taken as one: a dispatch, or a submission where dispatches have none. */
export interface Work {
  /** What it computes, as the table names it. */
  readonly name: string;
  readonly dispatches: number;
  /** Of a single dispatch: its operation, workgroups and shapes. */
  readonly op?: string;
  readonly grid?: readonly [number, number, number];
  readonly operands?: readonly Shape[];
  readonly results?: readonly Shape[];
  readonly flops: number;
  readonly bytes: number;
}

/** An interval; times in ms of the host's clock, `performance.now()`. */
export interface ProfileEvent {
  readonly track: HostTrack | "device";
  readonly name: string;
  readonly begin: number;
  readonly ms: number;
  readonly work?: Work;
}

/** Time taken, and what was done in it. */
export interface Amount {
  readonly calls: number;
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
}

/** All work of one name together. */
export interface KernelTotal extends Amount {
  readonly name: string;
  /** The part of it without each dispatch's first call, in which a driver may still compile. */
  readonly warm: Amount;
}

const NOTHING: Amount = { calls: 0, ms: 0, flops: 0, bytes: 0 };

/** Two amounts together. */
export const addAmounts = (a: Amount, b: Amount): Amount => ({
  calls: a.calls + b.calls,
  ms: a.ms + b.ms,
  flops: a.flops + b.flops,
  bytes: a.bytes + b.bytes,
});

/**
 * Collects what happens on the device it is opened with (`Gpu.open({ profiler })`). Totals cover
 * everything; of single events the first `limit` are kept, so that memory is bounded.
 */
export class Profiler {
  readonly limit: number;
  private readonly kept: ProfileEvent[] = [];
  private readonly totals = new Map<string, KernelTotal>();
  private readonly seen = new WeakSet<Work>();
  private readonly hostMs = { compile: 0, encode: 0, wait: 0 };
  private offset = -Infinity;
  private lost = 0;

  constructor({ limit = 200_000 }: { readonly limit?: number } = {}) {
    this.limit = limit;
  }

  /** Events that were beyond the limit. */
  get dropped(): number {
    return this.lost;
  }

  /** The events kept, in the order in which they became known. */
  get events(): ProfileEvent[] {
    const offset = this.offset === -Infinity ? 0 : this.offset;
    return this.kept.map((event) =>
      event.track === "device" ? { ...event, begin: event.begin + offset } : event,
    );
  }

  /** Totals of the device's work, longest first. */
  get kernels(): KernelTotal[] {
    return [...this.totals.values()].sort((a, b) => b.ms - a.ms);
  }

  /** Time of the host on each track, in ms. */
  get host(): Readonly<Record<HostTrack, number>> {
    return this.hostMs;
  }

  /** Adds what the host did from `begin` until now. */
  span(track: HostTrack, name: string, begin: number): void {
    const ms = performance.now() - begin;
    this.hostMs[track] += ms;
    this.keep({ track, name, begin, ms });
  }

  /** Adds work of the device; `begin` in ms of the device's clock. */
  work(work: Work, begin: number, ms: number): void {
    const { name, flops, bytes } = work;
    const call = { calls: 1, ms, flops, bytes };
    const total = this.totals.get(name) ?? { ...NOTHING, warm: NOTHING };
    const isFirst = !this.seen.has(work);
    this.seen.add(work);
    this.totals.set(name, {
      name,
      ...addAmounts(total, call),
      warm: isFirst ? total.warm : addAmounts(total.warm, call),
    });
    this.keep({ track: "device", name, begin, ms, work });
  }

  /**
   * Tells that work submitted at `submitted` by the host's clock began at `begun` by the device's. It
   * cannot have begun earlier: of all submissions, the one that waited least sets the clocks' distance.
   */
  alignClocks(submitted: number, begun: number): void {
    this.offset = Math.max(this.offset, submitted - begun);
  }

  private keep(event: ProfileEvent): void {
    if (this.kept.length < this.limit) this.kept.push(event);
    else this.lost++;
  }
}
