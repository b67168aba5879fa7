/**
 * @file An evaluation under way: the results of what is scored are kept in the folder until all are known,
 * so that one that was cut off goes on, and leaves what one leaves that was not. Of one that is complete
 * it is kept where its metrics are: done again, it replaces them.
 */
import { createHash } from "node:crypto";
import { existsSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

import { fileError, readBytes, writeAtomic } from "../files.ts";
import { METRICS } from "./folder.ts";

const FILE = "evaluation.json";

const content = z.object({
  format: z.literal("potstill-unfinished-evaluation 1"),
  /** What is evaluated, and how. */
  id: z.string(),
  /** Length of the metrics before it, in bytes. */
  metrics: z.int().min(0),
  /** Length of the metrics with it, once it is complete. */
  end: z.int().min(0).optional(),
  results: z.record(z.string(), z.json()),
});
type Content = z.infer<typeof content>;

/** The evaluation that is under way in a folder. */
export class UnfinishedEvaluation {
  private readonly folder: string;
  private content: Content;
  /** How often a key was asked for. */
  private readonly asked = new Map<string, number>();

  /**
   * Takes up what is known of an evaluation of `what`, everything that its results depend on. What one
   * that was cut off has added to the metrics is cut off, too; so is what the same one added that was
   * complete, if it came last. Throws `FileError`.
   */
  constructor(folder: string, what: unknown) {
    this.folder = folder;
    const id = createHash("sha256").update(JSON.stringify(what)).digest("hex");
    const found = this.read();
    const same = found?.id === id;
    const again = found && (found.end === undefined || (same && found.end === this.bytes()));
    const metrics = again ? this.cut(found.metrics) : this.bytes();
    this.content = {
      ...{ format: "potstill-unfinished-evaluation 1", id, metrics },
      results: same ? found.results : {},
    };
    this.write();
  }

  /** How many results are known. */
  get known(): number {
    return Object.keys(this.content.results).length;
  }

  /** The result under a key, known or of `work`, which is JSON. Throws `FileError`. */
  async once<T>(key: unknown, work: () => Promise<T>): Promise<T> {
    const text = JSON.stringify(key);
    const before = this.asked.get(text) ?? 0;
    this.asked.set(text, before + 1);
    // What is asked for twice is of two sets that are called the same.
    const name = `${text} ${before}`;
    if (!Object.hasOwn(this.content.results, name)) {
      const result = z.json().parse(await work());
      this.content = { ...this.content, results: { ...this.content.results, [name]: result } };
      this.write();
    }
    // Whoever has the same key has the same kind of result.
    return this.content.results[name] as T;
  }

  /** The evaluation is complete, and its results are where they belong. Throws `FileError`. */
  finish(): void {
    this.content = { ...this.content, results: {}, end: this.bytes() };
    this.write();
  }

  private get path(): string {
    return join(this.folder, FILE);
  }

  /** What there is, unless it is damaged: then it is made again. */
  private read(): Content | undefined {
    if (!existsSync(this.path)) return undefined;
    try {
      return content.parse(JSON.parse(new TextDecoder().decode(readBytes(this.path))));
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
      throw error;
    }
  }

  private write(): void {
    writeAtomic(this.path, `${JSON.stringify(this.content)}\n`);
  }

  private bytes(): number {
    return statSync(join(this.folder, METRICS), { throwIfNoEntry: false })?.size ?? 0;
  }

  private cut(bytes: number): number {
    const path = join(this.folder, METRICS);
    if (this.bytes() <= bytes) return this.bytes();
    try {
      truncateSync(path, bytes);
    } catch (cause) {
      throw fileError(path, "writable", cause);
    }
    return bytes;
  }
}
