/** @file The whole training set's accuracy, kept in the cache folder: it is the same for every set. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { z } from "zod";

import { cacheFolder, type AdapterFacts } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { describePreprocessing } from "../data/preprocess.ts";
import { openRunFolder, readBytes, writeAtomic } from "../files.ts";
import type { Teaching } from "../recipe.ts";
import { summarise } from "./evaluate.ts";
import type { EvaluationPlan } from "./plan.ts";
import { record, score, wholeCandidate, type Bench, type Candidate } from "./score.ts";
import type { ResultRow } from "./table.ts";

/** Of the cache's files: another one is not read. */
const VERSION = 1;

const kept = z.object({
  values: z.array(z.number().min(0).max(1)).min(1),
  confusion: z.array(z.array(z.int().min(0))).min(1),
});

/** The row of the whole training set, from the cache folder where it was trained there before. */
export async function wholeRow(
  bench: Bench,
  plan: EvaluationPlan,
  model: Model,
  recipe: Pick<Teaching, "teachers">,
  own: string,
): Promise<{ row: ResultRow; cached: boolean }> {
  const candidate = wholeCandidate(bench, recipe);
  const path = cacheFile(bench, plan, model, candidate);
  const before = path === undefined ? undefined : known(path);
  if (before) {
    bench.progress.log(`evaluate full ${model.name}: from the cache (${path!})`);
    return { row: record(bench, plan, model, candidate, own, before), cached: true };
  }
  const result = await score(bench, plan, model, candidate);
  if (path !== undefined) {
    const { values, confusion } = result;
    openRunFolder(dirname(path));
    writeAtomic(path, JSON.stringify({ values, confusion }));
  }
  return { row: record(bench, plan, model, candidate, own, result), cached: false };
}

/** Everything that the bits of the result depend on, as the name of a file; undefined without a cache folder. */
function cacheFile(
  { gpu, dataset }: Bench,
  plan: EvaluationPlan,
  { name, parameters }: Model,
  { own }: Candidate,
): string | undefined {
  const folder = cacheFolder();
  if (folder === undefined) return undefined;
  const manifest: unknown = createRequire(import.meta.url)("potstill/package.json");
  const on = ({ name: adapter, driver, backend, precision, webgpuVersion }: AdapterFacts) => ({
    ...{ adapter, driver, backend, precision, webgpuVersion },
  });
  const key = {
    version: [VERSION, (manifest as { version: string }).version],
    data: [dataset.id, dataset.train.count, describePreprocessing(dataset.preprocessing)],
    network: [name, parameters.map(({ shape }) => shape)],
    settings: { ...plan, ...own },
    adapter: on(gpu.facts),
  };
  const hash = createHash("sha256").update(JSON.stringify(key)).digest("hex");
  return join(folder, "evaluations", `${dataset.name}-${name}-${hash.slice(0, 16)}.json`);
}

/** What a cache file holds, if it can be read. */
function known(path: string) {
  if (!existsSync(path)) return undefined;
  try {
    const text = new TextDecoder().decode(readBytes(path));
    const { values, confusion } = kept.parse(JSON.parse(text));
    return { ...summarise(values), confusion };
  } catch {
    // Whatever is wrong with it, it can be made again.
    return undefined;
  }
}
