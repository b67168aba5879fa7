/** @file The gradient of a recipe's matching iteration, timed here and in PyTorch, in turns. */
import type { Recipe } from "../distill/recipe.ts";
import type { AdapterFacts } from "../engine/index.ts";
import { compare, type Result } from "./peers/compare.ts";
import { commandOf } from "./peers/peers.ts";
import { Session } from "./peers/session.ts";
import { iterationRow } from "./peers/tasks.ts";

/** How long a peer may take for one answer, in ms. */
const LIMIT_MS = 600_000;
const SAMPLING = { rounds: 7, sampleMs: 500, budgetMs: 60_000 };

export interface Beside {
  readonly ipc: number;
  /** Steps, minibatch and width of what is timed. */
  readonly name: string;
  readonly versions: Readonly<Record<string, string>>;
  /** Ours and PyTorch's, or why there is nothing. */
  readonly results: readonly Result[] | { readonly absent: string };
}

/** Times an iteration of a recipe of CIFAR's images by a ConvNetD3, without augmentation, and with PyTorch of a Python. */
export async function iterationBeside(
  { ipc, width, batch_syn: batch, syn_steps: steps }: Recipe,
  { kind, checks }: AdapterFacts,
  {
    adapter = "",
    pythons,
  }: { readonly adapter?: string | undefined; readonly pythons: readonly string[] },
): Promise<Beside> {
  const row = iterationRow(width, batch, steps);
  const torch = kind === "hardware" ? "torch cuda" : "torch cpu";
  const versions: Record<string, string> = {};
  const entries = ["ours", torch].map((name) => ({ name, found: commandOf(name, pythons) }));
  const absent = entries.flatMap(({ found }) => ("absent" in found ? [found.absent] : []));
  if (absent[0] !== undefined)
    return { ipc, name: row.name, versions, results: { absent: absent[0] } };
  const results = await compare(
    row,
    entries.map(({ name, found }) => ({
      name,
      start:
        "absent" in found ? { absent: found.absent } : () => new Session(found.command, LIMIT_MS),
    })),
    { adapter, checks, slowPolling: false },
    SAMPLING,
    (facts) => void Object.assign(versions, facts.versions),
  );
  return { ipc, name: row.name, versions, results };
}
