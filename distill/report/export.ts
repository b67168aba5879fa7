/** @file The report as one file: the served page with all its answers inside. */
import { writeAtomic } from "../files.ts";
import { exportedPage, loadBundle } from "./document.ts";
import { findRuns } from "./folder.ts";
import { snapshotName, type Exported, type Update } from "./messages.ts";
import { labelsOf, sheetOf, snapshotOf, summariesOf, updateOf } from "./reader.ts";
import type { RunFolder } from "./folder.ts";

/**
 * Writes the report of the runs among `paths` to a file of HTML that needs no server and no network.
 * @throws FileError.
 */
export async function exportReport(paths: readonly string[], file: string): Promise<void> {
  const bundle = await loadBundle();
  const folders = findRuns(paths);
  const summaries = summariesOf(folders);
  const runs = folders.filter(({ id }) => summaries.some((summary) => summary.id === id));
  const updates = Object.fromEntries(runs.map((run) => [run.id, wholeUpdate(run)]));
  const sheets: Record<string, string> = {};
  const labels: Record<string, string> = {};
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  for (const run of runs) {
    const told = updates[run.id]!.messages.find((message) => message.kind === "run");
    for (const key of told?.snapshots ?? []) {
      const snapshot = snapshotOf(run, key.ipc, key.iteration);
      if (!snapshot) continue;
      sheets[snapshotName(run.id, key)] = `data:image/png;base64,${base64(sheetOf(snapshot))}`;
      labels[snapshotName(run.id, key)] = base64(labelsOf(snapshot));
    }
  }
  const exported: Exported = { runs: summaries, updates, sheets, labels };
  writeAtomic(file, exportedPage(bundle, exported));
}

/** All that there is to tell of a run. */
function wholeUpdate(run: RunFolder): Update {
  let update = updateOf(run);
  const messages = [...update.messages];
  while (update.more) {
    update = updateOf(run, update.next);
    messages.push(...update.messages);
  }
  return { ...update, messages };
}
