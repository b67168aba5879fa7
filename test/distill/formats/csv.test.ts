/** @file Comma-separated values: quoting there and back, and refusal of broken quotes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { csvLine, parseCsv } from "../../../distill/formats/csv.ts";
import { surviveMutations } from "../../support/mutation.ts";

describe("comma-separated values", () => {
  it("are read as lines of fields, whatever the line ends", () => {
    expect(parseCsv("a,b\r\n1,\n\n,2", "f")).toEqual([
      ["a", "b"],
      ["1", ""],
      ["", "2"],
    ]);
    expect(parseCsv("", "f")).toEqual([]);
    expect(parseCsv("a,", "f")).toEqual([["a", ""]]);
  });

  it("quote what would not come back otherwise", () => {
    expect(csvLine(["plain", 'say "no"', "a,b", -0.5])).toBe('plain,"say ""no""","a,b",-0.5\n');
    expect(parseCsv('"a\n""b""",c\n', "f")).toEqual([['a\n"b"', "c"]]);
  });

  it("come back as they were written", () => {
    const cell = fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r", " ", "é") });
    const rows = fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 5 });
    fc.assert(
      fc.property(rows, (table) => {
        expect(parseCsv(table.map(csvLine).join(""), "f")).toEqual(table);
      }),
      { seed: 3 },
    );
  });

  it("are refused when a quote is not closed, or is inside a field", () => {
    const sentence = "quotes must enclose whole fields, got others";
    expect(() => parseCsv('a,b\n1,"2\n', "f")).toThrow(`f, line 2: ${sentence}`);
    expect(() => parseCsv('a"b', "f")).toThrow(`f, line 1: ${sentence}`);
  });

  it("are read or refused in 500 damaged copies", () => {
    const text = Buffer.from('file,class\n"a ""b""",1\nc,2\n'.repeat(5));
    surviveMutations(text, (bytes) => parseCsv(Buffer.from(bytes).toString("latin1"), "f"), {
      refused: 50,
    });
  });
});
