/** @file The digits load as published, and a damaged file is refused in one sentence. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { byteSplit, channelStatistics, DataError } from "../../../distill/data/dataset.ts";
import { DIGITS_MEAN, DIGITS_STD, loadDigits } from "../../../distill/data/digits.ts";
import { normalise } from "../../../distill/data/preprocess.ts";

const packed = readFileSync(new URL("../../../distill/data/digits.csv.gz", import.meta.url));
const rows = gunzipSync(packed).toString().trimEnd().split("\n");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-digits-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Loads `bytes` as a digits file and returns the refusal, its path shortened to `digits`. */
function refusal(bytes: Uint8Array): string {
  const file = join(folder, "digits.csv.gz");
  writeFileSync(file, bytes);
  try {
    loadDigits(file);
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
    return (error as DataError).message.replace(file, "digits");
  }
  throw new Error("the file was accepted");
}

function withLine(line: number, change: (fields: string[]) => void): Uint8Array {
  const changed = [...rows];
  const fields = changed[line - 1]!.split(",");
  change(fields);
  changed[line - 1] = fields.join(",");
  return gzipSync(changed.join("\n"));
}

describe("loadDigits", () => {
  const digits = loadDigits();

  it("splits 1797 rows into 1297 and 500 in the file's order", () => {
    expect(digits.name).toBe("digits");
    expect(digits.classes).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect([digits.channels, digits.height, digits.width]).toEqual([1, 8, 8]);
    expect([digits.train.count, digits.test.count]).toEqual([1297, 500]);
    expect(digits.train.labels[0]).toBe(0);
    expect(digits.test.labels[499]).toBe(8);
    const last = digits.test.images([499]);
    const expected = rows[1796]!.split(",").slice(0, 64).map(Number);
    last.forEach((v, i) => expect(v).toBe(expected[i]! / 16));
  });

  it("carries the mean and standard deviation of its training rows", () => {
    const numbers = rows.slice(0, 1297).flatMap((row) => row.split(",").slice(0, 64).map(Number));
    const raw = byteSplit({
      channels: 1,
      height: 8,
      width: 8,
      levels: 16,
      pixels: Uint8Array.from(numbers),
      labels: digits.train.labels,
    });
    const { mean, std } = channelStatistics(raw, digits);
    expect(mean[0]).toBeCloseTo(DIGITS_MEAN, 14);
    expect(std[0]).toBeCloseTo(DIGITS_STD, 14);
    const normalised = channelStatistics(normalise(digits).train, digits);
    expect(normalised.mean[0]).toBeCloseTo(0, 6);
    expect(normalised.std[0]).toBeCloseTo(1, 6);
  });

  it("accepts Windows line ends", () => {
    const file = join(folder, "windows.csv.gz");
    writeFileSync(file, gzipSync(rows.join("\r\n") + "\r\n"));
    expect(loadDigits(file).test.labels).toEqual(digits.test.labels);
  });

  it("refuses a file that is missing, not gzip, damaged or cut as a gzip", () => {
    expect(() => loadDigits(join(folder, "none"))).toThrow(
      "none: must be a readable file, got ENOENT",
    );
    const what = "digits: must be an undamaged gzip file, got";
    expect(refusal(Buffer.from(rows.join("\n")))).toContain(what);
    expect(refusal(packed.subarray(0, 20_000))).toContain(what);
    expect(refusal(new Uint8Array(0))).toContain("digits");
    const flipped = Uint8Array.from(packed);
    flipped[30_000]! ^= 0xff;
    expect(refusal(flipped)).toContain(what);
  });

  it("refuses a file that unpacks to far more than the digits", () => {
    expect(refusal(gzipSync(new Uint8Array(8 << 20)))).toContain("ERR_BUFFER_TOO_LARGE");
  });

  it("refuses a wrong number of rows", () => {
    expect(refusal(gzipSync(rows.slice(0, 1200).join("\n")))).toBe(
      "digits, line 1200: the file must have 1797 rows, got 1200 (it is cut)",
    );
    expect(refusal(gzipSync([...rows, rows[0]].join("\n")))).toBe(
      "digits, line 1798: the file must have 1797 rows, got 1798",
    );
    expect(refusal(gzipSync(""))).toBe(
      "digits, line 1: the file must have 1797 rows, got 0 (it is cut)",
    );
  });

  it("refuses a wrong number of columns", () => {
    expect(refusal(withLine(12, (fields) => fields.pop()))).toBe(
      "digits, line 12: a row must have 64 pixels and a label, got 64 columns",
    );
  });

  it.each(["17", "-1", "3.5", "", " 4", "1e1", "x"])("refuses the pixel %j", (value) => {
    expect(refusal(withLine(3, (fields) => (fields[4] = value)))).toBe(
      `digits, line 3: pixel 5 must be an integer in 0..16, got ${JSON.stringify(value)}`,
    );
  });

  it("refuses a label that is no digit", () => {
    expect(refusal(withLine(1797, (fields) => (fields[64] = "10")))).toBe(
      'digits, line 1797: the label must be an integer in 0..9, got "10"',
    );
  });
});
