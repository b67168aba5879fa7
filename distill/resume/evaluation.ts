/**
 * @file An evaluation under way: what each seed's network does is kept in the folder until all is known,
 * so that one that was cut off goes on, and leaves what one leaves that was not. Of one that is complete
 * it is kept where its metrics are: done again, it replaces them.
 */
import { createHash } from "node:crypto";
import { existsSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

import type { KeptSeeds } from "../evaluation/evaluate.ts";
import { fileError, readBytes, writeAtomic } from "../files.ts";
import { METRICS } from "./folder.ts";

const FILE = "evaluation.json";

const FORMAT = "potstill-unfinished-evaluation 2";

const content = z.object({
  format: z.literal(FORMAT),
  /** What is evaluated, and how. */
  id: z.string(),
  /** Length of the metrics before it, in bytes. */
  metrics: z.int().min(0),
  /** Length of the metrics with it, once it is complete. */
  end: z.int().min(0).optional(),
  /** Confusion matrices by what was scored and by seed. */
  results: z.record(z.string(), z.record(z.string(), z.array(z.array(z.int().min(0))))),
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
      ...{ format: FORMAT, id, metrics },
      results: same ? found.results : {},
    };
    this.write();
  }

  /** How many networks are tested already. */
  get known(): number {
    return Object.values(this.content.results).flatMap((seeds) => Object.keys(seeds)).length;
  }

  /** The seeds of what is scored under a key. What is asked for twice is of two sets that are called the same. */
  seeds(key: unknown): KeptSeeds {
    const text = JSON.stringify(key);
    const before = this.asked.get(text) ?? 0;
    this.asked.set(text, before + 1);
    const name = `${text} ${before}`;
    const found = (): Content["results"][string] => this.content.results[name] ?? {};
    return {
      get: (seed) => found()[seed],
      add: (seed, confusion) => {
        const seeds = { ...found(), [seed]: confusion.map((row) => [...row]) };
        this.content = { ...this.content, results: { ...this.content.results, [name]: seeds } };
        this.write();
      },
    };
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
