/** @file Tables of results as JSON and Markdown. */

import { expect, it } from "vitest";

import {
  markdownResults,
  resultsJson,
  rowTitle,
  type ResultRow,
} from "../../../distill/evaluation/table.ts";

const row = (method: ResultRow["method"], network: string, mean: number): ResultRow => ({
  ...{ method, ipc: 10, network, mean, std: 0.01, seeds: 2, values: [mean, mean] },
  ...{
    perClass: [mean, 1],
    confusion: [
      [3, 1],
      [0, 4],
    ],
  },
});

it("has a line for each set and a column for each network in Markdown", () => {
  const rows = [row("full", "MLP", 0.9), row("random", "MLP", 0.5), row("full", "LeNet", 0.8)];
  expect(markdownResults(rows).split("\n")).toEqual([
    "| images a class | set                | MLP        | LeNet      |",
    "| -------------- | ------------------ | ---------- | ---------- |",
    "| all            | whole training set | 90.0 ± 1.0 | 80.0 ± 1.0 |",
    "| 10             | random real images | 50.0 ± 1.0 |            |",
  ]);
});

it("has lists of numbers in one line each as JSON", () => {
  const rows = [row("datm", "MLP", 0.75)];
  const text = resultsJson(rows);
  expect(JSON.parse(text)).toEqual(rows);
  expect(text).toContain('"values": [0.75, 0.75]');
  expect(text).toContain("[3, 1],\n");
});

it("says which images a set was chosen on", () => {
  const { method, ipc, network } = row("datm", "MLP", 0.75);
  expect(rowTitle({ method, ipc, network, chosenOn: "held-out" }, undefined)).toBe(
    "distilled (DATM), chosen on held-out images",
  );
  expect(rowTitle({ method, ipc, network, chosenOn: "test" }, "mine")).toBe(
    "distilled (DATM), mine, chosen on the test set",
  );
});
