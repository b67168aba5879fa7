/** @file One row: every peer is checked against ours, then they are timed in turns. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OpenOptions, Peer, Reply, Request } from "./peer.ts";
import { inputsOf, outputOf, type Arrays, type Row, type Task } from "./tasks.ts";

/** A peer's process, as far as a row needs it. */
export interface Contender {
  ask(request: Request): Promise<Reply>;
  [Symbol.dispose](): void;
}

/** A peer by name: how to start it, or why it cannot be. */
export interface Entry {
  readonly name: string;
  readonly start: (() => Contender) | { readonly absent: string };
}

/** What a peer came to in a row. */
export interface Result {
  readonly peer: string;
  /** `wrong`: ran, but not to our result, and so was not timed. `absent`: it has no means for the task. */
  readonly status: "timed" | "wrong" | "absent" | "failed";
  readonly medianMs?: number;
  /** Its median over ours. */
  readonly ratio?: number;
  readonly gflops?: number;
  /** The first run, with everything that is compiled for it. */
  readonly firstMs?: number;
  /** Most resident memory of its process, which runs nothing else. */
  readonly peakMiB?: number;
  /** ‖got - ours‖ / ‖ours‖. */
  readonly error?: number;
  readonly note?: string;
}

export interface Sampling {
  readonly rounds: number;
  /** A sample repeats its work until it lasts about this long, in ms. */
  readonly sampleMs: number;
  /** A peer whose samples of a row took longer than this in all, in ms, has no further turns. */
  readonly budgetMs: number;
}

/** Where float32 in another order of summation may differ; wrong derivatives differ by percents. */
export const TOLERANCE = 2e-3;

/** Called with what a peer opened with. */
type Opened = (facts: Pick<Peer, "versions" | "adapter">) => void;

/** ‖got - want‖ / ‖want - base‖. */
export function relativeError(got: Float32Array, want: Float32Array, base?: Float32Array): number {
  if (got.length !== want.length) return Infinity;
  let [distance, norm] = [0, 0];
  want.forEach((w, i) => {
    distance += (got[i]! - w) ** 2;
    norm += (w - (base?.[i] ?? 0)) ** 2;
  });
  return Math.sqrt(distance / norm);
}

/** The middle of a list, or the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.floor(half)]! + sorted[Math.ceil(half) - 1]!) / 2;
}

/** A peer that is ready to be sampled. */
interface Ready {
  readonly name: string;
  readonly contender: Contender;
  readonly checked: { readonly firstMs: number; readonly error: number };
}

/** A peer's samples of a row. */
export interface Samples {
  /** Of one run each, in ms. */
  readonly times: number[];
  peakMiB: number;
  /** Why there are no more of them, where it failed. */
  failed?: string;
}

/**
 * Samples every peer in turn, round after round, so that whatever else the machine does meets all
 * alike. A first turn warms up and tells how often a sample repeats its work.
 */
export async function interleave(
  peers: readonly Pick<Ready, "name" | "contender">[],
  { rounds, sampleMs, budgetMs }: Sampling,
): Promise<Map<string, Samples>> {
  const turns = peers.map(({ name, contender }) => {
    const samples: Samples = { times: [], peakMiB: 0 };
    return { name, contender, samples, repeats: 1, spentMs: 0 };
  });
  const sample = async (turn: (typeof turns)[number]): Promise<number> => {
    const reply = await turn.contender.ask({ do: "sample", times: turn.repeats });
    if (!("ms" in reply)) {
      turn.samples.failed = messageOf(reply);
      return NaN;
    }
    turn.samples.peakMiB = Math.max(turn.samples.peakMiB, reply.peakMiB);
    turn.spentMs += reply.ms;
    return reply.ms / turn.repeats;
  };
  for (const turn of turns) {
    const ms = await sample(turn);
    // What takes as long as all its samples may has no need to warm up.
    if (ms > budgetMs) turn.samples.times.push(ms);
    turn.repeats = Math.max(1, Math.round(sampleMs / ms));
  }
  for (let round = 0; round < rounds; round++)
    for (const turn of turns) {
      const { samples, spentMs } = turn;
      const done = samples.times.length > 0 && spentMs > budgetMs;
      if (samples.failed === undefined && !done) samples.times.push(await sample(turn));
    }
  return new Map(turns.map(({ name, samples }) => [name, samples]));
}

