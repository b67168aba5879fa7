/** @file Where the page has its data from: the server, or what was exported into it. */
import { snapshotName, type Exported, type RunSummary } from "../messages.ts";
import type { SnapshotKey, Update } from "../messages.ts";

/** Label probabilities of a snapshot: as bytes `[N, K]`, see `toProbability`. */
export interface Labels {
  readonly classes: readonly string[];
  readonly bytes: Uint8Array;
}

export interface Source {
  /** Whether there may be something new. */
  readonly live: boolean;
  runs(): Promise<readonly RunSummary[]>;
  update(run: string, since: string): Promise<Update>;
  /** Address of a snapshot's images. */
  sheet(run: string, snapshot: SnapshotKey): string;
  labels(run: string, snapshot: SnapshotKey): Promise<Labels>;
}

/** The data that the page carries, or else the server's. */
export function sourceOf(page: Document): Source {
  const text = page.getElementById("data")?.textContent;
  return text === undefined ? served : exported(JSON.parse(text) as Exported);
}

async function ask(path: string, query: Readonly<Record<string, string | number>>) {
  const texts = Object.entries(query).map(([key, value]) => [key, String(value)]);
  const response = await fetch(`${path}?${new URLSearchParams(texts).toString()}`);
  if (!response.ok) throw new Error(await response.text());
  return response;
}

const served: Source = {
  live: true,
  runs: async () => (await (await ask("/api/runs", {})).json()) as RunSummary[],
  update: async (run, since) => (await (await ask("/api/run", { run, since })).json()) as Update,
  sheet: (run, { ipc, iteration, version }) => {
    const query = { run, ipc: String(ipc), iteration: String(iteration), version };
    return `/api/sheet.png?${new URLSearchParams(query).toString()}`;
  },
  labels: async (run, { ipc, iteration, version }) => {
    const response = await ask("/api/labels", { run, ipc, iteration, version });
    return labelsIn(new Uint8Array(await response.arrayBuffer()));
  },
};

const exported = ({ runs, updates, sheets, labels }: Exported): Source => ({
  live: false,
  runs: () => Promise.resolve(runs),
  update: (run, since) => {
    const { messages, ...update } = updates[run]!;
    return Promise.resolve({ ...update, messages: since === "" ? messages : [] });
  },
  sheet: (run, snapshot) => sheets[snapshotName(run, snapshot)]!,
  labels: (run, snapshot) => {
    const binary = atob(labels[snapshotName(run, snapshot)]!);
    return Promise.resolve(labelsIn(Uint8Array.from(binary, (char) => char.charCodeAt(0))));
  },
});

/** Bytes after a line of JSON with the classes' names. */
function labelsIn(bytes: Uint8Array): Labels {
  const end = bytes.indexOf(10);
  const classes = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as string[];
  return { classes, bytes: bytes.subarray(end + 1) };
}
