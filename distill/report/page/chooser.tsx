/** @file Which runs and sets are shown. */
import type { RunSummary } from "../messages.ts";
import { showSet } from "./words.ts";

/** The key of a set, or of a run that has none yet. */
export const keyOf = (run: string, ipc?: number): string =>
  ipc === undefined ? run : `${run}/${ipc}`;

/** Keys of a run's sets, or its own. */
export const keysOf = ({ id, sets }: RunSummary): string[] =>
  sets.length === 0 ? [keyOf(id)] : sets.map((ipc) => keyOf(id, ipc));

/** Of a run of a comparison, the comparison's name and a slash. */
export const folderOf = (id: string): string => id.slice(0, id.lastIndexOf("/") + 1);

/** Runs that stay together in the list. */
const groupOf = (id: string): string => folderOf(id) || id;

interface ChooserProps {
  readonly runs: readonly RunSummary[];
  /** Keys of what is shown, in order. */
  readonly chosen: readonly string[];
  readonly colourOf: (key: string) => number | undefined;
  readonly onChange: (chosen: readonly string[]) => void;
}

export function Chooser({ runs, chosen, colourOf, onChange }: ChooserProps) {
  const toggle = (key: string, on: boolean): void =>
    onChange(on ? [...chosen, key] : chosen.filter((other) => other !== key));
  const updated = (run: RunSummary): number =>
    Math.max(...runs.filter(({ id }) => groupOf(id) === groupOf(run.id)).map((one) => one.updated));
  const newest = [...runs].sort((a, b) => updated(b) - updated(a));
  return (
    <nav class="chooser" aria-label="Runs">
      <details open={matchMedia("(min-width: 60rem)").matches}>
        <summary>
          <h2>Runs</h2> <span class="count">{`${chosen.length} shown`}</span>
        </summary>
        {newest.map((run) => (
          <fieldset key={run.id}>
            <legend>{run.id}</legend>
            {keysOf(run).map((key, i) => (
              <label key={key}>
                <input
                  type="checkbox"
                  checked={chosen.includes(key)}
                  onChange={(event) => toggle(key, event.currentTarget.checked)}
                />
                <i class={`swatch series-${colourOf(key) ?? "none"}`} />
                {run.sets[i] === undefined ? "teachers only" : showSet(run.sets[i])}
              </label>
            ))}
          </fieldset>
        ))}
      </details>
    </nav>
  );
}
