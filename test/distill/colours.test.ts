/** @file Colours: on terminals alone, unless the environment says otherwise, and what has them. */
import { afterEach, expect, it, vi } from "vitest";

import { shownTable } from "../../distill/cli/output.ts";
import { hasColours } from "../../distill/colours.ts";
import { formatTable, type ResultRow } from "../../distill/evaluation/table.ts";

afterEach(() => vi.unstubAllEnvs());

it.each<[boolean, NodeJS.ProcessEnv, boolean]>([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: "1" }, false],
  [true, { NO_COLOR: "" }, true],
  [true, { TERM: "dumb" }, false],
  [false, { FORCE_COLOR: "1" }, true],
  [false, { FORCE_COLOR: "" }, true],
  [true, { FORCE_COLOR: "0" }, false],
  [true, { FORCE_COLOR: "1", NO_COLOR: "1" }, true],
])("terminal %s, environment %j: %s", (isTTY, env, expected) => {
  expect(hasColours({ isTTY }, env)).toBe(expected);
});

const row = (method: ResultRow["method"], ipc: number, mean: number): ResultRow => ({
  ...{ method, ipc, network: "MLP", mean, std: 0, seeds: 1 },
  ...{ values: [mean], perClass: [mean], confusion: [[1]] },
});

it("the best of each number of images a class is green, but the whole set and what stands alone", () => {
  const rows = [
    ...[row("full", 99, 0.9), row("random", 1, 0.5), row("datm", 1, 0.6)],
    ...[row("random", 2, 0.8), row("datm", 2, 0.7), row("datm", 3, 0.7)],
  ];
  vi.stubEnv("FORCE_COLOR", "1");
  const lines = shownTable(rows).split("\n");
  const green = lines.map((line) => line.startsWith("\x1b[32m") && line.endsWith("\x1b[39m"));
  expect(green).toEqual([false, false, false, true, true, false, false]);
  vi.stubEnv("FORCE_COLOR", "0");
  expect(shownTable(rows)).toBe(formatTable(rows));
  expect(lines.join("\n").replace(/\x1b\[\d+m/g, "")).toBe(formatTable(rows));
});
