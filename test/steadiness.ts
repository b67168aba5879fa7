/**
 * @file Whether a long run was steady: `npx tsx test/steadiness.ts RUN` after
 * `node --max-old-space-size=40 dist/bench/potstill.js distill digits --ipc 1 --iterations 2000 --out RUN`.
 * Exits with 1 where it was not. With a larger heap V8 lets garbage lie for a thousand iterations and more,
 * and what is measured is when it collects.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Timing {
  readonly event: string;
  readonly seconds: number;
  readonly rss: number;
}
interface Metric {
  readonly event: string;
  readonly loss: number;
}

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("steadiness: needs the folder of a run, got none");

const linesOf = <T extends { event: string }>(file: string): T[] =>
  readFileSync(join(folder, file), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as T)
    .filter(({ event }) => event === "iteration");

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

const timings = linesOf<Timing>("timing.jsonl");
const losses = linesOf<Metric>("metrics.jsonl").map(({ loss }) => loss);
// Drivers compile and V8 optimises in the first tenth. Between collections of garbage memory rises a little.
const tenth = Math.floor(timings.length / 10);
const parts = Array.from({ length: 9 }, (_, i) => timings.slice((i + 1) * tenth, (i + 2) * tenth));
const rss = parts.map((part) => median(part.map((line) => line.rss)));
const seconds = parts.map((part) => median(part.map((line) => line.seconds)));
const lossOf = (from: number, to: number): number =>
  median(losses.slice(Math.floor(from * losses.length), Math.floor(to * losses.length)));

const growth = rss.at(-1)! / rss[0]! - 1;
const drift = seconds.at(-1)! / seconds[0]! - 1;
const checks: [name: string, value: string, holds: boolean][] = [
  ["iterations", String(timings.length), timings.length >= 2000],
  [
    "memory, last tenth over first after warming up",
    `${(100 * growth).toFixed(2)} %`,
    growth <= 0.02,
  ],
  ["time of an iteration, last over first", `${(100 * drift).toFixed(2)} %`, drift <= 0.1],
  [
    "losses that are finite",
    String(losses.filter(Number.isFinite).length),
    losses.every(Number.isFinite),
  ],
  [
    "median loss, first and last tenth",
    `${lossOf(0, 0.1).toFixed(3)}, ${lossOf(0.9, 1).toFixed(3)}`,
    lossOf(0.9, 1) < lossOf(0, 0.1),
  ],
];
console.log(`memory, MB, by tenths: ${rss.map((bytes) => (bytes / 1e6).toFixed(0)).join(" ")}`);
console.log(`ms an iteration, by tenths: ${seconds.map((s) => (1e3 * s).toFixed(1)).join(" ")}`);
for (const [name, value, holds] of checks)
  console.log(`${holds ? "ok" : "BAD"}  ${name}: ${value}`);
if (!checks.every(([, , holds]) => holds)) process.exitCode = 1;
