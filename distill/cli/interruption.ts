/** @file Ctrl-C: work is told to stop where it can go on later, and how to go on is said. */
import { Interrupted, type StopSignal } from "../interruption.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const satisfies readonly StopSignal[];

/** Work that has not come to a place to stop at by then is left where it was saved last. */
const PATIENCE_MS = 8000;

/**
 * Does work that a signal stops: the first one aborts `signal`, and a second ends the process at once.
 * `advice` says how to go on later.
 * @throws Interrupted, after that was printed.
 */
export async function interruptible<T>(
  advice: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onSignal = (name: StopSignal): void => {
    const interrupted = new Interrupted(name);
    if (controller.signal.aborted) quit(interrupted);
    console.error("potstill: stopping as soon as all is saved (once more to stop at once)");
    controller.abort(interrupted);
    timer = setTimeout(() => {
      console.error(`potstill: stopped at what was saved last; ${advice}`);
      quit(interrupted);
    }, PATIENCE_MS);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (error instanceof Interrupted) console.error(`potstill: stopped; ${advice}`);
    throw error;
  } finally {
    clearTimeout(timer);
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}

/** Ends the process; what locks it holds it lets go. */
function quit({ exitCode }: Interrupted): never {
  process.exit(exitCode);
}
