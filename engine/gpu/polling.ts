/** @file Dawn's polling, slowed while a CPU that has kernels to run is waited for. */

/** Long enough for an idle queue's answer and for tiny kernels, too short to cost a long one anything. */
const SPIN_MS = 0.25;

let waits = 0;
let spinUntil = 0;
let original = globalThis.setImmediate;
let slowed: typeof setImmediate | undefined;

/** Dawn's turn is a function of its addon; promises' resolvers are native too, but have no prototype. */
function isDawns(callback: unknown): callback is () => void {
  return (
    typeof callback === "function" &&
    Object.hasOwn(callback, "prototype") &&
    Function.prototype.toString.call(callback).includes("[native code]")
  );
}

/**
 * Until the returned function is called, Dawn's turns of the event loop come a millisecond apart, after
 * {@link SPIN_MS} at full speed. While a promise is pending Dawn asks for the next turn through the global
 * `setImmediate`, which keeps one core busy: on two cores lavapipe then takes 354 ms for what takes it 218.
 */
export function slowPolling(): () => void {
  spinUntil = performance.now() + SPIN_MS;
  if (waits++ === 0) {
    original = globalThis.setImmediate;
    slowed = new Proxy(original, {
      apply(target, self, args: unknown[]): unknown {
        if (waits > 0 && performance.now() > spinUntil && isDawns(args[0])) {
          return setTimeout(args[0], 1);
        }
        return Reflect.apply(target, self, args);
      },
    });
    globalThis.setImmediate = slowed;
  }
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    // Whoever replaced it meanwhile keeps theirs; ours below lets everything pass.
    if (--waits === 0 && globalThis.setImmediate === slowed) globalThis.setImmediate = original;
  };
}
