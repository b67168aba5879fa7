/** @file The page: chooses what is shown, follows it, and lays it out. */
import { render } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { RunSummary } from "../messages.ts";
import { Accuracy } from "./accuracy.tsx";
import { Chooser, folderOf, keyOf, keysOf } from "./chooser.tsx";
import { Curves } from "./curves.tsx";
import { Overview } from "./overview.tsx";
import { Pictures } from "./pictures.tsx";
import { Settings } from "./settings.tsx";
import { sourceOf, type Source } from "./source.ts";
import { applyUpdate, emptyRun, setOf, type Curve, type RunData } from "./store.ts";
import { Teachers } from "./teachers.tsx";
import { applyTheme, onSystemTheme, storedTheme, type Theme } from "./theme.ts";
import { showSet } from "./words.ts";

const COLOURS = 8;
/** How long to wait until the next look, in ms: for what moves, for what rests, after an error. */
const WAIT = { moving: 1000, resting: 4000, lost: 3000 };
/** A run that was silent for longer, in ms, rests. */
const REST = 300_000;

/** Which runs and sets the address names. */
const keysInAddress = (): string[] =>
  location.hash.slice(1).split("&").filter(Boolean).map(decodeURIComponent);

function App({ source }: { readonly source: Source }) {
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const [system, setSystem] = useState(0);
  useEffect(() => onSystemTheme(() => setSystem((n) => n + 1)), []);
  useMemo(() => applyTheme(theme), [theme]);
  const look = `${theme}-${system}`;

  const [runs, setRuns] = useState<readonly RunSummary[]>([]);
  const [chosen, setChosen] = useState<readonly string[] | undefined>(undefined);
  const [version, setVersion] = useState(0);
  const [lost, setLost] = useState<string | undefined>(undefined);
  const known = useRef(new Map<string, RunData>());
  const keys = useMemo(() => chosen ?? defaultKeys(runs), [chosen, runs]);
  const wanted = runs.filter((run) => keysOf(run).some((key) => keys.includes(key)));
  const wantedIds = wanted.map(({ id }) => id).join("\n");

  useEffect(() => {
    const ids = wantedIds === "" ? [] : wantedIds.split("\n");
    return follow(source, known.current, ids, {
      onRuns: setRuns,
      onNews: () => setVersion((n) => n + 1),
      onLost: setLost,
    });
  }, [source, wantedIds]);

  const curves = useMemo(() => curvesOf(keys, runs, known.current), [keys, runs, version]);
  const shown = wanted.flatMap(({ id }) => known.current.get(id) ?? []);
  const problems = shown.flatMap(({ info }) => info?.problems ?? []);
  const choose = (next: readonly string[]): void => {
    setChosen(next);
    // Not a step of the browser's history.
    history.replaceState(null, "", `#${next.map(encodeURIComponent).join("&")}`);
  };
  return (
    <>
      <a class="skip" href="#content" onClick={skip}>
        Skip to the report
      </a>
      <header>
        <h1>
          Potstill <span>report</span>
        </h1>
        <p class="link" role="status">
          {lost ?? (source.live ? "live" : "exported")}
        </p>
        <label class="theme">
          Colours{" "}
          <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
            <option value="system">system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
      </header>
      <Chooser
        runs={runs}
        chosen={keys}
        colourOf={(key) => curves.find((curve) => curve.key === key)?.colour}
        onChange={choose}
      />
      <main id="content" tabIndex={-1}>
        {problems.map((problem) => (
          <p key={problem} class="problem" role="alert">
            {problem}
          </p>
        ))}
        {shown.length === 0 ? <p class="empty">{emptyText(runs, keys)}</p> : null}
        {curves.length > 0 ? (
          <>
            <Overview curves={curves} now={source.live ? Date.now() : undefined} />
            <Curves curves={curves} version={version} theme={look} />
            <Accuracy curves={curves} />
            <Pictures curves={curves} source={source} theme={look} />
          </>
        ) : null}
        <Teachers curves={curves} runs={shown} theme={look} />
        <Settings curves={curves} />
      </main>
    </>
  );
}

