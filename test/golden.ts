/** @file `npm run -s golden -- DIR`: runs every case of the JSON files in a folder of golden values. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Gpu } from "../engine/index.ts";
import { caseRunners, type Outcome } from "./golden/cases.ts";

/** Files of the form's folder, in the order in which they are run. */
const FILES = ["models.json", "unroll.json", "augment.json", "teacher.json", "zca.json"];

export interface GoldenResult {
  readonly file: string;
  readonly name: string;
  readonly outcome: Outcome;
}

/**
 * Results of all cases in `folder`, one by one.
 * @throws Error when the folder has none of the files, or one is not JSON.
 */
export async function* goldenResults(gpu: Gpu, folder: string): AsyncGenerator<GoldenResult> {
  const files = FILES.filter((file) => existsSync(join(folder, file)));
  if (files.length === 0)
    throw new Error(`golden: ${folder} must hold at least one of ${FILES.join(", ")}, got none`);
  for (const file of files) {
    const parsed: unknown = JSON.parse(readFileSync(join(folder, file), "utf8"));
    const cases = (Array.isArray(parsed) ? parsed : [parsed]) as { name?: string; op?: string }[];
    for (const [i, c] of cases.entries()) {
      const name = c.name ?? c.op ?? String(i);
      const run = caseRunners[file];
      const outcome = run
        ? await run(gpu, c as never)
        : { skipped: `${file} is not supported yet` };
      yield { file, name, outcome };
    }
  }
}

/** The check that is closest to, or furthest beyond, its tolerance. */
export function worstCheck(outcome: Outcome) {
  if (!("checks" in outcome)) return undefined;
  const share = (c: { error: number; tolerance: number }): number =>
    Number.isNaN(c.error) ? Infinity : c.error / c.tolerance;
  return [...outcome.checks].sort((a, b) => share(b) - share(a))[0];
}

async function main(folder: string): Promise<number> {
  using gpu = await Gpu.open();
  const count = { passed: 0, failed: 0, skipped: 0 };
  for await (const { file, name, outcome } of goldenResults(gpu, folder)) {
    const worst = worstCheck(outcome);
    if (!worst) {
      count.skipped++;
      console.log(`${file} ${name}: skipped (${(outcome as { skipped: string }).skipped})`);
      continue;
    }
    const ok = worst.error <= worst.tolerance;
    count[ok ? "passed" : "failed"]++;
    const numbers = `${worst.error.toExponential(2)} of ${worst.tolerance.toExponential(0)} (${worst.what})`;
    console.log(`${file} ${name}: ${numbers} ${ok ? "ok" : "FAIL"}`);
  }
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed > 0 ? 1 : 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const folder = process.argv[2];
  if (folder === undefined || process.argv.length > 3) {
    console.error("golden: exactly one folder must be named: npm run -s golden -- DIR");
    process.exitCode = 2;
  } else {
    process.exitCode = await main(folder).catch((error: unknown) => {
      console.error(error instanceof Error ? error.message : String(error));
      return 1;
    });
  }
}
