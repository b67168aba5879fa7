/** @file A process that ends from within, as by a second Ctrl-C, while its devices work. */

import { expect, test } from "vitest";

import { runScript } from "../../support/run-cli.ts";

/** Without what is tested one of three processes is killed by a signal of its driver's threads. */
const TIMES = 8;

test("ends with its own exit code, and says nothing", async () => {
  for (let time = 0; time < TIMES; time++) {
    const { code, stderr } = await runScript("test/support/exit-at-work.ts", []);
    expect([code, stderr]).toEqual([7, ""]);
  }
});
