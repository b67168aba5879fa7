/** @file A kill at a random moment of teach, distill or evaluate; `KILL_ROUNDS=20` for more of them. */
import { expect, it } from "vitest";

import { killRounds } from "../../kill.ts";

const ROUNDS = Number(process.env["KILL_ROUNDS"] ?? 1);

it(
  "killed at any moment goes on to the same bytes",
  async () => {
    const lines: string[] = [];
    const same = await killRounds(ROUNDS, 1, (line) => lines.push(line));
    expect(same, lines.join("\n")).toBe(ROUNDS);
  },
  120_000 * (1 + ROUNDS),
);
