/** @file Checkpoints: what is read is what was written, and damage costs no more than it must. */
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { Random } from "../../../engine/index.ts";
import { FileError } from "../../../distill/files.ts";
import type { MatchState } from "../../../distill/matching/match.ts";
import { resolveRecipe } from "../../../distill/recipe.ts";
import {
  lastCheckpoint,
  removeCheckpoints,
  writeCheckpoint,
} from "../../../distill/resume/checkpoint.ts";
import { madeRecipe } from "../../support/run-folder.ts";

const recipe = madeRecipe(50);
const LOG = "metrics.jsonl";
let root: string;
let folder: string;
let made = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-checkpoint-"));
});
afterAll(() => rmSync(root, { recursive: true }));
beforeEach(() => {
  folder = mkdtempSync(join(root, "run-"));
  writeFileSync(join(folder, LOG), "");
});

/** A state unlike every other. */
function stateAt(iteration: number, changes: Partial<MatchState> = {}): MatchState {
  const random = new Random(1).stream(String(made++));
  const floats = (count: number) => random.fill(count, -3, 3);
  return {
    ...{ images: floats(640), labels: floats(100), lr: Math.fround(0.1 + random.uniform()) },
    ...{ velocityImages: floats(640), velocityLabels: floats(100), velocityLr: -1e-20 },
    ...{ best: undefined, lossSum: 0.1 + 0.2, losses: 3, iteration, rejected: 2 },
    ...changes,
  };
}

/** Writes it after a line of the log for its iteration. */
function write(state: MatchState, skipped = 4): void {
  appendFileSync(join(folder, LOG), `${state.iteration}\n`);
  writeCheckpoint(folder, recipe, { state, skipped }, [LOG]);
}
const read = () => lastCheckpoint(folder, recipe);
const [newest, before] = ["checkpoint-ipc1.safetensors", "checkpoint-ipc1.before.safetensors"];

describe("a checkpoint", () => {
  it.each<[string, Partial<MatchState>]>([
    ["plainly", {}],
    ["with an average", { averageImages: new Random(3).fill(640, -1, 1) }],
    [
      "with the best set so far",
      {
        best: {
          ...{ images: new Random(4).fill(640, -1, 1), labels: new Random(5).fill(100, -1, 1) },
          ...{ lr: 0.3, iteration: 5, score: -1 / 3 },
        },
      },
    ],
  ])("comes back as it was, %s", (_, changes) => {
    const state = stateAt(7, changes);
    write(state);
    expect(read()).toEqual({ checkpoint: { state, skipped: 4, logs: { [LOG]: 2 } }, damage: [] });
  });

  it("is kept with the one before it, and no others", () => {
    const states = [stateAt(1), stateAt(2), stateAt(3)];
    for (const state of states) write(state);
    expect(readdirSync(folder).sort()).toEqual([before, newest, LOG]);
    expect(read().checkpoint!.state).toEqual(states[2]);
    rmSync(join(folder, newest));
    expect(read().checkpoint!.state).toEqual(states[1]);
    removeCheckpoints(folder, recipe);
    expect(readdirSync(folder)).toEqual([LOG]);
    expect(read()).toEqual({ damage: [] });
  });

  /** Changes one byte in the middle. */
  function flip(path: string): void {
    const bytes = readFileSync(path);
    bytes[Math.floor(bytes.length / 2)]! ^= 1;
    writeFileSync(path, bytes);
  }

  it.each<[string, (path: string) => void, RegExp]>([
    ["a changed byte", flip, /must have its checksum, got another \(the file is damaged\)$/],
    ["a cut file", (path) => truncateSync(path, 3000), /got /],
    ["an empty file", (path) => truncateSync(path, 0), /got 0$/],
    ["another file", (path) => writeFileSync(path, "no checkpoint at all"), /got /],
  ])("falls back to the one before over %s", (_, damage, says) => {
    const [first, second] = [stateAt(1), stateAt(2)];
    write(first);
    write(second);
    damage(join(folder, newest));
    const found = read();
    expect(found.checkpoint!.state).toEqual(first);
    expect(found.damage).toEqual([expect.stringMatching(says)]);
    expect(found.damage[0]!.startsWith(join(folder, newest))).toBe(true);
    damage(join(folder, before));
    expect(read().checkpoint).toBeUndefined();
    expect(read().damage.length).toBe(2);
  });

  it("falls back where the log has lost what it was written after", () => {
    write(stateAt(1));
    write(stateAt(2));
    truncateSync(join(folder, LOG), 2);
    const { checkpoint, damage } = read();
    expect(checkpoint!.state.iteration).toBe(1);
    expect(damage).toEqual([
      `${join(folder, LOG)}: must have the 4 bytes of its checkpoint, got 2`,
    ]);
  });

  it("of another recipe is refused, not replaced", () => {
    write(stateAt(1));
    const other = resolveRecipe(recipe, { seed: 5 });
    expect(() => lastCheckpoint(folder, other)).toThrow(FileError);
    expect(() => lastCheckpoint(folder, other)).toThrow(/must be of the run's recipe/);
  });

  it("of a newer version is refused", () => {
    write(stateAt(1));
    const path = join(folder, newest);
    const text = readFileSync(path, "latin1").replace('"version":"1"', '"version":"2"');
    writeFileSync(path, text, "latin1");
    expect(read).toThrow(
      `${path}: must be of version 1, got 2; go on with the potstill that wrote it`,
    );
  });

  it("that cannot be written leaves the last one", () => {
    const state = stateAt(1);
    write(state);
    const copy = join(root, "copy");
    cpSync(folder, copy, { recursive: true });
    rmSync(join(folder, LOG));
    expect(() => writeCheckpoint(join(folder, "none"), recipe, { state, skipped: 0 }, [])).toThrow(
      FileError,
    );
    expect(lastCheckpoint(copy, recipe).checkpoint!.state).toEqual(state);
  });
});
