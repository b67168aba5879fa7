/** @file Charts over iterations: loss, learning rate, start epochs, accuracy, speed and memory. */
import { useMemo, useState } from "preact/hooks";
import type uPlot from "uplot";

import { Chart, type ChartProps, type Line } from "./chart.tsx";
import { bandOf, countOf, gridOf, onGrid, placeOf, rateOf, type Grid } from "./downsample.ts";
import type { Curve } from "./store.ts";
import { resolvedColour } from "./theme.ts";
import { showBytes, showCount, showNumber, showPercent, showRate } from "./words.ts";

/** Intervals on a chart: about one for each two pixels. */
const MOST = 320;

/** Parts of a run to look at, besides what is chosen on a chart. */
const RANGES = { all: 1, half: 1 / 2, tenth: 1 / 10 } as const;
type Range = keyof typeof RANGES | "chosen";

interface CurvesProps {
  readonly curves: readonly Curve[];
  /** Changes when there is something new. */
  readonly version: number;
  readonly theme: string;
}

export function Curves({ curves, version, theme }: CurvesProps) {
  const [log, setLog] = useState(false);
  const [range, setRange] = useState<Range>("all");
  const [chosen, setChosen] = useState<readonly [number, number]>([1, 1]);
  const last = Math.max(1, ...curves.map(({ set }) => set.iterations.iteration.at(-1) ?? 1));
  const [from, to] =
    range === "chosen" ? chosen : [last + 1 - Math.ceil(last * RANGES[range]), last];
  const grid = useMemo(() => gridOf(from, to, MOST), [from, to]);
  const zoom = (left: number, right: number): void => {
    const edge = (x: number): number => Math.min(last, Math.max(1, Math.round(x)));
    if (edge(right) === edge(left)) return;
    setChosen([edge(left), edge(right)]);
    setRange("chosen");
  };
  const common = { axis: "iteration", x: grid.x, theme, onZoom: zoom } as const;
  const charts = useMemo(() => chartsOf(curves, grid), [curves, grid, version]);
  return (
    <section aria-labelledby="curves">
      <h2 id="curves">Curves</h2>
      <div class="toolbar">
        <label>
          Iterations{" "}
          <select value={range} onChange={(event) => setRange(event.currentTarget.value as Range)}>
            <option value="all">all</option>
            <option value="half">last half</option>
            <option value="tenth">last tenth</option>
            {range === "chosen" ? (
              <option value="chosen">{`${showCount(from)} to ${showCount(to)}`}</option>
            ) : null}
          </select>
        </label>
        <label>
          <input
            type="checkbox"
            checked={log}
            onChange={(event) => setLog(event.currentTarget.checked)}
          />{" "}
          logarithmic loss
        </label>
        <span class="hint">Drag on a chart to look closer.</span>
      </div>
      <div class="charts">
        {charts.map((chart) => (
          <Chart key={chart.title} {...common} {...chart} log={chart.title === LOSS && log} />
        ))}
      </div>
    </section>
  );
}

const LOSS = "Matching loss";
const MIB = 2 ** 20;

type Content = Pick<ChartProps, "title" | "note" | "lines" | "show" | "tick" | "range" | "under">;

function chartsOf(curves: readonly Curve[], grid: Grid): Content[] {
  return [
    lossChart(curves, grid),
    {
      title: "Learned learning rate",
      lines: curves.map((curve) => lineOf(curve, grid, curve.set.iterations.lr)),
      show: showNumber,
    },
    startChart(curves, grid),
    choiceChart(curves, grid),
    {
      title: "Speed",
      note: "Iterations a second.",
      lines: curves.map(({ label, colour, set }) => ({
        ...{ label, colour },
        values: rateOf(grid, set.times.iteration, set.times.seconds),
      })),
      show: showRate,
      tick: showNumber,
    },
    memoryChart(curves, grid),
  ].filter(({ lines }) => lines.some(({ values }) => values.some((value) => value !== null)));
}

function lineOf(
  { label, colour, set }: Curve,
  grid: Grid,
  values: readonly (number | null)[],
  iterations: readonly number[] = set.iterations.iteration,
): Line {
  const { mean, low, high } = bandOf(grid, iterations, values);
  // Intervals of one iteration have no spread.
  return { label, colour, values: mean, ...(grid.step > 1 ? { low, high } : {}) };
}

function lossChart(curves: readonly Curve[], grid: Grid): Content {
  const skipped = curves.map(({ colour, set }) => ({
    colour,
    counts: countOf(grid, set.iterations.iteration, set.iterations.skipped),
  }));
  const total = skipped.flatMap(({ counts }) => counts).reduce((sum, count) => sum + count, 0);
  return {
    title: LOSS,
    ...(total > 0
      ? { note: `${showCount(total)} skipped iterations are marked below the curves.` }
      : {}),
    lines: curves.map((curve) => lineOf(curve, grid, curve.set.iterations.loss)),
    show: showNumber,
    under: (plot) => {
      const { left, top, width, height } = plot.bbox;
      const mark = Math.max(1, width / Math.max(1, grid.x.length));
      skipped.forEach(({ colour, counts }, row) => {
        plot.ctx.fillStyle = resolvedColour(`--series-${colour}`);
        counts.forEach((count, k) => {
          if (count === 0) return;
          const x = Math.min(left + width, plot.valToPos(grid.x[k]!, "x", true));
          const unit = devicePixelRatio;
          plot.ctx.fillRect(x - mark / 2, top + height - (row + 1) * 6 * unit, mark, 5 * unit);
        });
      });
    },
  };
}

