/** @file Time and memory of long work by its stages, also over several processes that do parts of it. */
import { existsSync } from "node:fs";
import { z } from "zod";
import type { Gpu } from "../engine/index.ts";
import { FileError, readBytes, writeAtomic } from "../distill/files.ts";
import type { Progress, ProgressValues } from "../distill/progress.ts";

const stage = z.object({
  /** Wall time in s. */
  seconds: z.number().min(0),
  /** Pieces that were done in that time. */
  pieces: z.number().min(0),
  /** Most bytes of programs on the device, and of the process in memory. */
  gpu: z.number().min(0),
  process: z.number().min(0),
});
const stages = z.record(z.string(), stage);
export type Stage = Readonly<z.infer<typeof stage>>;

/** What is not saved yet when the process is killed, in ms. */
const SAVED_EVERY_MS = 5000;

/** Passes on what is reported, and keeps in a file how long each piece of work took, by its label. */
export class StageMeter implements Progress {
  private readonly path: string;
  private readonly to: Progress;
  private readonly stages: Record<string, Stage>;
  private gpus: readonly Gpu[] = [];
  private label: string | undefined;
  private done = 0;
  private since = 0;
  private saved = 0;

  /** Goes on with what is in the file at `path`. Throws `FileError` when it is damaged. */
  constructor(path: string, to: Progress) {
    this.path = path;
    this.to = to;
    this.stages = existsSync(path) ? readStages(path) : {};
  }

  /** Devices whose memory is looked at from now on. */
  watch(gpus: readonly Gpu[]): void {
    this.gpus = gpus;
  }

  /** The stages so far, in the order in which they began. */
  get all(): Readonly<Record<string, Stage>> {
    return this.stages;
  }

  /** Seconds of all stages. */
  get seconds(): number {
    return Object.values(this.stages).reduce((sum, { seconds }) => sum + seconds, 0);
  }

  start(label: string, total: number, done = 0): void {
    this.stop();
    [this.label, this.done, this.since] = [label, done, performance.now()];
    this.stages[label] ??= { seconds: 0, pieces: 0, gpu: 0, process: 0 };
    this.to.start(label, total, done);
  }

  update(done: number, values?: ProgressValues): void {
    this.note(done);
    if (performance.now() - this.saved > SAVED_EVERY_MS) this.save();
    this.to.update(done, values);
  }

  stop(): void {
    if (this.label !== undefined) {
      this.note(this.done);
      this.save();
    }
    this.label = undefined;
    this.to.stop();
  }

  log(line: string): void {
    this.to.log(line);
  }

  private note(done: number): void {
    if (this.label === undefined) return;
    const now = performance.now();
    const { seconds, pieces, gpu, process: memory } = this.stages[this.label]!;
    this.stages[this.label] = {
      seconds: seconds + (now - this.since) / 1000,
      pieces: pieces + done - this.done,
      gpu: Math.max(gpu, ...this.gpus.map(({ allocated }) => allocated)),
      process: Math.max(memory, process.memoryUsage.rss()),
    };
    [this.done, this.since] = [done, now];
  }

  private save(): void {
    this.saved = performance.now();
    writeAtomic(this.path, `${JSON.stringify(this.stages, null, 2)}\n`);
  }
}

function readStages(path: string): Record<string, Stage> {
  try {
    return stages.parse(JSON.parse(new TextDecoder().decode(readBytes(path))));
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(`${path}: must be times of stages, got something else; remove it`);
  }
}
