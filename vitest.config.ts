import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const source = (folder: string): string =>
  fileURLToPath(new URL(`${folder}/index.ts`, import.meta.url));

/** Dawn keeps threads and a device per process: forked workers, one file at a time. */
export default defineConfig({
  // Examples import the package by its name.
  resolve: {
    alias: [
      { find: /^potstill$/, replacement: source("distill") },
      { find: "potstill/engine", replacement: source("engine") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
