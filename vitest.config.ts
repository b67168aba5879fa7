import { defineConfig } from "vitest/config";

/** Dawn keeps threads and a device per process: forked workers, one file at a time. */
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
