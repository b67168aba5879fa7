/** @file The sets as they looked on the way: images by class, and soft labels as a heat map. */
import { useEffect, useMemo, useState } from "preact/hooks";

import type { SnapshotKey } from "../messages.ts";
import { HeatMap } from "./heat-map.tsx";
import type { Labels, Source } from "./source.ts";
import type { Curve } from "./store.ts";
import { showCount } from "./words.ts";

const FRAME_MS = 250;

interface PicturesProps {
  readonly curves: readonly Curve[];
  readonly source: Source;
  readonly theme: string;
}

/** The last snapshot of a set that is not after an iteration. */
function snapshotAt({ run, set }: Curve, iteration: number): SnapshotKey | undefined {
  return run.info?.snapshots.findLast(
    (snapshot) => snapshot.ipc === set.ipc && snapshot.iteration <= iteration,
  );
}

export function Pictures({ curves, source, theme }: PicturesProps) {
  const iterations = useMemo(() => {
    const all = curves.flatMap(({ run, set }) =>
      (run.info?.snapshots ?? []).filter(({ ipc }) => ipc === set.ipc),
    );
    return [...new Set(all.map(({ iteration }) => iteration))].sort((a, b) => a - b);
  }, [curves]);
  // Nothing chosen: the latest, also when there are later ones.
  const [chosen, setChosen] = useState<number | undefined>(undefined);
  const [playing, setPlaying] = useState(false);
  const [beside, setBeside] = useState(false);
  const last = iterations.length - 1;
  const index = Math.min(chosen ?? last, last);
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setTimeout(() => {
      setChosen(index + 1 >= last ? undefined : index + 1);
      if (index + 1 >= last) setPlaying(false);
    }, FRAME_MS);
    return () => clearTimeout(timer);
  }, [playing, index, last]);
  const shown = curves.flatMap((curve) => {
    const snapshot = snapshotAt(curve, iterations[index] ?? 0);
    return snapshot ? [{ curve, snapshot, labels: undefined }] : [];
  });
  if (last < 0) return null;
  const place = `iteration ${showCount(iterations[index]!)}`;
  const play = (): void => {
    if (!playing && index === last) setChosen(0);
    setPlaying(!playing);
  };
  return (
    <section aria-labelledby="images">
      <h2 id="images">Images and labels</h2>
      <div class="toolbar slider">
        <button type="button" onClick={play} aria-label={playing ? "Pause" : "Play"}>
          {playing ? "❚❚" : "▶"}
        </button>
        <label>
          <span class="place">{place}</span>
          <input
            type="range"
            min={0}
            max={last}
            value={index}
            aria-label="Iteration of the images"
            aria-valuetext={place}
            onInput={(event) => {
              const value = Number(event.currentTarget.value);
              setPlaying(false);
              setChosen(value === last ? undefined : value);
            }}
          />
        </label>
        <label>
          <input
            type="checkbox"
            checked={beside}
            onChange={(event) => setBeside(event.currentTarget.checked)}
          />{" "}
          beside the start
        </label>
      </div>
      <div class="sets">
        {shown.map(({ curve, snapshot }) => (
          <SetFigure key={curve.key} {...{ curve, snapshot, source, theme, beside }} />
        ))}
      </div>
    </section>
  );
}

interface SetProps {
  readonly curve: Curve;
  readonly snapshot: SnapshotKey;
  readonly source: Source;
  readonly theme: string;
  readonly beside: boolean;
}

function SetFigure({ curve, snapshot, source, theme, beside }: SetProps) {
  const { run, label, colour } = curve;
  const labels = useLabels(source, run.id, snapshot);
  const first = snapshotAt(curve, 0);
  const sheet = (key: SnapshotKey) => ({
    address: source.sheet(run.id, key),
    title: `Images of ${label} after ${showCount(key.iteration)} iterations`,
    classes: labels?.classes ?? [],
  });
  useEffect(() => {
    // Sliding must not wait for pictures.
    for (const key of run.info?.snapshots ?? [])
      if (key.ipc === snapshot.ipc) new Image().src = source.sheet(run.id, key);
  }, [run.id, run.info?.snapshots, snapshot.ipc]);
  return (
    <article class="set">
      <h3>
        <i class={`swatch series-${colour}`} />
        {label}
        <small>after {showCount(snapshot.iteration)} iterations</small>
      </h3>
      <div class="pair">
        {beside && first && first.iteration < snapshot.iteration ? (
          <Sheet {...sheet(first)} caption="at the start" />
        ) : null}
        <Sheet {...sheet(snapshot)} caption={beside ? "now" : undefined} />
      </div>
      {labels ? <HeatMap {...{ labels, colour, theme, label }} /> : null}
    </article>
  );
}

interface SheetProps {
  readonly address: string;
  readonly title: string;
  readonly classes: readonly string[];
  readonly caption: string | undefined;
}

/** A row of images for each class, with its name. */
function Sheet({ address, title, classes, caption }: SheetProps) {
  return (
    <figure class="sheet">
      <div class="rows">
        <ol aria-hidden="true">
          {classes.map((name) => (
            <li key={name}>{name}</li>
          ))}
        </ol>
        <img src={address} alt={`${title}, a row for each class`} />
      </div>
      {caption === undefined ? null : <figcaption>{caption}</figcaption>}
    </figure>
  );
}

/** The labels of a snapshot; those before until they are there. */
function useLabels(source: Source, run: string, snapshot: SnapshotKey): Labels | undefined {
  const [labels, setLabels] = useState<Labels | undefined>(undefined);
  const { ipc, iteration, version } = snapshot;
  useEffect(() => {
    let wanted = true;
    source.labels(run, snapshot).then(
      (found) => {
        if (wanted) setLabels(found);
      },
      // It may be gone by now; the next update tells.
      () => undefined,
    );
    return () => {
      wanted = false;
    };
  }, [run, ipc, iteration, version]);
  return labels;
}
