/** @file How well the teachers did after each epoch, and which epochs are matched. */
import { useMemo } from "preact/hooks";

import { Chart, type Line } from "./chart.tsx";
import type { Curve, RunData } from "./store.ts";
import { resolvedColour } from "./theme.ts";
import { showPercent } from "./words.ts";

interface TeachersProps {
  readonly curves: readonly Curve[];
  /** Runs that are shown, also such as have no set yet. */
  readonly runs: readonly RunData[];
  readonly theme: string;
}

export function Teachers({ curves, runs, theme }: TeachersProps) {
  // Runs of a comparison have their teachers in common: once is enough.
  const seen = new Set<string>();
  const taught = runs.filter(({ info }) => {
    const key = JSON.stringify(info?.teachers ?? []);
    const shown = !seen.has(key) && info?.teachers.some((epochs) => epochs.length > 0) === true;
    seen.add(key);
    return shown;
  });
  const epochs = Math.max(0, ...taught.flatMap(({ info }) => info!.teachers.map((t) => t.length)));
  const x = useMemo(() => Array.from({ length: epochs }, (_, i) => i + 1), [epochs]);
  if (epochs === 0) return null;
  const colourOf = (run: RunData, place: number): number =>
    curves.find((curve) => curve.run === run)?.colour ?? place % 8;
  const lines = taught.map((run, place) => lineOf(run, colourOf(run, place), x));
  const ranges = curves.flatMap(({ recipe, colour }) => {
    const bounds = recipe?.maxStart.map(([, bound]) => bound) ?? [];
    return recipe && bounds.length > 0
      ? [{ colour, from: recipe.minStart, to: Math.max(...bounds) - 1 + recipe.expertEpochs }]
      : [];
  });
  return (
    <section aria-labelledby="teachers">
      <h2 id="teachers">Teachers</h2>
      <div class="charts">
        <Chart
          title="Test accuracy of teachers"
          note={`Mean, least and greatest of each run’s teachers. Shaded: the epochs that are matched.`}
          axis="epoch"
          x={x}
          lines={lines}
          show={showPercent}
          tick={(value) => `${Math.round(100 * value)} %`}
          theme={theme}
          under={(plot) => {
            const { top, height } = plot.bbox;
            ranges.forEach(({ colour, from, to }) => {
              const [left, right] = [from, to].map((epoch) => {
                const inside = Math.min(epochs, Math.max(1, epoch));
                return plot.valToPos(inside, "x", true);
              });
              plot.ctx.fillStyle = resolvedColour(`--band-${colour}`);
              plot.ctx.fillRect(left!, top, right! - left!, height);
            });
          }}
        />
      </div>
    </section>
  );
}

function lineOf({ id, info }: RunData, colour: number, x: readonly number[]): Line {
  const at = x.map((_, epoch) =>
    info!.teachers.map((teacher) => teacher[epoch]).filter((value) => value !== undefined),
  );
  const of = (pick: (values: number[]) => number) =>
    at.map((values) => (values.length === 0 ? null : pick(values)));
  const count = info!.teachers.length;
  return {
    label: `${id}, ${count} ${count === 1 ? "teacher" : "teachers"}`,
    colour,
    values: of((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
    low: of((values) => Math.min(...values)),
    high: of((values) => Math.max(...values)),
  };
}
