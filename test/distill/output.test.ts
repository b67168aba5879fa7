/** @file What the command line prints for programs: JSON, completions, and exit codes in its help. */
import { describe, expect, it, vi } from "vitest";

import { COMMANDS, main } from "../../distill/cli/main.ts";

/** What a command line prints on standard output, and how it ends. */
async function printed(...args: string[]): Promise<{ code: number; text: string }> {
  let text = "";
  const spies = [
    vi.spyOn(console, "log").mockImplementation((line) => void (text += `${String(line)}\n`)),
    vi.spyOn(console, "error").mockImplementation(() => undefined),
  ];
  try {
    return { code: await main(args), text };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

describe("--json", () => {
  it("prints one document, with the facts of the text", async () => {
    const { code, text } = await printed("data", "digits", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(text)).toMatchObject({
      ...{ name: "digits", images: [1, 8, 8], train: 1297, test: 500 },
      classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    });
    const all = JSON.parse((await printed("data", "--json")).text) as { name: string }[];
    const { text: table } = await printed("data");
    for (const { name } of all) expect(table).toMatch(new RegExp(`^${name} `, "m"));
    expect(table.trimEnd().split("\n").length).toBe(all.length + 1);
  });

  it("prints nothing there when there is no result", async () => {
    const { code, text } = await printed("distill", "--resume", "/nowhere", "--json");
    expect([code, text]).toEqual([1, ""]);
  });

  it("is there for every command that has a result, as --quiet is", async () => {
    for (const command of COMMANDS.filter((name) => !["completion", "submit"].includes(name))) {
      const { code, text } = await printed(command, "--help");
      expect([command, code]).toEqual([command, 0]);
      for (const flag of ["--json", "--quiet"]) expect(text, command).toContain(` ${flag} `);
      expect(text, command).toContain("Examples:");
    }
  });
});

describe("the help", () => {
  it("tells the exit codes", async () => {
    const { code, text } = await printed("--help");
    expect(code).toBe(0);
    expect(text).toContain("Exit codes: 0 all is done, 1 it failed, 2 wrong usage, 130 stopped by");
  });
});

describe("completion", () => {
  it("is a script for a shell that asks for words, which are commands and their flags", async () => {
    expect((await printed("completion")).text).toContain("potstill --get-yargs-completions");
    const { text: commands } = await printed("--get-yargs-completions", "potstill", "");
    for (const command of COMMANDS) expect(commands.split("\n")).toContain(command);
    const { text } = await printed("--get-yargs-completions", "potstill", "distill", "--res");
    expect(text.split("\n")).toContain("--resume");
  });
});
