/** @file What long work says of itself: a bar on a terminal, plain lines in a log, or nothing. */
import { SingleBar } from "cli-progress";
import type { GenericFormatter } from "cli-progress";

/**
 * Where long work reports to. One piece of work at a time: `start`, any number of `update`, `stop`.
 * Call `stop` in a `finally`: a bar that is never stopped keeps Node alive.
 */
export interface Progress {
  /** Begins work of `total` pieces, `done` of them before; work still open is stopped first. */
  start(label: string, total: number, done?: number): void;
  /** `done` pieces of the total are finished; `values` are shown beside it, e.g. `{ loss: 0.41 }`. */
  update(done: number, values?: ProgressValues): void;
  /** Ends the work, complete or not. Does nothing when none is open. */
  stop(): void;
  /** One line of its own, above the bar if there is one. */
  log(line: string): void;
}

export type ProgressValues = Readonly<Record<string, number | string>>;

/** How progress is shown. */
export interface ProgressOptions {
  readonly quiet?: boolean;
  /** Where to write; by default standard error, so that results can be piped. */
  readonly stream?: NodeJS.WritableStream;
  /** Draw bars; by default when both standard output and standard error are terminals. */
  readonly bars?: boolean;
  /** The time in ms, for tests. */
  readonly now?: () => number;
}

/** The reporter that suits where the program runs. */
export function createProgress(options: ProgressOptions = {}): Progress {
  const { quiet = false, stream = process.stderr, now = () => performance.now() } = options;
  if (quiet) return SILENT;
  const { bars = process.stdout.isTTY && process.stderr.isTTY } = options;
  return bars ? new BarProgress(stream, now) : new LineProgress(stream, now);
}

const nothing = (): void => undefined;
const SILENT: Progress = { start: nothing, update: nothing, stop: nothing, log: nothing };

/** Work under way: how far, how fast, and the values that were last given. */
class Work {
  readonly label: string;
  readonly total: number;
  done: number;
  values: ProgressValues = {};
  private readonly now: () => number;
  private readonly begun: number;
  /** The latest [ms, done], oldest first: the rate of the last while, not of the slow start. */
  private readonly samples: [ms: number, done: number][];

  constructor(label: string, total: number, done: number, now: () => number) {
    this.label = label;
    this.total = total;
    this.done = done;
    this.now = now;
    this.begun = now();
    this.samples = [[this.begun, done]];
  }

  update(done: number, values: ProgressValues): void {
    this.done = done;
    this.values = { ...this.values, ...values };
    this.samples.push([this.now(), done]);
    if (this.samples.length > 32) this.samples.shift();
  }

  get elapsed(): number {
    return this.now() - this.begun;
  }

  /** `12/300, 4.1/s, 1m 10s left, loss 0.41`: what is not known yet is left out. */
  describe(): string {
    const [first, last] = [this.samples[0]!, this.samples.at(-1)!];
    const perMs = (last[1] - first[1]) / (last[0] - first[0]);
    const parts = [`${this.done}/${this.total}`];
    if (perMs > 0 && Number.isFinite(perMs)) {
      parts.push(formatRate(perMs * 1000));
      const left = (this.total - this.done) / perMs;
      if (left > 0) parts.push(`${formatTime(left)} left`);
    }
    return [...parts, ...describeValues(this.values)].join(", ");
  }

  /** `300/300 in 1m 12s, loss 0.39`. */
  conclude(): string {
    const parts = [`${this.done}/${this.total} in ${formatTime(this.elapsed)}`];
    return [...parts, ...describeValues(this.values)].join(", ");
  }
}

class BarProgress implements Progress {
  private readonly stream: NodeJS.WritableStream;
  private readonly now: () => number;
  private open: { readonly work: Work; readonly bar: SingleBar; ended: boolean } | undefined;

  constructor(stream: NodeJS.WritableStream, now: () => number) {
    this.stream = stream;
    this.now = now;
  }

  start(label: string, total: number, done = 0): void {
    this.stop();
    const work = new Work(label, total, done, this.now);
    const format: GenericFormatter = (_, { progress }) => {
      const full = Math.round(progress * BAR_CELLS);
      const cells = "=".repeat(full) + "-".repeat(BAR_CELLS - full);
      const text = this.open?.ended === true ? work.conclude() : work.describe();
      return `${label} [${cells}] ${text}`;
    };
    // linewrap: true means "cut to the width"; false would send escape codes that a Ctrl-C leaves on.
    const bar = new SingleBar({ format, stream: this.stream, linewrap: true, forceRedraw: true });
    this.open = { work, bar, ended: false };
    bar.start(total, done);
  }

  update(done: number, values: ProgressValues = {}): void {
    this.open?.work.update(done, values);
    this.open?.bar.update(done);
  }

  stop(): void {
    if (this.open === undefined) return;
    this.open.ended = true;
    this.open.bar.stop();
    this.open = undefined;
  }

  log(line: string): void {
    if (this.open === undefined) {
      this.stream.write(`${line}\n`);
      return;
    }
    // Over the bar, which goes on below; the bar returns to the cursor saved by ESC 7 when it stops.
    this.stream.write(`\r\x1b[2K${line}\n\x1b7`);
    this.open.bar.render();
  }
}

const BAR_CELLS = 24;

/** A line at the start, at each tenth of the work or every half minute, and at the end. */
class LineProgress implements Progress {
  private readonly stream: NodeJS.WritableStream;
  private readonly now: () => number;
  private work: Work | undefined;
  private said = { tenths: 0, ms: 0 };

  constructor(stream: NodeJS.WritableStream, now: () => number) {
    this.stream = stream;
    this.now = now;
  }

  start(label: string, total: number, done = 0): void {
    this.stop();
    this.work = new Work(label, total, done, this.now);
    this.said = { tenths: Math.floor((10 * done) / total), ms: 0 };
    this.log(`${label}: ${done}/${total}`);
  }

  update(done: number, values: ProgressValues = {}): void {
    const work = this.work;
    if (work === undefined) return;
    work.update(done, values);
    const tenths = Math.floor((10 * done) / work.total);
    const ms = work.elapsed;
    if (done >= work.total || (tenths === this.said.tenths && ms - this.said.ms < LINE_EVERY_MS)) {
      return;
    }
    this.said = { tenths, ms };
    this.log(`${work.label}: ${work.describe()}`);
  }

  stop(): void {
    if (this.work === undefined) return;
    this.log(`${this.work.label}: ${this.work.conclude()}`);
    this.work = undefined;
  }

  log(line: string): void {
    this.stream.write(`${line}\n`);
  }
}

const LINE_EVERY_MS = 30_000;

function describeValues(values: ProgressValues): string[] {
  return Object.entries(values).map(([name, value]) => {
    // Four digits, without the zeros that pad them.
    const shown = typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
    return `${name} ${shown}`;
  });
}

/** `12.3/s`, or `4.2s each` when slower than one a second. */
function formatRate(perSecond: number): string {
  if (perSecond < 1) return `${formatTime(1000 / perSecond)} each`;
  return `${perSecond < 100 ? perSecond.toFixed(1) : String(Math.round(perSecond))}/s`;
}

/** `0.4s`, `12s`, `3m 05s`, `2h 07m`. */
export function formatTime(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const padded = (n: number) => String(n).padStart(2, "0");
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${padded(seconds % 60)}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}h ${padded(minutes % 60)}m`;
}
