/** @file Records in memory and in files, alone, joined and in part, and what becomes of them. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { fileRows } from "../../../distill/data/file-rows.ts";
import { joinedRows, memoryRows, someRows, type Rows } from "../../../distill/data/rows.ts";
import {
  channelsLast,
  columnsFirst,
  contentId,
  storedSplit,
} from "../../../distill/data/stored.ts";
import { FileError } from "../../../distill/files.ts";
import { noise } from "../../support/data-files.ts";

const SIZE = 5;
const STRIDE = 8;
const COUNT = 30;
const BYTES = noise(3 + COUNT * STRIDE);

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-rows-"));
  file = join(folder, "rows.bin");
  writeFileSync(file, BYTES);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Row i starts at 3 + 8 i. */
const row = (i: number): number[] => [...BYTES.subarray(3 + i * STRIDE, 3 + i * STRIDE + SIZE)];
function read(rows: Rows, indices: readonly number[]): number[][] {
  const found: number[][] = indices.map(() => []);
  rows.each(indices, (bytes, at, n) => (found[n] = [...bytes.subarray(at, at + rows.size)]));
  return found;
}

describe("rows", () => {
  const place = { start: 3, stride: STRIDE, count: COUNT };
  const kinds: Record<string, () => Rows> = {
    "in memory": () => memoryRows(BYTES, SIZE, place),
    "in a file": () => fileRows(file, SIZE, place),
    "in several places": () =>
      joinedRows([
        memoryRows(BYTES, SIZE, { ...place, count: 4 }),
        fileRows(file, SIZE, { ...place, start: 3 + 4 * STRIDE, count: 1 }),
        memoryRows(BYTES, SIZE, { ...place, start: 3 + 5 * STRIDE, count: COUNT - 5 }),
      ]),
    "that are some of others": () =>
      someRows(
        memoryRows(BYTES, SIZE, { ...place, count: COUNT }),
        Uint32Array.from({ length: COUNT }, (_, i) => i),
      ),
  };

  it.each(Object.entries(kinds))("%s come in the order asked for", (_, make) => {
    const rows = make();
    expect([rows.count, rows.size]).toEqual([COUNT, SIZE]);
    fc.assert(
      fc.property(fc.array(fc.nat(COUNT - 1), { maxLength: 40 }), (indices) => {
        expect(read(rows, indices)).toEqual(indices.map(row));
      }),
      { numRuns: 100, seed: 2 },
    );
    const inOrder = Array.from({ length: COUNT }, (_, i) => i);
    expect(read(rows, inOrder)).toEqual(inOrder.map(row));
  });

  it("of a file that was cut since are refused", () => {
    const cut = join(folder, "cut.bin");
    writeFileSync(cut, BYTES);
    const rows = fileRows(cut, SIZE, place);
    truncateSync(cut, 100);
    expect(read(rows, [2])).toEqual([row(2)]);
    expect(() => read(rows, [20])).toThrow(FileError);
    rmSync(cut);
    expect(() => read(rows, [2])).toThrow(`${cut}: must exist, got no such file (ENOENT)`);
  });
});

describe("a split over records", () => {
  const shape = { channels: 2, height: 1, width: 3 };
  const labels = Uint8Array.of(0, 1);
  const planar = noise(12);

  it("gives planes whatever the order of the records", () => {
    const interleaved = Uint8Array.from(planar, (_, i) => {
      const [n, x, c] = [Math.floor(i / 6), Math.floor(i / 2) % 3, i % 2];
      return planar[n * 6 + c * 3 + x]!;
    });
    const plain = storedSplit({ ...shape, rows: memoryRows(planar, 6), labels, levels: 255 });
    const turned = storedSplit({
      ...{ ...shape, labels, levels: 255 },
      ...{ rows: memoryRows(interleaved, 6), order: channelsLast(shape) },
    });
    expect(turned.images([1, 0])).toEqual(plain.images([1, 0]));
    expect(contentId(turned, plain, 2)).toBe(contentId(plain, turned, 2));
    const floats = storedSplit({
      ...{ ...shape, labels, levels: 255, element: "f32" as const },
      rows: memoryRows(new Uint8Array(Float32Array.from(planar).buffer), 24),
    });
    expect(floats.images([1, 0])).toEqual(plain.images([1, 0]));
  });

  it("gives upright pictures of columns", () => {
    const upright = [1, 2, 3, 4, 5, 6];
    const columns = Uint8Array.of(1, 4, 2, 5, 3, 6);
    const grey = { channels: 1, height: 2, width: 3 };
    const split = storedSplit({
      ...{ ...grey, labels: Uint8Array.of(0), levels: 1 },
      ...{ rows: memoryRows(columns, 6), order: columnsFirst(grey) },
    });
    expect([...split.images([0])]).toEqual(upright);
  });

  it("has another id when anything in it is another", () => {
    const make = (bytes: Uint8Array, own: Uint8Array, levels = 255) =>
      storedSplit({ ...shape, rows: memoryRows(bytes, 6), labels: own, levels });
    const plain = make(planar, labels);
    const other = make(noise(12, 9), labels);
    const ids = [
      contentId(plain, plain, 2),
      contentId(plain, plain, 3),
      contentId(plain, other, 2),
      contentId(other, plain, 2),
      contentId(make(planar, Uint8Array.of(1, 0)), plain, 2),
      contentId(plain, make(planar, Uint8Array.of(1, 0)), 2),
      contentId(make(planar, labels, 16), plain, 2),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    expect(contentId(make(planar.slice(), labels.slice()), plain, 2)).toBe(ids[0]);
  });

  it("refuses records that do not fit", () => {
    expect(() =>
      storedSplit({ ...shape, rows: memoryRows(planar, 4), labels, levels: 255 }),
    ).toThrow("storedSplit: there must be 2 records of 6 bytes, got 3 of 4");
  });
});
