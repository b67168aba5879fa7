/** @file What a framework must offer to be measured, and what the coordinator and its processes say to each other. */
import type { Arrays, Task } from "./tasks.ts";

/** A task, ready to run in one framework. */
export interface Prepared {
  /** Runs the task once from its inputs, compiling what that takes: the output, laid out as ours is. */
  first(): Promise<Float32Array>;
  /** Runs the task `times` over and waits until the work is done. */
  repeat(times: number): Promise<void>;
}

/** A framework on one of its backends, open. */
export interface Peer {
  /** Version by package, and what else tells one result from another. */
  readonly versions: Readonly<Record<string, string>>;
  /** The adapter and driver that run its shaders, where it has any. */
  readonly adapter?: { readonly name: string; readonly driver: string };
  /** @throws AbsentError where the framework cannot state the task. */
  prepare(task: Task, inputs: Arrays): Promise<Prepared>;
}

/** Thrown for a task that a framework has no means for. */
export class AbsentError extends Error {
  override readonly name = "AbsentError";
}

/** How a peer is opened: on the same adapter for all. */
export interface OpenOptions {
  /** As for `Gpu.open`; empty for the best there is. */
  readonly adapter: string;
  /** Dawn's settings, of ours alone. */
  readonly checks: "safe" | "fast";
  /** Whether Dawn's polling is slowed for the peer as our engine slows it for itself. */
  readonly slowPolling: boolean;
}

/** One line to a peer's standard input. */
export type Request =
  | ({ readonly do: "open" } & OpenOptions)
  /** Inputs are `<name>.f32` in `folder`; the output is written there as `output.f32`. */
  | { readonly do: "prepare"; readonly task: Task; readonly folder: string }
  | { readonly do: "sample"; readonly times: number };

/** One line from a peer's file descriptor 3. */
export type Reply =
  | { readonly opened: Pick<Peer, "versions" | "adapter"> }
  | { readonly firstMs: number }
  | { readonly ms: number; readonly peakMiB: number }
  | { readonly absent: string }
  | { readonly error: string };

/**
 * A framework's package. Its name is not written in an `import`, since it is installed in this folder
 * alone, and only to measure.
 */
export async function load(name: string): Promise<unknown> {
  const module = (await import(name)) as { default?: unknown };
  return module.default ?? module;
}
