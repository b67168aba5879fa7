/** @file .npy and .npz: every type of numpy's own files bit for bit, round trips, and refusals. */
import { describe, expect, it } from "vitest";

import { numericArray, type NumericArray } from "../../../distill/formats/array.ts";
import { decodeNpy, decodeNpz, encodeNpy, encodeNpz, isNpy } from "../../../distill/formats/npy.ts";
import { fixture, ramp } from "../../support/fixture.ts";
import { surviveMutations } from "../../support/mutation.ts";

const TYPES = {
  b1: "bool",
  u1: "uint8",
  i1: "int8",
  u2: "uint16",
  i2: "int16",
  u4: "uint32",
  i4: "int32",
  u8: "uint64",
  i8: "int64",
  f2: "float16",
  f4: "float32",
  f8: "float64",
} as const;

/** A .npy file with this header, and so many zeros. */
function fileOf(header: string, dataBytes: number): Buffer {
  const start = Buffer.from("\x93NUMPY\x01\0\0\0", "latin1");
  start.writeUInt16LE(header.length, 8);
  return Buffer.concat([start, Buffer.from(header), Buffer.alloc(dataBytes)]);
}

const header = (descr: string, shape: string, fortran = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;

describe("numpy's files", () => {
  it.each(["arrays.npz", "arrays-deflated.npz"])("hold every type in both orders: %s", (name) => {
    const arrays = decodeNpz(fixture(name), name);
    for (const [kind, dtype] of Object.entries(TYPES)) {
      for (const order of kind.endsWith("1") ? [""] : ["little_", "big_"]) {
        const { data, ...rest } = arrays.get(order + kind)!;
        expect(rest).toEqual({ dtype, shape: [2, 3] });
        expect([...data]).toEqual(ramp(dtype, 6));
      }
    }
    expect(arrays.get("scalar")).toEqual({
      dtype: "float32",
      shape: [],
      data: Float32Array.of(2.5),
    });
    expect(arrays.get("empty")).toEqual({
      dtype: "float32",
      shape: [0, 4],
      data: new Float32Array(0),
    });
    expect([...arrays.get("fortran")!.data]).toEqual(ramp("float32", 24));
    expect(arrays.size).toBe(24);
  });

  it.each([1, 2, 3])("of version %i are read", (version) => {
    const array = decodeNpy(fixture(`version-${version}.npy`), "f");
    expect(array).toEqual({ dtype: "int16", shape: [3, 1], data: Int16Array.of(-3, -2, -1) });
  });

  it("in column-major order come out row-major", () => {
    const array = decodeNpy(fixture("fortran.npy"), "f");
    expect(array.shape).toEqual([2, 3, 4]);
    expect([...array.data]).toEqual(ramp("float32", 24));
  });

  it("are written as numpy writes them", () => {
    const scalar = numericArray("int16", [3, 1], Int16Array.of(-3, -2, -1));
    const numpys = fixture("version-1.npy");
    expect(isNpy(numpys)).toBe(true);
    expect(Buffer.from(encodeNpy(scalar)).equals(numpys)).toBe(true);
  });
});

describe("arrays", () => {
  const samples: Record<string, NumericArray> = {
    a: numericArray("float32", [2, 2], Float32Array.of(1.5, -0, Infinity, 1e-40)),
    half: numericArray("float16", [1], Float32Array.of(0.5)),
    wide: numericArray("int64", [2], Float64Array.of(-(2 ** 53 - 1), 7)),
    count: numericArray("uint64", [], Float64Array.of(2 ** 40)),
    bytes: numericArray("uint8", [0], new Uint8Array(0)),
    flags: numericArray("bool", [2], Uint8Array.of(0, 1)),
  };

  it("come back from .npz as they were written, the same bytes each time", () => {
    const bytes = encodeNpz(samples);
    expect(Object.fromEntries(decodeNpz(bytes, "f"))).toEqual(samples);
    expect(encodeNpz(samples)).toEqual(bytes);
  });

  it("are not written when data and shape disagree, nor as bfloat16", () => {
    expect(() => numericArray("uint8", [2, 2], new Uint8Array(3))).toThrow(
      "data must hold 4 elements for shape [2, 2], got 3",
    );
    const half = numericArray("bfloat16", [1], Float32Array.of(1));
    expect(() => encodeNpy(half)).toThrow("floats must be float16, 32 or 64, got bfloat16");
  });
});

describe("decodeNpy refuses", () => {
  it.each<[string, Buffer, string]>([
    [
      "objects",
      fixture("objects.npy"),
      'elements must be booleans, integers or floats of at most 8 bytes, got "|O"',
    ],
    [
      "complex numbers",
      fileOf(header("<c8", "(1,)"), 8),
      'elements must be booleans, integers or floats of at most 8 bytes, got "<c8"',
    ],
    [
      "an absurd shape",
      fileOf(header("<f4", "(99999999, 99999)"), 4),
      "float32 [99999999, 99999] must take 39999599600004 bytes after the header, got 4",
    ],
    [
      "a cut file",
      fileOf(header("<f4", "(2, 3)"), 23),
      "float32 [2, 3] must take 24 bytes after the header, got 23",
    ],
    [
      "integers that no number holds",
      Buffer.concat([
        fileOf(header("<i8", "(1,)"), 0),
        Buffer.from(BigInt64Array.of(2n ** 53n).buffer),
      ]),
      "64-bit integers must lie within ±(2^53 - 1), got 9007199254740992",
    ],
    ["another version", Buffer.from("\x93NUMPY\x04\0\0\0\0\0", "latin1"), "got 4.0"],
    ["another file", Buffer.from("PK\x03\x04 and so on, for long"), "must start as a .npy file"],
  ])("%s", (_, bytes, sentence) => {
    expect(() => decodeNpy(bytes, "f")).toThrow(sentence);
  });

  it.each([
    "{'descr': '<f4', 'fortran_order': False}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': True}",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
    "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2**9,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999,)}",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
    "__import__('os').system('x')",
  ])("the header %s", (text) => {
    expect(() => decodeNpy(fileOf(text, 4), "f")).toThrow(
      /^f: the \.npy header must be a dict of 'descr', 'fortran_order' and 'shape', got "/,
    );
  });

  it("or reads 500 damaged files, and 500 damaged archives", () => {
    const file = fixture("fortran.npy");
    surviveMutations(file, (bytes) => decodeNpy(bytes, "f"), { headBytes: 128, refused: 300 });
    surviveMutations(fixture("arrays-deflated.npz"), (bytes) => decodeNpz(bytes, "f"), {
      refused: 300,
    });
  });
});
