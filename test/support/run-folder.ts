/** @file Run folders as runs leave them, made in no time: for what reads them. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { readRecipe, recipeToYaml, shippedRecipes } from "../../distill/recipe-file.ts";
import { resolveRecipe, type Recipe } from "../../distill/recipe.ts";
import { writeSnapshot } from "../../distill/report/snapshot.ts";

/** The recipe of made runs: one image a class of the digits. */
export function madeRecipe(iterations: number): Recipe {
  return resolveRecipe(readRecipe(shippedRecipes().get("digits-ipc1")!), { iterations });
}

/** Lines of metrics of the iterations `from` to `to`, with some of them skipped. */
export function iterationLines(from: number, to: number, ipc = 1): string {
  let text = "";
  for (let iteration = from; iteration <= to; iteration++) {
    const loss = 0.2 + 0.5 / Math.sqrt(iteration) + 0.05 * Math.sin(iteration);
    const lr = 0.1 + 1e-5 * iteration;
    const [teacher, start] = [iteration % 6, iteration % 2];
    const accepted = iteration % 50 !== 0;
    const record = { iteration, loss, lr, teacher, start, accepted };
    text += `${JSON.stringify({ event: "iteration", ipc, ...record })}\n`;
  }
  return text;
}

/** Lines of times of the iterations. */
export function timeLines(from: number, to: number, ipc = 1): string {
  let text = "";
  for (let iteration = from; iteration <= to; iteration++) {
    const seconds = 0.05 + 0.01 * Math.sin(iteration / 100);
    text += `${JSON.stringify({ event: "iteration", ipc, iteration, seconds, rss: 5e8 + iteration })}\n`;
  }
  return text;
}

/** Adds iterations to a run as it goes on. */
export function appendIterations(folder: string, from: number, to: number): void {
  appendFileSync(join(folder, "metrics.jsonl"), iterationLines(from, to));
  appendFileSync(join(folder, "timing.jsonl"), timeLines(from, to));
}

/** Makes the folder of a run of one image a class of which `done` iterations are done. */
export function makeRun(folder: string, { iterations = 100, done = 100 } = {}): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "recipe.yaml"), recipeToYaml(madeRecipe(iterations)));
  writeFileSync(join(folder, "metrics.jsonl"), "");
  const memory = { event: "memory", ipc: 1, variables: 1000, slots: 2000, total: 3000 };
  writeFileSync(join(folder, "timing.jsonl"), `${JSON.stringify(memory)}\n`);
  appendIterations(folder, 1, done);
  const classes = Array.from({ length: 10 }, (_, k) => String(k));
  for (let at = 0; at <= done; at += Math.ceil(iterations / 20)) {
    const images = Uint8Array.from({ length: 640 }, (_, i) => (i * 7 + at) % 256);
    const labels = Float32Array.from({ length: 100 }, (_, i) => (i % 11 === 0 ? 4 : 0));
    const shape = { channels: 1, height: 8, width: 8 };
    writeSnapshot(folder, { ipc: 1, iteration: at, classes, images, labels, ...shape });
  }
  return folder;
}

/** Waits until a run that goes on has so many lines of metrics. */
export async function untilLines(folder: string, count: number): Promise<void> {
  const path = join(folder, "metrics.jsonl");
  while (!existsSync(path) || readFileSync(path, "utf8").split("\n").length <= count)
    await pause(2);
}
