/** @file A card for each set that is shown: how far it is, and its last values. */
import { accuraciesFor, isBaseline, stateOf, type Curve, type State } from "./store.ts";
import {
  showBytes,
  showCount,
  showNumber,
  showPercent,
  showRate,
  showSet,
  showTime,
} from "./words.ts";

/** Iterations whose mean tells the present loss and speed. */
const RECENT = 50;

const STATES: Readonly<Record<State, string>> = {
  finished: "finished",
  running: "running",
  stopped: "stopped",
  evaluating: "being evaluated",
  waiting: "not begun",
};

function meanOf(values: readonly (number | null)[]): number | undefined {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0) / known.length;
}

/** Names and values of a card; what is not known is left out. */
function factsOf(curve: Curve, state: State): [name: string, value: string][] {
  const { set, recipe, run } = curve;
  const { iterations, times, memory } = set;
  const done = iterations.iteration.at(-1) ?? 0;
  const facts: [string, string][] = [];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) facts.push([name, value]);
  };
  const own = accuraciesFor(run, set.ipc).find((accuracy) => !isBaseline(accuracy));
  add("accuracy", own && `${showPercent(own.mean)} ± ${(100 * own.std).toFixed(1)}`);
  const loss = meanOf(iterations.loss.slice(-RECENT));
  add("recent loss", loss === undefined ? undefined : showNumber(loss));
  const lr = iterations.lr.at(-1) ?? undefined;
  add("learning rate", lr === undefined ? undefined : showNumber(lr));
  const skipped = iterations.skipped.filter((mark) => mark === 1).length;
  if (done > 0) add("skipped", skipped === 0 ? "none" : showCount(skipped));
  const seconds = meanOf(times.seconds.slice(-RECENT));
  add("speed", seconds === undefined || seconds === 0 ? undefined : showRate(1 / seconds));
  const spent = times.seconds.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  add("time", spent > 0 ? showTime(spent) : undefined);
  if (state === "running" && seconds !== undefined && recipe)
    add("left", `about ${showTime(seconds * (recipe.iterations - done))}`);
  add("GPU memory", memory && showBytes(memory.total));
  return facts;
}

interface OverviewProps {
  readonly curves: readonly Curve[];
  /** In ms, or nothing where nothing can change any more. */
  readonly now: number | undefined;
}

export function Overview({ curves, now }: OverviewProps) {
  return (
    <section aria-label="Sets">
      <div class="cards">
        {curves.map((curve) => {
          const { key, run, colour, set, recipe } = curve;
          const label = `${run.id}, ${showSet(set.ipc)}`;
          const state = stateOf(curve, now);
          const done = set.iterations.iteration.at(-1) ?? 0;
          return (
            <article key={key} class={`card series-${colour}`}>
              <h3>{label}</h3>
              <p class={`state ${state}`} role="status">
                {STATES[state]}
                {recipe
                  ? `, ${showCount(done)} of ${showCount(recipe.iterations)} iterations`
                  : `, ${showCount(done)} iterations`}
              </p>
              {recipe ? (
                <progress
                  max={recipe.iterations}
                  value={done}
                  aria-label={`Iterations of ${label}`}
                />
              ) : null}
              <dl>
                {factsOf(curve, state).map(([name, value]) => (
                  <div key={name}>
                    <dt>{name}</dt>
                    <dd>{value}</dd>
                  </div>
                ))}
              </dl>
            </article>
          );
        })}
      </div>
    </section>
  );
}
