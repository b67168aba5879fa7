/** @file The coordinator's end of a peer's process: one request at a time, one reply each. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Reply, Request } from "./peer.ts";

/** How much of what a process prints is kept, to tell of its end: its last characters. */
const KEPT = 400;

/** A running process of a peer; ended when disposed. */
export class Session implements Disposable {
  readonly #process: ChildProcess;
  readonly #limitMs: number;
  #printed = "";
  #settle: ((reply: Reply) => void) | undefined;
  #end: string | undefined;

  /** Starts a process; it has `limitMs` for every reply. */
  constructor([command, ...args]: readonly [string, ...string[]], limitMs: number) {
    this.#limitMs = limitMs;
    this.#process = spawn(command, args, { stdio: ["pipe", "ignore", "pipe", "pipe"] });
    this.#process.stderr?.on("data", (text: Buffer) => {
      this.#printed = (this.#printed + text.toString()).slice(-KEPT);
    });
    this.#process.on("error", (error) => this.#ended(error.message));
    this.#process.on("close", (code, signal) =>
      this.#ended(`the process ended with ${signal ?? code ?? "nothing"}: ${this.#printed.trim()}`),
    );
    this.#process.stdin?.on("error", () => undefined);
    const replies = this.#process.stdio[3] as Readable;
    createInterface({ input: replies }).on("line", (line) => {
      this.#answered(JSON.parse(line) as Reply);
    });
  }

  /** The reply to a request; an `error` where the process has ended or does not answer in time. */
  ask(request: Request): Promise<Reply> {
    if (this.#end !== undefined) return Promise.resolve({ error: this.#end });
    const timer = setTimeout(() => {
      this.#ended(`no answer within ${this.#limitMs / 1000} s`);
      this.#process.kill("SIGKILL");
    }, this.#limitMs);
    const reply = new Promise<Reply>((resolve) => {
      this.#settle = resolve;
    });
    this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
    return reply.finally(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    this.#ended("disposed");
    this.#process.kill("SIGKILL");
  }

  #answered(reply: Reply): void {
    this.#settle?.(reply);
    this.#settle = undefined;
  }

  #ended(how: string): void {
    this.#end ??= how;
    this.#answered({ error: this.#end });
  }
}
