/** @file `potstill info`: the adapter that would be used here, and what it can do. */

import { createRequire } from "node:module";

import type { CommandModule } from "yargs";

import { Gpu } from "../../engine/index.ts";
import type { AdapterFacts } from "../../engine/index.ts";

interface InfoArguments {
  adapter: string | undefined;
  checks: "safe" | "fast";
  json: boolean;
}

const told = (text: string) => (text === "" ? "not told" : text);

/** What `potstill info` prints: a line for every fact, limits one a line. */
export function formatFacts(facts: AdapterFacts, versions: Record<string, string>): string {
  const { subgroupSize: size } = facts;
  const subgroups = size
    ? `${size.min}${size.max > size.min ? ` to ${size.max}` : ""} lanes`
    : "none";
  const rows: [string, string][] = [
    ["adapter", facts.name],
    ["kind", facts.kind],
    ["vendor", told(`${facts.vendor} ${facts.architecture}`.trim())],
    ["driver", told(facts.driver)],
    ["backend", facts.backend],
    ["checks", facts.checks],
    ["subgroups", subgroups],
    ["timestamps", facts.timestamps ? "yes" : "no"],
    ["features", facts.features.join(", ")],
    [
      "versions",
      Object.entries(versions)
        .map((entry) => entry.join(" "))
        .join(", "),
    ],
  ];
  const limits = Object.entries(facts.limits).map(
    ([name, value]) => `  ${name.padEnd(42)} ${value}`,
  );
  return [...rows.map(([name, text]) => `${name.padEnd(11)} ${text}`), "limits", ...limits].join(
    "\n",
  );
}

export const infoCommand: CommandModule<object, InfoArguments> = {
  command: "info",
  describe: "Show the adapter that would be used, its features and its limits",
  builder: (yargs) =>
    yargs
      .option("adapter", {
        type: "string",
        requiresArg: true,
        describe: "hardware, lavapipe, swiftshader, null or part of an adapter's name",
      })
      .option("checks", {
        choices: ["safe", "fast"] as const,
        default: "safe" as const,
        describe: "What Dawn checks of every call: all of it, or nothing",
      })
      .option("json", { type: "boolean", default: false, describe: "Print JSON" }),
  handler: async ({ adapter, checks, json }) => {
    using gpu = await Gpu.open({ adapter, checks });
    const manifest: unknown = createRequire(import.meta.url)("potstill/package.json");
    const versions = {
      potstill: (manifest as { version: string }).version,
      webgpu: gpu.facts.webgpuVersion,
      node: process.versions.node,
    };
    console.log(
      json ? JSON.stringify({ ...gpu.facts, versions }, null, 2) : formatFacts(gpu.facts, versions),
    );
  },
};
