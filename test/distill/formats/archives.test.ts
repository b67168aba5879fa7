/** @file Gzip, zip and tar: files that Python wrote, archives of our own, and refusal of harmful ones. */
import { gzipSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import { pathInside } from "../../../distill/formats/archive-path.ts";
import { gunzip, isGzip } from "../../../distill/formats/gzip.ts";
import { inMemory } from "../../../distill/formats/source.ts";
import { tarFiles } from "../../../distill/formats/tar.ts";
import { encodeZip, zipPieces } from "../../../distill/formats/zip-write.ts";
import { isZip, ZipArchive } from "../../../distill/formats/zip.ts";
import { fixture } from "../../support/fixture.ts";
import { surviveMutations } from "../../support/mutation.ts";

/** What make.py puts into its archives. */
const files: Record<string, Buffer> = {
  "a.txt": Buffer.from("abc"),
  "deep/b.bin": Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256)),
  empty: Buffer.alloc(0),
};

const zipOf = (bytes: Uint8Array, mostBytes?: number) =>
  new ZipArchive(inMemory(bytes, "f"), mostBytes === undefined ? {} : { mostBytes });

function zipContent(bytes: Uint8Array): Record<string, Buffer> {
  const archive = zipOf(bytes);
  return Object.fromEntries(
    archive.entries.map(({ path }) => [path, Buffer.from(archive.read(path))]),
  );
}

function tarContent(bytes: Uint8Array): Record<string, Buffer> {
  const found = [...tarFiles(inMemory(bytes, "f"))];
  return Object.fromEntries(found.map(({ path, read }) => [path, Buffer.from(read())]));
}

const untarred = (name: string) => gunzip(fixture(name), name, 1 << 20);

describe("gunzip", () => {
  const packed = gzipSync(Buffer.alloc(100_000));

  it("returns the content, of several members too", () => {
    expect(isGzip(packed)).toBe(true);
    expect(gunzip(packed, "f", 100_000)).toHaveLength(100_000);
    expect(gunzip(Buffer.concat([packed, packed]), "f", 200_000)).toHaveLength(200_000);
  });

  it("refuses what unpacks to more than there is room for", () => {
    expect(() => gunzip(packed, "f", 99_999)).toThrow(
      "f: must unpack to at most 99999 bytes, got more",
    );
  });

  it("refuses or returns 500 damaged files", () => {
    const text = gzipSync(Buffer.from("the quick brown fox jumps over the lazy dog".repeat(9)));
    surviveMutations(text, (bytes) => gunzip(bytes, "f", 1 << 20), { refused: 400 });
  });
});

describe("a path in an archive", () => {
  it.each([
    ["a", "a"],
    ["./a//b/./c", "a/b/c"],
    ["a..b/c", "a..b/c"],
    ["a/../b", undefined],
    ["..", undefined],
    ["/a", undefined],
    ["C:/a", undefined],
    ["a\\b", undefined],
    ["a\0", undefined],
    [".", undefined],
    ["", undefined],
  ])("%j is %j", (path, inside) => {
    expect(pathInside(path)).toBe(inside);
  });
});

