/** @file Locks: one at a time, and none that a dead process left stands in the way. */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { FileError } from "../../../distill/files.ts";
import { locked } from "../../../distill/resume/lock.ts";

let root: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-lock-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const newPath = (): string => join(root, `${made++}.lock`);
const work = (): Promise<string> => Promise.resolve("done");

describe("a lock", () => {
  it("is held during the work and gone after it, however it ends", async () => {
    const path = newPath();
    const held = await locked(path, "runs/x", () =>
      Promise.resolve(JSON.parse(readFileSync(path, "utf8")) as object),
    );
    expect(held).toMatchObject({ pid: process.pid, host: hostname() });
    expect(existsSync(path)).toBe(false);
    const failing = locked(path, "runs/x", () => Promise.reject(new Error("no")));
    await expect(failing).rejects.toThrow("no");
    expect(existsSync(path)).toBe(false);
  });

  it("is refused to a second in one sentence", async () => {
    const path = newPath();
    await locked(path, "runs/x", async () => {
      const second = locked(path, "runs/x", work);
      await expect(second).rejects.toThrow(FileError);
      await expect(locked(path, "runs/x", work)).rejects.toThrow(
        `runs/x: only one process must work on it at a time, got another, process ${process.pid}`,
      );
      expect(existsSync(path)).toBe(true);
    });
  });

  it.each<[string, object]>([
    ["a process that is gone", { pid: spawnSync(process.execPath, ["-e", ""]).pid, begun: "1" }],
    ["another process that has its number now", { pid: process.pid, begun: "1" }],
  ])("left by %s is taken over", async (_, holder) => {
    const path = newPath();
    writeFileSync(path, JSON.stringify({ host: hostname(), ...holder }));
    expect(await locked(path, "runs/x", work)).toBe("done");
    expect(readdirSync(root)).toEqual([]);
  });

  it("cut off while it was written is taken over, but not at once", async () => {
    const path = newPath();
    writeFileSync(path, "");
    await expect(locked(path, "runs/x", work)).rejects.toThrow(/one that begins just now$/);
    utimesSync(path, new Date(), new Date(Date.now() - 60_000));
    expect(await locked(path, "runs/x", work)).toBe("done");
  });

  it("of another machine is told with what to do", async () => {
    const path = newPath();
    writeFileSync(path, JSON.stringify({ pid: 1, host: "elsewhere", begun: "1" }));
    await expect(locked(path, "runs/x", work)).rejects.toThrow(
      `got another, process 1 on elsewhere (if it is gone, remove ${path})`,
    );
    rmSync(path);
  });
});