const messageOf = (reply: Reply): string =>
  "error" in reply ? reply.error : "absent" in reply ? reply.absent : JSON.stringify(reply);

/** Runs a task in a peer once: its output, and how long that took; a result where it did not. */
async function runOnce(
  { name, contender }: Pick<Ready, "name" | "contender">,
  task: Task,
  inputs: Arrays,
): Promise<{ readonly output: Float32Array; readonly firstMs: number } | Result> {
  const folder = mkdtempSync(join(tmpdir(), "potstill-peers-"));
  try {
    for (const [input, values] of Object.entries(inputs))
      writeFileSync(join(folder, `${input}.f32`), values);
    const reply = await contender.ask({ do: "prepare", task, folder });
    if ("absent" in reply) return { peer: name, status: "absent", note: reply.absent };
    if (!("firstMs" in reply)) return { peer: name, status: "failed", note: messageOf(reply) };
    const { buffer, byteOffset, byteLength } = readFileSync(join(folder, "output.f32"));
    const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
    return { output: new Float32Array(bytes), firstMs: reply.firstMs };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Compares the entries in one row; the first is ours, against which the others are checked. Every peer
 * has a fresh process, which ends with the row.
 * @throws Error when ours does not run.
 */
export async function compare(
  row: Row,
  entries: readonly Entry[],
  opening: OpenOptions,
  sampling: Sampling,
  onOpened: Opened = () => undefined,
): Promise<Result[]> {
  const processes: Contender[] = [];
  try {
    return await compareIn(processes, row, entries, opening, sampling, onOpened);
  } finally {
    for (const process of processes) process[Symbol.dispose]();
  }
}

async function compareIn(
  processes: Contender[],
  { task, checked = task, flops }: Row,
  entries: readonly Entry[],
  opening: OpenOptions,
  sampling: Sampling,
  onOpened: Opened,
): Promise<Result[]> {
  const results = new Map<string, Result>();
  const ready: Ready[] = [];
  const inputs = inputsOf(checked);
  const { change } = outputOf(checked);
  let want: Float32Array | undefined;
  for (const { name, start } of entries) {
    if (typeof start !== "function") {
      results.set(name, { peer: name, status: "absent", note: start.absent });
      continue;
    }
    const contender = start();
    processes.push(contender);
    const opened = await contender.ask({ do: "open", ...opening });
    if (!("opened" in opened)) {
      results.set(name, { peer: name, status: "failed", note: messageOf(opened) });
      continue;
    }
    onOpened(opened.opened);
    const once = await runOnce({ name, contender }, checked, inputs);
    if ("status" in once) {
      results.set(name, once);
      continue;
    }
    want ??= once.output;
    const error = relativeError(
      once.output,
      want,
      change === undefined ? undefined : inputs[change],
    );
    if (!(error <= TOLERANCE)) {
      results.set(name, { peer: name, status: "wrong", firstMs: once.firstMs, error });
      continue;
    }
    const real = checked === task ? once : await runOnce({ name, contender }, task, inputsOf(task));
    if ("status" in real) results.set(name, real);
    else ready.push({ name, contender, checked: { firstMs: real.firstMs, error } });
  }
  const ours = entries[0]!.name;
  if (ready[0]?.name !== ours)
    throw new Error(`peers: ours must run, got ${results.get(ours)?.note ?? "nothing"}`);
  const samples = await interleave(ready, sampling);
  const oursMs = median(samples.get(ours)!.times);
  for (const { name, checked: facts } of ready) {
    const { times, peakMiB, failed } = samples.get(name)!;
    if (failed !== undefined) {
      results.set(name, { peer: name, status: "failed", ...facts, note: failed });
      continue;
    }
    const medianMs = median(times);
    results.set(name, {
      peer: name,
      status: "timed",
      medianMs,
      ratio: medianMs / oursMs,
      ...(flops === undefined ? {} : { gflops: flops / medianMs / 1e6 }),
      ...facts,
      peakMiB,
    });
  }
  return entries.map(({ name }) => results.get(name)!);
}