/** Moves the focus, and leaves the address as it is: it tells what is shown. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("content")!.focus();
}

function emptyText(runs: readonly RunSummary[], keys: readonly string[]): string {
  if (runs.length === 0) return "There are no runs here yet: potstill distill makes one.";
  return keys.length === 0 ? "Choose a run to see it." : "Reading …";
}

/** The address's, or all sets of the run that did something last, and of those it is compared with. */
function defaultKeys(runs: readonly RunSummary[]): string[] {
  const all = runs.flatMap(keysOf);
  const named = keysInAddress().filter((key) => all.includes(key));
  if (named.length > 0 || runs.length === 0) return named;
  const newest = runs.reduce((a, b) => (b.updated > a.updated ? b : a));
  const folder = folderOf(newest.id);
  const alike = runs.filter(({ id }) => folder !== "" && folderOf(id) === folder);
  return (alike.length > 0 ? alike : [newest]).flatMap(keysOf).slice(0, COLOURS);
}

/** The curves of what is shown, in the order in which it was chosen. */
function curvesOf(
  keys: readonly string[],
  runs: readonly RunSummary[],
  known: ReadonlyMap<string, RunData>,
): Curve[] {
  const sets = runs.flatMap(({ id, sets: all }) => all.map((ipc) => ({ id, ipc })));
  const shown = sets.filter(({ id, ipc }) => keys.includes(keyOf(id, ipc)));
  const ids = new Set(shown.map(({ id }) => id));
  const folders = new Set(shown.map(({ id }) => folderOf(id)));
  const shortId = (id: string): string => (folders.size === 1 ? id.slice(folderOf(id).length) : id);
  /** What tells it from the others. */
  const labelOf = (id: string, ipc: number): string =>
    ids.size === shown.length && shown.length > 1
      ? shortId(id)
      : ids.size === 1
        ? showSet(ipc)
        : `${shortId(id)}, ${showSet(ipc)}`;
  return keys.flatMap((key, place) => {
    const found = sets.find(({ id, ipc }) => keyOf(id, ipc) === key);
    const run = found && known.get(found.id);
    if (!run) return [];
    const { ipc } = found;
    return [
      {
        ...{ key, run, colour: place % COLOURS },
        set: setOf(run, ipc),
        recipe: run.info?.recipes.find((recipe) => recipe.ipc === ipc),
        label: labelOf(run.id, ipc),
      },
    ];
  });
}

interface Listeners {
  readonly onRuns: (runs: readonly RunSummary[]) => void;
  readonly onNews: () => void;
  /** With what is wrong, or nothing when it is right again. */
  readonly onLost: (problem: string | undefined) => void;
}

/** Asks for the list and for what is new of some runs, again and again; returns how to stop. */
function follow(
  source: Source,
  known: Map<string, RunData>,
  ids: readonly string[],
  { onRuns, onNews, onLost }: Listeners,
): () => void {
  const end = new AbortController();
  const stopped = (): boolean => end.signal.aborted;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const lookOnce = async (): Promise<number> => {
    const runs = await source.runs();
    if (stopped()) return 0;
    onRuns(runs);
    for (const id of ids) {
      const run = known.get(id) ?? emptyRun(id);
      known.set(id, run);
      for (let more = true; more && !stopped();) {
        const update = await source.update(id, run.next);
        applyUpdate(run, update);
        more = update.more;
        if (update.messages.length > 0) onNews();
      }
    }
    const moving = runs.some(({ updated }) => Date.now() - updated < REST);
    return moving ? WAIT.moving : WAIT.resting;
  };
  const look = async (): Promise<void> => {
    let wait: number;
    try {
      wait = await lookOnce();
      onLost(undefined);
      if (!source.live) return;
    } catch {
      onLost("the server does not answer");
      wait = WAIT.lost;
    }
    // What has ended must be seen to have ended.
    onNews();
    if (!stopped()) timer = setTimeout(() => void look(), wait);
  };
  void look();
  return () => {
    end.abort();
    clearTimeout(timer);
  };
}

render(<App source={sourceOf(document)} />, document.getElementById("report")!);
