/** @file One chart: lines with bands over one axis of x, drawn by uPlot, and what it says in words. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

import { resolvedColour } from "./theme.ts";

/** Values over the chart's x. */
export interface Line {
  readonly label: string;
  /** Number of a colour. */
  readonly colour: number;
  readonly values: readonly (number | null)[];
  /** Bounds of the band around it, if it has one. */
  readonly low?: readonly (number | null)[];
  readonly high?: readonly (number | null)[];
  readonly dashed?: boolean;
  /** Values hold until the next one. */
  readonly stepped?: boolean;
  /** Left out of the legend. */
  readonly silent?: boolean;
}

export interface ChartProps {
  readonly title: string;
  readonly note?: string | undefined;
  /** What x counts: "iteration", "epoch". */
  readonly axis: string;
  readonly x: readonly number[];
  readonly lines: readonly Line[];
  readonly show: (value: number) => string;
  /** Values on the axis, where they are shown otherwise. */
  readonly tick?: (value: number) => string;
  readonly log?: boolean;
  /** Least and greatest y; by default of the values. */
  readonly range?: readonly [number, number] | undefined;
  /** More to draw under the lines. */
  readonly under?: ((plot: uPlot) => void) | undefined;
  /** A part of x was chosen. */
  readonly onZoom?: ((from: number, to: number) => void) | undefined;
  /** What changes the look. */
  readonly theme: string;
}

const HEIGHT = 220;
/** Charts with the same axis show the same place. */
const sync = (axis: string): string => `potstill-${axis}`;

/** Columns for uPlot: x, then for each line its band's bounds and itself. */
function columnsOf({ x, lines }: ChartProps): uPlot.AlignedData {
  const columns = lines.flatMap(({ values, low, high }) =>
    low && high ? [high, low, values] : [values],
  );
  return [x, ...columns] as unknown as uPlot.AlignedData;
}

function seriesOf(lines: readonly Line[]): Pick<uPlot.Options, "series" | "bands"> {
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const { label, colour, low, high, dashed, stepped } of lines) {
    const stroke = resolvedColour(`--series-${colour}`);
    if (low && high) {
      bands.push({
        series: [series.length, series.length + 1],
        fill: resolvedColour(`--band-${colour}`),
      });
      const hidden = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
      series.push(hidden, hidden);
    }
    series.push({
      label,
      stroke,
      width: 1.75,
      spanGaps: true,
      ...(dashed ? { dash: [6, 4] } : {}),
      ...(stepped && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
      points: { show: (plot) => !dashed && plot.data[0].length < 24, size: 5, fill: stroke },
    });
  }
  return { series, bands };
}

function optionsOf(
  props: ChartProps,
  width: number,
  latest: { readonly current: ChartProps },
  at: (index: number | null) => void,
): uPlot.Options {
  const { axis, lines, log = false, show, tick = show } = props;
  const [ink, grid] = [resolvedColour("--muted"), resolvedColour("--grid")];
  const font = "12px system-ui, sans-serif";
  const common = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  const y: object = {
    // uPlot's name of a logarithmic scale is a type only.
    distr: log ? 3 : 1,
    ...(props.range ? { range: () => [...(latest.current.range ?? [0, 1])] } : {}),
  };
  return {
    width,
    height: HEIGHT,
    ...seriesOf(lines),
    legend: { show: false },
    cursor: {
      sync: { key: sync(axis) },
      drag: { x: true, y: false, setScale: false },
      points: { size: 7 },
    },
    scales: {
      x: { time: false },
      y,
    },
    axes: [
      { ...common, size: 30, space: 70, values: (_, splits) => splits.map(shortNumber) },
      {
        ...common,
        size: 58,
        values: (_, splits) =>
          // Splits of a logarithmic axis that carry no text are null.
          splits.map((value: number | null) => (value === null ? "" : tick(value))),
      },
    ],
    hooks: {
      drawAxes: [(plot) => latest.current.under?.(plot)],
      setCursor: [(plot) => at(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          const { left, width: selected } = plot.select;
          if (selected < 4) return;
          const edge = (pixel: number): number => plot.posToVal(pixel, "x");
          latest.current.onZoom?.(edge(left), edge(left + selected));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

const shortNumber = (value: number): string =>
  value >= 10_000 && value % 1000 === 0 ? `${value / 1000}k` : value.toLocaleString("en");

/** Index of the last value that there is. */
const lastOf = (values: Line["values"]): number => values.findLastIndex((value) => value !== null);

export function Chart(props: ChartProps) {
  const { title, note, axis, x, lines, log = false, show, theme } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const [at, setAt] = useState<number | null>(null);
  // A chart is made anew only when its lines are others or look otherwise.
  const looks = lines.map(({ label, colour, low, dashed }) => [label, colour, !!low, !!dashed]);
  const made = JSON.stringify([theme, log, axis, props.range !== undefined, looks]);

  useLayoutEffect(() => {
    const element = place.current!;
    const { clientWidth } = element;
    const options = optionsOf(latest.current, clientWidth, latest, setAt);
    const chart = new uPlot(options, columnsOf(latest.current), element);
    plot.current = chart;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth !== chart.width)
        chart.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [made]);

  useEffect(() => plot.current?.setData(columnsOf(latest.current)), [x, lines, made]);

  const where = (values: Line["values"]): number => at ?? lastOf(values);
  const shown = lines.filter(({ silent }) => !silent);
  const first = shown[0] ? where(shown[0].values) : -1;
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        {note === undefined ? null : <p class="note">{note}</p>}
        <ul class="legend">
          <li class="where">{x[first] === undefined ? "" : `${axis} ${showPlace(x[first])}`}</li>
          {shown.map(({ label, colour, values, dashed }) => {
            const value = values[where(values)] ?? null;
            return (
              <li key={label}>
                <i class={`swatch series-${colour}${dashed ? " dashed" : ""}`} />
                {label} <b>{value === null ? "none" : show(value)}</b>
              </li>
            );
          })}
        </ul>
      </figcaption>
      <div ref={place} class="plot" aria-hidden="true" />
    </figure>
  );
}

const showPlace = (x: number): string => Math.round(x).toLocaleString("en");
