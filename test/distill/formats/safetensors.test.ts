/** @file Safetensors: fixed bytes, round trips, half precision, and refusal of damaged files. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { FileError } from "../../../distill/files.ts";
import { decodeSafetensors, encodeSafetensors } from "../../../distill/formats/safetensors.ts";
import type { StoredTensor } from "../../../distill/formats/safetensors.ts";

/** A file with this header text (padded) and this much data. */
function fileOf(header: string, dataBytes = 0): Uint8Array {
  const json = Buffer.from(header);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const entry = (dtype: string, shape: number[], begin: number, end: number) =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

function refusal(bytes: Uint8Array): string {
  try {
    decodeSafetensors(bytes, "f");
  } catch (error) {
    expect(error).toBeInstanceOf(FileError);
    return (error as FileError).message;
  }
  throw new Error("the file was accepted");
}

const sample: Record<string, StoredTensor> = {
  count: { dtype: "I64", shape: [], data: BigInt64Array.of(-(2n ** 63n)) },
  images: { dtype: "F32", shape: [2, 1, 1, 2], data: Float32Array.of(1.5, -0, Infinity, 1e-40) },
  ids: { dtype: "I32", shape: [3], data: Int32Array.of(-1, 0, 2 ** 31 - 1) },
  half: { dtype: "F16", shape: [2], data: Float32Array.of(0.5, -65504) },
  none: { dtype: "U8", shape: [0, 4], data: new Uint8Array(0) },
  bytes: { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 255) },
};

describe("encodeSafetensors", () => {
  it("writes these bytes: length, metadata first, tensors in order, header padded to 8", () => {
    const bytes = encodeSafetensors(
      {
        b: { dtype: "F32", shape: [1], data: Float32Array.of(1) },
        a: { dtype: "U8", shape: [2], data: Uint8Array.of(7, 8) },
      },
      { z: "1", y: "2" },
    );
    const json =
      '{"__metadata__":{"z":"1","y":"2"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
      '"a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}';
    const padded = json.padEnd(Math.ceil(json.length / 8) * 8);
    const expected = fileOf(padded, 6);
    expected.set([0, 0, 0x80, 0x3f, 7, 8], 8 + padded.length);
    expect(Buffer.from(bytes)).toEqual(Buffer.from(expected));
  });

  it("writes a view's own part of its buffer", () => {
    const data = Float32Array.of(1, 2, 3).subarray(1, 2);
    const bytes = encodeSafetensors({ x: { dtype: "F32", shape: [1], data } });
    expect([...decodeSafetensors(bytes, "f").tensors["x"]!.data]).toEqual([2]);
  });

  it("refuses data that does not fit its shape, narrow before wide, BF16 and a taken name", () => {
    const x: StoredTensor = { dtype: "F32", shape: [2, 3], data: new Float32Array(5) };
    expect(() => encodeSafetensors({ x })).toThrow(
      'encodeSafetensors: "x" must hold 6 elements of shape [2, 3], got 5',
    );
    const a: StoredTensor = { dtype: "U8", shape: [1], data: new Uint8Array(1) };
    const b: StoredTensor = { dtype: "F32", shape: [1], data: new Float32Array(1) };
    expect(() => encodeSafetensors({ a, b })).toThrow(
      'wider elements must come first, got "b" of F32 at byte 1',
    );
    const c: StoredTensor = { dtype: "BF16", shape: [1], data: new Float32Array(1) };
    expect(() => encodeSafetensors({ c })).toThrow('"c" must be F32 or F16, got BF16');
    expect(() => encodeSafetensors({ ["__metadata__"]: a })).toThrow("must have another name");
  });
});

