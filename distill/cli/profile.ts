/** @file `--profile FILE`: work with its times taken, a trace of it for a viewer, and a table by kernel. */
import {
  addAmounts,
  measureRoof,
  Profiler,
  showShape,
  type Amount,
  type Gpu,
  type KernelTotal,
  type ProfileEvent,
  type Roof,
  type Work,
} from "../../engine/index.ts";
import { proveWritable, writeAtomic } from "../files.ts";

/** Tracks of a trace, from top to bottom. */
const TRACKS: Readonly<Record<ProfileEvent["track"], string>> = {
  device: "device",
  compile: "host: compile",
  encode: "host: encode and submit",
  wait: "host: wait",
};

const tracks = Object.keys(TRACKS) as ProfileEvent["track"][];

/** What a viewer shows of selected work. */
function argumentsOf({ op, operands, results, grid, dispatches, flops, bytes }: Work): object {
  const single = op !== undefined && {
    op,
    operands: operands?.map(showShape).join(" "),
    results: results?.map(showShape).join(" "),
    grid: grid?.join("x"),
  };
  return { ...(single || { dispatches }), flops, bytes };
}

/**
 * The events in Chrome's trace event format, which Perfetto and chrome://tracing open: complete events
 * ("X") with times in µs from the first.
 */
export function chromeTrace(events: readonly ProfileEvent[], device: string): string {
  const origin = events.reduce((least, { begin }) => Math.min(least, begin), Infinity);
  const pid = 1;
  const micros = (ms: number): number => Math.round(ms * 1e6) / 1e3;
  const names = tracks.flatMap((track, tid) => [
    { ph: "M", pid, tid, name: "thread_name", args: { name: TRACKS[track] } },
    { ph: "M", pid, tid, name: "thread_sort_index", args: { sort_index: tid } },
  ]);
  const traceEvents = [
    { ph: "M", pid, tid: 0, name: "process_name", args: { name: `potstill on ${device}` } },
    ...names,
    ...events.map(({ track, name, begin, ms, work }) => ({
      ph: "X",
      pid,
      tid: tracks.indexOf(track),
      ts: micros(begin - origin),
      dur: micros(ms),
      name,
      cat: track,
      ...(work && { args: argumentsOf(work) }),
    })),
  ];
  return JSON.stringify({ displayTimeUnit: "ms", traceEvents });
}

/** Rows of the table; what takes less time than these comes together in one more. */
const ROWS = 40;

/** Several kernels as one. */
const together = (name: string, kernels: readonly KernelTotal[]): KernelTotal => {
  const sum = (of: readonly Amount[]): Amount =>
    of.reduce(addAmounts, { calls: 0, ms: 0, flops: 0, bytes: 0 });
  return { name, ...sum(kernels), warm: sum(kernels.map(({ warm }) => warm)) };
};

/**
 * Kernels by their shapes, longest first: calls, time, its share, and how fast they are once warm, as
 * rates and as a fraction of the roof that bounds them; the last row is all of them.
 */
export function formatProfile(kernels: readonly KernelTotal[], roof: Roof): string {
  const others = kernels.slice(ROWS);
  const all = together("all", kernels);
  const rows = [
    ...kernels.slice(0, ROWS),
    ...(others.length > 0 ? [together(`${others.length} others`, others)] : []),
    all,
  ];
  const cells = rows.map((total) => {
    const { ms, flops, bytes } = total.warm.ms > 0 ? total.warm : total;
    const [gflops, gbs] = ms > 0 ? [flops / ms / 1e6, bytes / ms / 1e6] : [0, 0];
    return [
      total.name,
      String(total.calls),
      total.ms.toFixed(2),
      `${all.ms > 0 ? ((100 * total.ms) / all.ms).toFixed(1) : "0.0"} %`,
      gflops.toFixed(2),
      gbs.toFixed(2),
      Math.max(gflops / roof.gflops, gbs / roof.gbs).toFixed(3),
    ];
  });
  const lines = [["kernel", "calls", "ms", "share", "GFLOP/s", "GB/s", "of roof"], ...cells];
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const align = (cell: string, i: number): string =>
    i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!);
  return lines.map((line) => line.map(align).join("  ")).join("\n");
}

/** What the profiler knows, as the lines that are printed. */
function report(profiler: Profiler, roof: Roof, path: string): string {
  const { compile, encode, wait } = profiler.host;
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  const dropped = profiler.dropped > 0 ? `, ${profiler.dropped} more left out` : "";
  return [
    formatProfile(profiler.kernels, roof),
    `host: ${seconds(compile)} s of compiling, ${seconds(encode)} s of encoding and submitting, ${seconds(wait)} s of waiting`,
    `roof: ${roof.gflops.toFixed(1)} GFLOP/s of fused multiply-adds, ${roof.gbs.toFixed(2)} GB/s of copying`,
    `trace: ${path}, ${profiler.events.length} events${dropped}`,
  ].join("\n");
}

/**
 * Does `work` on the device that `open` opens. With a path all times are taken: the trace is written there
 * and the table goes to standard error, when the work has ended well.
 * @throws FileError before anything else where the path cannot be written.
 */
export async function withProfile<T>(
  path: string | undefined,
  open: (profiler?: Profiler) => Promise<Gpu>,
  work: (gpu: Gpu) => Promise<T>,
): Promise<T> {
  if (path === undefined) {
    using gpu = await open();
    return await work(gpu);
  }
  proveWritable(path);
  const profiler = new Profiler();
  using gpu = await open(profiler);
  const result = await work(gpu);
  await gpu.idle();
  const roof = await measureRoof(gpu);
  writeAtomic(path, chromeTrace(profiler.events, gpu.facts.name));
  console.error(report(profiler, roof, path));
  return result;
}