/** How often a start epoch was drawn in an interval of the grid. */
interface Drawn {
  readonly k: number;
  readonly start: number;
  readonly count: number;
}

/** How often each start epoch was drawn in each interval, and between which bounds. */
function startChart(curves: readonly Curve[], grid: Grid): Content {
  const drawn = curves.map(({ colour, set }) => {
    const cells = new Map<string, Drawn>();
    onGrid(grid, set.iterations.iteration, (k, place) => {
      // On a line between snapshots a start may be between epochs.
      const start = Math.round(10 * set.iterations.start[place]!) / 10;
      const key = `${k}/${start}`;
      cells.set(key, { k, start, count: (cells.get(key)?.count ?? 0) + 1 });
    });
    return { colour, cells: [...cells.values()] };
  });
  const bounds = curves.flatMap(({ label, colour, recipe, set }): Line[] => {
    const done = set.iterations.iteration.at(-1) ?? 0;
    if (!recipe) return [];
    const bound = (x: number): number => {
      const starts = recipe.maxStart.map(([iteration]) => iteration);
      return recipe.maxStart[Math.max(0, placeOf(starts, Math.floor(x) + 1) - 1)]![1] - 1;
    };
    const within = (value: (x: number) => number) =>
      grid.x.map((x) => (x <= done + grid.step ? value(x) : null));
    return [
      { label, colour, values: within(bound), stepped: true },
      {
        ...{ label: `${label}, earliest`, colour, dashed: true, silent: true },
        values: within(() => recipe.minStart),
      },
    ];
  });
  const starts = drawn.flatMap(({ cells }) => cells.map(({ start }) => start));
  const limits = bounds.flatMap(({ values }) => values).filter((value) => value !== null);
  const all = [...starts, ...limits];
  const range: [number, number] =
    all.length === 0 ? [0, 1] : [all.reduce(least) - 0.7, all.reduce(greatest) + 0.7];
  return {
    title: "Start epochs",
    note: "Dots are epochs that were drawn, lines the latest and the earliest that may be.",
    lines: bounds,
    range,
    show: (value) => (Number.isInteger(value) ? String(value) : ""),
    under: (plot) => drawn.forEach((cells) => drawStarts(plot, grid, cells)),
  };
}

const least = (a: number, b: number): number => Math.min(a, b);
const greatest = (a: number, b: number): number => Math.max(a, b);

function drawStarts(
  plot: uPlot,
  grid: Grid,
  { colour, cells }: { colour: number; cells: readonly Drawn[] },
): void {
  const { ctx, bbox } = plot;
  const size = Math.max(3 * devicePixelRatio, bbox.width / grid.x.length);
  const most = cells.map(({ count }) => count).reduce(greatest, 1);
  ctx.save();
  ctx.fillStyle = resolvedColour(`--series-${colour}`);
  for (const { k, start, count } of cells) {
    const x = plot.valToPos(grid.x[k]!, "x", true);
    const y = plot.valToPos(start, "y", true);
    ctx.globalAlpha = 0.2 + (0.5 * count) / most;
    ctx.fillRect(x - size / 2, y - 2 * devicePixelRatio, size, 4 * devicePixelRatio);
  }
  ctx.restore();
}

/** Accuracy of sets that were evaluated on the way. */
function choiceChart(curves: readonly Curve[], grid: Grid): Content {
  return {
    title: "Accuracy on the way",
    note: "On real training images: by it the best set is chosen.",
    lines: curves.map((curve) => {
      const { iteration, mean } = curve.set.choices;
      return lineOf(curve, grid, mean, iteration);
    }),
    show: showPercent,
  };
}

function memoryChart(curves: readonly Curve[], grid: Grid): Content {
  const lines = curves.flatMap(({ label, colour, set }): Line[] => {
    const { high } = bandOf(grid, set.times.iteration, set.times.rss);
    const inMiB = (bytes: number | null | undefined) => (bytes ?? 0) / MIB || null;
    const total = inMiB(set.memory?.total);
    const planned = high.map((value) => (value === null ? null : total));
    return [
      { label: `${label}, process`, colour, values: high.map(inMiB) },
      { label: `${label}, GPU as planned`, colour, values: planned, dashed: true },
    ];
  });
  // Whole numbers of MiB on the axis.
  return { title: "Memory", lines, show: (value) => showBytes(value * MIB) };
}