describe("decodeSafetensors", () => {
  it("returns what was encoded", () => {
    const metadata = { dataset: '"digits"', ["__proto__"]: "ü", empty: "" };
    const decoded = decodeSafetensors(encodeSafetensors(sample, metadata), "f");
    expect(Object.keys(decoded.tensors)).toEqual(Object.keys(sample));
    for (const [name, tensor] of Object.entries(sample)) {
      expect(decoded.tensors[name]).toEqual(tensor);
    }
    expect({ ...decoded.metadata }).toEqual({ ...metadata });
  });

  it("reads from a buffer that is not aligned", () => {
    const bytes = encodeSafetensors(sample);
    const shifted = Buffer.concat([Buffer.of(0), bytes]).subarray(1);
    expect(decodeSafetensors(shifted, "f").tensors["images"]).toEqual(sample["images"]);
  });

  it("holds no part of the file it read", () => {
    const bytes = encodeSafetensors(sample);
    const { tensors } = decodeSafetensors(Buffer.from(bytes.buffer), "f");
    bytes.fill(0);
    expect(tensors["bytes"]!.data).toEqual(Uint8Array.of(1, 2, 255));
  });

  it("round-trips any tensors", () => {
    const tensor = fc
      .uint8Array({ maxLength: 40 })
      .map((b): StoredTensor => ({ dtype: "U8", shape: [b.length], data: b }));
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), tensor),
        fc.dictionary(fc.string(), fc.string()),
        (tensors, metadata) => {
          fc.pre(!Object.hasOwn(tensors, "__metadata__"));
          const decoded = decodeSafetensors(encodeSafetensors(tensors, metadata), "f");
          expect(Object.entries(decoded.tensors)).toEqual(Object.entries(tensors));
          expect(Object.entries(decoded.metadata)).toEqual(Object.entries(metadata));
        },
      ),
      { numRuns: 200, seed: 1 },
    );
  });

  it("widens every float16 exactly and rounds back to the same bits", () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter(
      (b) => (b & 0x7c00) !== 0x7c00 || (b & 0x3ff) === 0,
    );
    const file = fileOf(
      `{"x":${entry("F16", [bits.length], 0, bits.byteLength)}}`,
      bits.byteLength,
    );
    file.set(new Uint8Array(bits.buffer), file.length - bits.byteLength);
    const { tensors } = decodeSafetensors(file, "f");
    const again = encodeSafetensors({ x: tensors["x"]! });
    expect(Buffer.compare(again.slice(-bits.byteLength), new Uint8Array(bits.buffer))).toBe(0);
    const values = tensors["x"]!.data;
    const at = (b: number) => values[bits.indexOf(b)];
    expect([at(0x3c00), at(0x0001), at(0x7bff), at(0xfc00)]).toEqual([
      1,
      2 ** -24,
      65504,
      -Infinity,
    ]);
  });

  it("rounds to float16 to the nearest, ties to even", () => {
    const data = Float32Array.of(
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      2 ** -25,
      1.5 * 2 ** -24,
      2 ** -26,
      65519,
      65520,
      NaN,
    );
    const bytes = encodeSafetensors({ x: { dtype: "F16", shape: [8], data } });
    expect([...decodeSafetensors(bytes, "f").tensors["x"]!.data]).toEqual([
      1,
      1 + 2 ** -9,
      0,
      2 ** -23,
      0,
      65504,
      Infinity,
      NaN,
    ]);
  });

  it("reads BF16", () => {
    const file = fileOf(`{"x":${entry("BF16", [2], 0, 4)}}`, 4);
    file.set([0x80, 0x3f, 0x20, 0xc0], file.length - 4);
    expect(decodeSafetensors(file, "f").tensors["x"]).toEqual({
      dtype: "BF16",
      shape: [2],
      data: Float32Array.of(1, -2.5),
    });
  });

  it.each<[string, Uint8Array, string]>([
    ["nothing", new Uint8Array(0), "a safetensors file must have at least 10 bytes, got 0"],
    [
      "a header longer than the file",
      Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 123, 125),
      "the header must have at most 2 bytes, got 18446744073709551615",
    ],
    ["no JSON", fileOf("hello, world"), 'the header must be JSON in UTF-8, got "hello, world"'],
    ["a list", fileOf("[1,2]"), "the header must be a JSON object, got [1, 2]"],
    [
      "a deep list",
      fileOf("[".repeat(200_000) + "]".repeat(200_000)),
      "the header must be a JSON object, got a list of 1",
    ],
    [
      "metadata of numbers",
      fileOf('{"__metadata__":{"a":1}}'),
      '__metadata__ "a" must be a string, got 1',
    ],
    [
      "metadata that is text",
      fileOf('{"__metadata__":"a"}'),
      '__metadata__ must be an object, got "a"',
    ],
    ["an entry that is null", fileOf('{"x":null}'), 'tensor "x" must be an object, got null'],
    [
      "an unknown dtype",
      fileOf(`{"x":${entry("F8", [1], 0, 1)}}`, 1),
      'dtype of tensor "x" must be one of F32, F16, BF16, I32, I64, U8, got "F8"',
    ],
    [
      "a negative axis",
      fileOf(`{"x":${entry("U8", [-1], 0, 1)}}`, 1),
      'shape of tensor "x" must be whole numbers from 0, got [-1]',
    ],
    [
      "three offsets",
      fileOf('{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}', 1),
      'data_offsets of tensor "x" must be two whole numbers from 0, got [0, 1, 2]',
    ],
    [
      "a shape that does not fit",
      fileOf(`{"x":${entry("F32", [2, 3], 0, 20)}}`, 20),
      'tensor "x" of F32 [2, 3] must take 24 bytes, got 20 bytes',
    ],
    [
      "offsets the wrong way round",
      fileOf(`{"x":${entry("U8", [1], 2, 1)}}`, 2),
      'tensor "x" of U8 [1] must take 1 bytes, got -1 bytes',
    ],
    [
      "an absurd shape",
      fileOf(`{"x":${entry("F32", [2 ** 50, 2 ** 50], 0, 4)}}`, 4),
      'tensor "x" of F32 [1125899906842624, 1125899906842624] must take 5.070602400912918e+30 bytes, got 4 bytes',
    ],
    [
      "a gap",
      fileOf(`{"x":${entry("U8", [1], 0, 1)},"y":${entry("U8", [1], 2, 3)}}`, 3),
      'tensor "y" must start where the one before it ends, at byte 114, got a gap (115)',
    ],
    [
      "an overlap",
      fileOf(`{"x":${entry("U8", [2], 0, 2)},"y":${entry("U8", [2], 1, 3)}}`, 3),
      'tensor "y" must start where the one before it ends, at byte 115, got an overlap (114)',
    ],
    [
      "a cut file",
      fileOf(`{"x":${entry("U8", [5], 0, 5)}}`, 4),
      "the file must have 66 bytes as its header says, got 65",
    ],
    [
      "bytes after the last tensor",
      fileOf(`{"x":${entry("U8", [5], 0, 5)}}`, 6),
      "the file must have 66 bytes as its header says, got 67",
    ],
  ])("refuses %s", (_, bytes, sentence) => {
    expect(refusal(bytes)).toBe(`f: ${sentence}`);
  });

  it("refuses or decodes 500 mutated files, and never fails otherwise", () => {
    const base = encodeSafetensors(sample, { dataset: '"digits"' });
    const headerBytes = 8 + Number(new DataView(base.buffer).getBigUint64(0, true));
    const place = fc.oneof(fc.nat(headerBytes), fc.nat(base.length));
    const mutation = fc.oneof(
      fc.record({ kind: fc.constant("set"), at: place, value: fc.nat(255) }),
      fc.record({ kind: fc.constant("cut"), at: place, value: fc.nat(20) }),
      fc.record({ kind: fc.constant("insert"), at: place, value: fc.nat(255) }),
      fc.record({ kind: fc.constant("end"), at: place, value: fc.nat(255) }),
      fc.record({ kind: fc.constant("digit"), at: place, value: fc.integer({ min: 48, max: 57 }) }),
    );
    let refused = 0;
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        const bytes = [...base];
        for (const { kind, at, value } of mutations) {
          if (kind === "cut") bytes.splice(at, value);
          else if (kind === "insert") bytes.splice(at, 0, value);
          else if (kind === "end") bytes.length = Math.min(bytes.length, at);
          else if (at < bytes.length) bytes[at] = value;
        }
        try {
          decodeSafetensors(Uint8Array.from(bytes), "f");
        } catch (error) {
          refused++;
          expect(error).toBeInstanceOf(FileError);
          expect((error as FileError).message).toMatch(/^f: [^\n]{1,400}, got [^\n]+$/);
        }
      }),
      { numRuns: 500, seed: 2 },
    );
    expect(refused).toBeGreaterThan(250);
  });
});
