/** @file Evaluations divided among processes: a unit is one seed of one row, its result a confusion matrix. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { z } from "zod";

import { knownResult, writeResult, type Result } from "../cluster/results.ts";
import { unitsOf, type Shard } from "../cluster/shard.ts";
import { asTask } from "../cluster/tasks.ts";
import { recordWork } from "../cluster/work.ts";
import { describePreprocessing } from "../data/preprocess.ts";
import type { Dataset } from "../data/dataset.ts";
import { FileError } from "../files.ts";
import { randomOf } from "../run.ts";
import { pairsOf, type AssessOptions, type Pair } from "./assess.ts";
import { accuracyOf, addConfusions, type Confusion } from "./confusion.ts";
import { evaluateSeeds, summarise } from "./evaluate.ts";
import type { EvaluationPlan } from "./plan.ts";
import { resultRow, type ResultRow, type RowKey } from "./table.ts";

interface Unit {
  readonly name: string;
  readonly pair: Pair;
  readonly seed: number;
}

/** How many units a shard has had to do, and how many there are in all. */
export interface Share {
  readonly own: number;
  readonly all: number;
}

/**
 * Does a shard's part of an assessment: results of its seeds go into the folder, for {@link gatherRows}.
 * @throws as `assess`, FileError.
 */
export async function assessShare(options: AssessOptions, shard: Shard): Promise<Share> {
  const { bench, plan } = options;
  const { gpu, beside = [], folder, dataset, progress, signal } = bench;
  const pairs = await pairsOf(options);
  const units = pairs.flatMap((pair) =>
    Array.from({ length: plan.seeds }, (_, seed) => unitOf(pair, plan, dataset, seed)),
  );
  recordWork(folder, { command: "evaluate", units: units.map(({ name }) => name) });
  const own = unitsOf(units, shard);
  const left = own.filter(({ name }) => knownResult(folder, name) === undefined);
  const counts = { units: own.length, before: own.length - left.length };
  await asTask(folder, shard, counts, async (told) => {
    let done = counts.before;
    progress.start("evaluate", left.length);
    try {
      for (const pair of pairs) {
        const mine = left.filter((unit) => unit.pair === pair);
        if (mine.length === 0) continue;
        const { candidate, model } = pair;
        await evaluateSeeds([gpu, ...beside], model, candidate.setOf, {
          ...{ dataset, settings: { ...plan, ...candidate.own } },
          random: randomOf(plan, "evaluation"),
          seeds: mine.map(({ seed }) => seed),
          report: () => signal?.throwIfAborted(),
          onSeed: (seed, confusion) => {
            const { name } = mine.find((unit) => unit.seed === seed)!;
            const key = { ...candidate.key, network: model.name };
            writeResult(folder, name, { key, confusion } as unknown as Result);
            told(++done);
            progress.update(done - counts.before, { accuracy: accuracyOf(confusion) });
          },
        });
      }
    } finally {
      progress.stop();
    }
  });
  return { own: own.length, all: units.length };
}

/** A name that tells all that the unit's bits depend on, in words and by a hash. */
function unitOf(pair: Pair, plan: EvaluationPlan, dataset: Dataset, seed: number): Unit {
  const { candidate, model } = pair;
  const { method, recipe, ipc, variant } = candidate.key;
  const depends = {
    data: [dataset.id, dataset.train.count, describePreprocessing(dataset.preprocessing)],
    network: model.parameters.map(({ shape }) => shape),
    // More seeds later are the same ones and some more.
    settings: { ...plan, ...candidate.own, seeds: undefined },
    set: checksumOf(pair, dataset, seed),
  };
  const hash = createHash("sha256").update(JSON.stringify(depends)).digest("hex").slice(0, 8);
  const words = [method, recipe, `ipc${ipc}`, variant, model.name, `seed${seed}`, hash];
  const name = words.filter((word) => word !== undefined).join(".");
  return { name: name.replace(/[^A-Za-z0-9._=-]/g, "-").slice(-200), pair, seed };
}

/** Of a set's images and targets; the whole training set's images are known by the data set. */
function checksumOf({ candidate }: Pair, dataset: Dataset, seed: number): number {
  const set = candidate.setOf(seed);
  const targets = crc32(bytesOf(set.targets));
  if (set.count === dataset.train.count) return targets;
  const all = Uint32Array.from({ length: set.count }, (_, i) => i);
  return crc32(bytesOf(set.images(all)), targets);
}

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

const matrix = z.array(z.array(z.int().min(0))).min(1);
const seedResult = z.object({
  key: z.object({ method: z.string(), ipc: z.number(), network: z.string() }).loose(),
  /** Of a comparison: the recipe's name, where the set is its own, and what the metrics tell. */
  recipe: z.string().optional(),
  usual: z.boolean().optional(),
  lr: z.number().optional(),
  confusion: matrix,
});

/** A row, and what else its seeds' results say. */
export interface GatheredRow extends Omit<z.infer<typeof seedResult>, "key" | "confusion"> {
  readonly row: ResultRow;
}

/** Puts results of seeds, in the order of their units, together into rows. */
export class RowGatherer {
  private readonly found: { told: string; confusions: Confusion[] }[] = [];

  /** Adds a unit's result. Throws `FileError` when it is none of an evaluation. */
  add(unit: string, result: Result): void {
    const parsed = seedResult.safeParse(result);
    if (!parsed.success)
      throw new FileError(`${unit}: must be the result of an evaluation's seed, got another one`);
    const { confusion, ...rest } = parsed.data;
    const told = JSON.stringify(rest);
    const last = this.found.at(-1);
    if (last?.told === told) last.confusions.push(confusion);
    else this.found.push({ told, confusions: [confusion] });
  }

  rows(): GatheredRow[] {
    return this.found.map(({ told, confusions }) => {
      const { key, ...rest } = JSON.parse(told) as GatheredRow & { readonly key: RowKey };
      const evaluation = {
        ...summarise(confusions.map(accuracyOf)),
        confusion: addConfusions(confusions),
      };
      return { ...rest, row: resultRow(key, evaluation) };
    });
  }
}
