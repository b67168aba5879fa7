/** @file Ctrl-C, and what schedulers send before they take a machine away: work is told to stop where it can go on later, and how to go on is said. */
import { Interrupted, type StopSignal } from "../interruption.ts";

/** SIGUSR1 is what Slurm is asked to warn by. Elsewhere it is a debugger's, but for the time of such work. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGUSR1"] as const satisfies readonly StopSignal[];

/** Work that has not come to a place to stop at by then is left where it was saved last. */
const PATIENCE_MS = 8000;
/** One signal may come twice, from a terminal or scheduler and from the shell that started the program. */
const ECHO_MS = 500;

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
  let first = 0;
  const onSignal = (name: StopSignal): void => {
    const interrupted = new Interrupted(name);
    if (controller.signal.aborted) {
      if (performance.now() - first < ECHO_MS) return;
      quit(interrupted);
    }
    first = performance.now();
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
