/** @file Damaged copies of a file, and what a reader may do with them: return, or refuse in one sentence. */
import fc from "fast-check";
import { expect } from "vitest";

import { FileError } from "../../distill/files.ts";

export interface Mutation {
  readonly kind: string;
  readonly at: number;
  readonly value: number;
}

/** Bytes set, cut out, inserted or lost at the end; half of them within the first `headBytes`. */
export function mutations(length: number, headBytes: number): fc.Arbitrary<Mutation[]> {
  const at = fc.oneof(fc.nat(Math.min(headBytes, length)), fc.nat(length));
  const kind = fc.constantFrom("set", "set", "cut", "insert", "end", "huge");
  return fc.array(fc.record({ kind, at, value: fc.nat(255) }), { minLength: 1, maxLength: 4 });
}

/** A copy of the bytes with the changes. */
export function mutated(bytes: Uint8Array, changes: readonly Mutation[]): Uint8Array {
  const damaged = [...bytes];
  for (const { kind, at, value } of changes) {
    if (kind === "cut") damaged.splice(at, (value % 20) + 1);
    else if (kind === "insert") damaged.splice(at, 0, value);
    else if (kind === "end") damaged.length = Math.min(damaged.length, at);
    else if (kind === "huge") damaged.fill(0xff, at, at + (value % 8) + 1);
    else if (at < damaged.length) damaged[at] = value;
  }
  return Uint8Array.from(damaged);
}

export interface MutationTest {
  /** Of the bytes, the part that says most. */
  readonly headBytes?: number;
  readonly runs?: number;
  /** How many at least must be refused. */
  readonly refused: number;
}

/**
 * Reads `runs` damaged copies of `bytes`. Each must give a value, or a `FileError` whose one sentence
 * starts with the name `f`, in little time and memory.
 */
export function surviveMutations(
  bytes: Uint8Array,
  read: (bytes: Uint8Array) => unknown,
  { headBytes = bytes.length, runs = 500, refused: least }: MutationTest,
): void {
  let refused = 0;
  let slowest = 0;
  const before = process.memoryUsage();
  fc.assert(
    fc.property(mutations(bytes.length, headBytes), (changes) => {
      const damaged = mutated(bytes, changes);
      const start = performance.now();
      try {
        read(damaged);
      } catch (error) {
        refused++;
        if (!(error instanceof FileError)) throw error;
        expect(error.message).toMatch(/^f(?:, [^\n]{1,80})?: [^\n]{1,400}, got [^\n]+$/);
      }
      slowest = Math.max(slowest, performance.now() - start);
    }),
    { numRuns: runs, seed: 3 },
  );
  const after = process.memoryUsage();
  expect(refused).toBeGreaterThan(least);
  expect(slowest).toBeLessThan(1000);
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(256 << 20);
}
