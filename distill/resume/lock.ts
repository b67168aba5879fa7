/** @file A lock on a folder or file, so that two processes do not work on the same one. */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { z } from "zod";

import { isAlive } from "../alive.ts";
import { FileError, fileError } from "../files.ts";

/** Who holds a lock. */
const holderSchema = z.object({
  pid: z.int(),
  host: z.string(),
  /** When the process began, where the system tells: another may have got its number since. */
  begun: z.string(),
});
type Holder = Readonly<z.infer<typeof holderSchema>>;

/** Another process works on what is locked. */
export class HeldError extends FileError {}

/** Locks of this process, which go when it ends, however it does. */
const held = new Set<string>();
process.on("exit", () => held.forEach(remove));

/**
 * Does work under the lock in the file at `path`, which is taken over from a process of this machine
 * that is gone, and let go when the work or the process ends.
 * @throws HeldError when another process holds it: then `what` is worked on already; FileError.
 */
export async function locked<T>(path: string, what: string, work: () => Promise<T>): Promise<T> {
  take(path, what);
  held.add(path);
  try {
    return await work();
  } finally {
    held.delete(path);
    remove(path);
  }
}

function take(path: string, what: string): void {
  const own: Holder = { pid: process.pid, host: hostname(), begun: begunOf(process.pid) ?? "" };
  while (!create(path, own)) {
    const holder = holderOf(path);
    if (holder === undefined) continue;
    if (!isGone(holder)) throw new HeldError(refusal(what, path, holder, own));
    takeAway(path, holder);
  }
}

/** Within this time of its making a lock without a holder is one that is about to be written. */
const WRITING_MS = 5000;

function create(path: string, holder: Holder): boolean {
  try {
    writeFileSync(path, JSON.stringify(holder), { flag: "wx" });
    return true;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") return false;
    throw fileError(path, "writable", cause);
  }
}

/** Who holds the lock, or nothing where there is none any more. */
function holderOf(path: string): Holder | undefined {
  let text: string;
  let age: number;
  try {
    text = readFileSync(path, "utf8");
    age = Date.now() - statSync(path).mtimeMs;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw fileError(path, "readable", cause);
  }
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    // Being written just now, or cut off then.
    return { pid: age < WRITING_MS ? NaN : 0, host: hostname(), begun: "" };
  }
}

/** Whether the holder was a process of this machine that is no more. */
function isGone({ pid, host, begun }: Holder): boolean {
  if (host !== hostname()) return false;
  if (pid === process.pid) return begun !== (begunOf(pid) ?? "");
  if (Number.isNaN(pid)) return false;
  if (pid < 1 || !isAlive(pid)) return true;
  const now = begunOf(pid);
  return now !== undefined && begun !== "" && now !== begun;
}

/** When a process began, in ticks since the machine did; only Linux tells. */
function begunOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name before it may have spaces and brackets.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** Removes the lock of a process that is gone, but not one that was taken meanwhile. */
function takeAway(path: string, gone: Holder): void {
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    renameSync(path, aside);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return;
    throw fileError(path, "writable", cause);
  }
  const found = holderOf(aside);
  if (found?.pid === gone.pid && found.begun === gone.begun) remove(aside);
  else renameSync(aside, path);
}

function refusal(what: string, path: string, { pid, host }: Holder, own: Holder): string {
  const away = host === own.host ? "" : ` on ${host} (if it is gone, remove ${path})`;
  const who = Number.isNaN(pid) ? "one that begins just now" : `process ${pid}${away}`;
  return `${what}: only one process must work on it at a time, got another, ${who}`;
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Whoever comes next finds that its holder is gone.
  }
}
