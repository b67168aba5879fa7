/** @file Which peers and rows a run takes. */
import { peerNames } from "./peers.ts";
import { largeRows, rows, slowRows, type Row } from "./tasks.ts";

/** Names that contain one of the texts, separated by commas. @throws RangeError where a text finds none. */
export function selectPeers(texts: string): string[] {
  const chosen = new Set<string>();
  for (const text of texts.split(",").map((part) => part.trim())) {
    const found = peerNames.filter((name) => text !== "" && name.includes(text));
    if (found.length === 0)
      throw new RangeError(
        `--peers: must be parts of ${peerNames.join(", ")}, separated by commas, got "${text}"`,
      );
    for (const name of found) chosen.add(name);
  }
  return peerNames.filter((name) => chosen.has(name));
}

/** The rows a run measures. @throws RangeError where none is left. */
export function selectRows({
  filter = "",
  quick = false,
  large = false,
}: {
  readonly filter?: string | undefined;
  readonly quick?: boolean;
  readonly large?: boolean;
}): Row[] {
  // A slow row that is asked for is measured.
  const short = quick && filter === "";
  const offered = large ? largeRows : rows.filter(({ name }) => !short || !slowRows.has(name));
  const found = offered.filter(({ name }) => name.includes(filter));
  if (found.length === 0)
    throw new RangeError(
      `--filter: must be part of a row's name, ${offered.map(({ name }) => name).join(", ")}, got "${filter}"`,
    );
  return found;
}