describe("zip", () => {
  it("reads what Python's zipfile writes: stored, deflated, with zip64 fields and a comment", () => {
    expect(isZip(fixture("files.zip"))).toBe(true);
    expect(zipContent(fixture("files.zip"))).toEqual(files);
  });

  it("reads back what it writes, content aligned, the same bytes each time", () => {
    const list = Object.entries(files).map(([path, bytes]) => ({ path, bytes }));
    const bytes = encodeZip(list);
    expect(zipContent(bytes)).toEqual(files);
    expect(encodeZip(list)).toEqual(bytes);
    expect(Buffer.from(bytes).indexOf(files["deep/b.bin"]!) % 64).toBe(0);
    expect(zipContent(encodeZip([]))).toEqual({});
  });

  it("reads a file with an archive's directory only as far as it is asked to", () => {
    const bytes = fixture("files.zip");
    const asked: number[] = [];
    const source = inMemory(bytes, "f");
    const archive = new ZipArchive({
      ...source,
      read: (at, length) => (asked.push(length), source.read(at, length)),
    });
    asked.length = 0;
    archive.read("a.txt");
    expect(asked.reduce((a, b) => a + b)).toBeLessThan(60);
  });

  it("refuses paths that lead out", () => {
    expect(() => zipOf(fixture("leaves.zip"))).toThrow(
      'f: paths must stay inside the archive, got "../a.txt"',
    );
  });

  it("refuses content that was changed", () => {
    const bytes = encodeZip([{ path: "a", bytes: Buffer.from("abcdef") }]);
    bytes[Buffer.from(bytes).indexOf("cde")]! ^= 1;
    expect(() => zipOf(bytes).read("a")).toThrow(
      /^f: "a" must have checksum \d+, got \d+ \(it is damaged\)$/,
    );
  });

  /** The fixture with a number of its directory's entry for deep/b.bin replaced. */
  function changed(field: number, value: number): Uint8Array {
    const bytes = fixture("files.zip");
    const name = bytes.lastIndexOf("deep/b.bin");
    bytes.writeUInt32LE(value, name - 46 + field);
    return bytes;
  }

  it("refuses sizes that no deflated file has, before it allocates them", () => {
    expect(() => zipOf(changed(24, 0x7fffffff))).toThrow(
      /^f: "deep\/b.bin" of \d+ packed bytes can't unpack to as many, got 2147483647$/,
    );
    expect(() => zipOf(fixture("files.zip"), 1023)).toThrow(
      'f: "deep/b.bin" must unpack to at most 1023 bytes, got 1024',
    );
    expect(() => zipOf(changed(24, 1000)).read("deep/b.bin")).toThrow(
      'f: "deep/b.bin" must unpack to 1000 bytes, got ',
    );
    expect(() => zipOf(changed(24, 2000)).read("deep/b.bin")).toThrow(
      'f: "deep/b.bin" must unpack to 2000 bytes, got 1024',
    );
  });

  it("refuses files that overlap, encryption, other methods and a path twice", () => {
    expect(() => zipOf(changed(42, 0))).toThrow(/must end before|an overlap/);
    expect(() => zipOf(changed(8, 1 | (8 << 16)))).toThrow("must not be encrypted");
    expect(() => zipOf(changed(8, 12 << 16))).toThrow("must be stored or deflated, got method 12");
    const twice = encodeZip([
      { path: "a", bytes: Buffer.from("1") },
      { path: "./a", bytes: Buffer.from("2") },
    ]);
    expect(() => zipOf(twice)).toThrow('every path must occur once, got "a" again');
  });

  it("refuses a path that the directory lacks, and what is no archive", () => {
    expect(() => zipOf(fixture("files.zip")).read("b")).toThrow('f: must contain "b", got none');
    expect(() => zipOf(Buffer.alloc(100))).toThrow("f: must end as a zip archive does");
    expect(() => zipOf(Buffer.alloc(0))).toThrow("f: must end as a zip archive does");
  });

  it("refuses or reads 500 damaged archives of Python's, and 500 of ours", () => {
    const list = Object.entries(files).map(([path, bytes]) => ({ path, bytes }));
    surviveMutations(fixture("files.zip"), zipContent, { refused: 300 });
    surviveMutations(encodeZip(list), zipContent, { refused: 250 });
  });

  it("grows beyond 4 GiB", { timeout: 60_000 }, () => {
    // The same block again and again, never held twice; a source that knows where it lies.
    const block = Buffer.alloc(1 << 28, 7);
    const pieces: { at: number; bytes: Uint8Array }[] = [];
    let size = 0;
    const list = Array.from({ length: 17 }, (_, i) => ({ path: `data/${i}`, bytes: block }));
    list.push({ path: "last", bytes: Buffer.from("end") });
    for (const bytes of zipPieces(list)) {
      pieces.push({ at: size, bytes });
      size += bytes.length;
    }
    expect(size).toBeGreaterThan(2 ** 32);
    const archive = new ZipArchive({
      name: "f",
      size,
      read(at, length) {
        const out = Buffer.alloc(length);
        for (const piece of pieces) {
          const start = Math.max(at, piece.at);
          const end = Math.min(at + length, piece.at + piece.bytes.length);
          if (start < end) {
            out.set(piece.bytes.subarray(start - piece.at, end - piece.at), start - at);
          }
        }
        return out;
      },
    });
    expect(archive.entries).toHaveLength(18);
    expect(Buffer.from(archive.read("last")).toString()).toBe("end");
  });
});

describe("tar", () => {
  const long = `${"long/".repeat(30)}${"n".repeat(110)}é.bin`;

  it.each([
    ["ustar", `${"p".repeat(90)}/${"n".repeat(90)}`],
    ["gnu", long],
    ["pax", long],
  ])("reads what Python's tarfile writes as %s: regular files, long names", (kind, name) => {
    const content = tarContent(untarred(`files-${kind}.tar.gz`));
    expect(content).toEqual({ ...files, [name]: Buffer.from("long") });
  });

  it("refuses paths that lead out", () => {
    expect(() => tarContent(untarred("leaves.tar.gz"))).toThrow(
      'f: paths must stay inside the archive, got "a/../../b"',
    );
  });

  it("refuses an archive that is cut anywhere", () => {
    const bytes = untarred("files-pax.tar.gz");
    const end = bytes.findLastIndex((byte) => byte !== 0);
    for (let length = 0; length <= end; length += 100) {
      expect(() => tarContent(bytes.subarray(0, length)), String(length)).toThrow(/^f: .*must /);
    }
  });

  it("refuses what is no archive", () => {
    expect(() => tarContent(Buffer.alloc(2048, "text "))).toThrow(
      /^f: a tar header with checksum \d+ must be at byte 0, got no tar header/,
    );
  });

  it("refuses or reads 500 damaged archives of each kind", () => {
    for (const kind of ["gnu", "pax"]) {
      surviveMutations(untarred(`files-${kind}.tar.gz`), tarContent, { refused: 250 });
    }
  });
});
