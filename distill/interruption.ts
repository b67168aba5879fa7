/** @file The end of work that was asked to stop before it was done. */

/** As Linux numbers signals. */
const CODES = { SIGINT: 130, SIGTERM: 143, SIGUSR1: 138 } as const;
export type StopSignal = keyof typeof CODES;

/** Work stopped because a signal asked for it: the reason of the `AbortSignal` that long work is given. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly signal: StopSignal;

  constructor(signal: StopSignal) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }

  /** Of a process that ends for it: 128 and the signal's number. */
  get exitCode(): (typeof CODES)[StopSignal] {
    return CODES[this.signal];
  }
}
