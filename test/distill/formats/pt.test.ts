/** @file .pt files: what torch.save wrote bit for bit, our own read by torch.load, and refusals. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { isNumericArray, numericArray, type NumericArray } from "../../../distill/formats/array.ts";
import type { PickleValue } from "../../../distill/formats/pickle.ts";
import { encodePt, type PtContent } from "../../../distill/formats/pt-write.ts";
import { PtTensor, readPt } from "../../../distill/formats/pt.ts";
import { inMemory, OpenFile } from "../../../distill/formats/source.ts";
import { fixture, fixturePath, ramp } from "../../support/fixture.ts";
import { surviveMutations } from "../../support/mutation.ts";
import { pythonWith } from "../../support/python.ts";

const read = (bytes: Uint8Array): PickleValue => readPt(inMemory(bytes, "f"));

/** Tensors loaded, wherever they are. */
function loaded(value: PickleValue): unknown {
  if (value instanceof PtTensor) return value.load();
  if (isNumericArray(value)) return { dtype: value.dtype, shape: value.shape, data: value.data };
  if (Array.isArray(value)) return value.map(loaded);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, item]) => [key, loaded(item)]));
}

const f32 = (shape: number[], values: number[]) =>
  numericArray("float32", shape, Float32Array.from(values));

describe("readPt", () => {
  it.each(["content.pt", "content-legacy.pt"])("reads what torch.save wrote: %s", (name) => {
    using file = new OpenFile(fixturePath(name));
    const content = loaded(readPt(file)) as Record<string, unknown>;
    for (const dtype of [
      ...["float32", "float64", "float16", "bfloat16", "int64", "int32"],
      ...["int16", "int8", "uint8", "bool"],
    ]) {
      const { data, ...rest } = content[dtype] as { data: ArrayLike<number> };
      expect(rest).toEqual({ dtype, shape: [2, 3] });
      expect(Array.from(data)).toEqual(ramp(dtype, 6));
    }
    const base = ramp("float32", 24);
    const row = (i: number) => base.slice(6 * i, 6 * i + 6);
    const columns = [0, 1, 2, 3, 4, 5];
    expect(content).toMatchObject({
      scalar: f32([], [2.5]),
      empty: f32([0, 4], []),
      base: f32([4, 6], base),
      transposed: f32(
        [6, 4],
        columns.flatMap((c) => [0, 1, 2, 3].map((r) => base[6 * r + c]!)),
      ),
      slice: f32(
        [2, 3],
        [1, 2].flatMap((r) => [0, 2, 4].map((c) => base[6 * r + c]!)),
      ),
      expanded: f32([3, 6], [...row(0), ...row(0), ...row(0)]),
      row: f32([6], row(2)),
      parameter: f32([6], row(0)),
      size: [4, 6],
      list: [f32([6], row(0)), [f32([6], row(1)), 0.5]],
      array: f32([2, 3], ramp("float32", 6)),
    });
    const state = content["state"] as Record<string, unknown>;
    expect(Object.keys(state)).toEqual([
      ...["0.weight", "0.bias", "1.weight", "1.bias"],
      ...["1.running_mean", "1.running_var", "1.num_batches_tracked"],
    ]);
    expect(state["1.weight"]).toEqual(f32([2], [1.25, 1.5]));
    expect(state["1.num_batches_tracked"]).toEqual(numericArray("int64", [], Float64Array.of(0)));
  });

  it("reads a tensor alone, its numbers only when asked for", () => {
    const bytes = fixture("tensor.pt");
    bytes.writeFloatLE(9, bytes.indexOf(Buffer.from(Float32Array.of(-0.75, -0.5).buffer)));
    const tensor = read(bytes) as PtTensor;
    expect([tensor.dtype, tensor.shape]).toEqual(["float32", [4, 6]]);
    expect(() => tensor.load()).toThrow(/must have checksum \d+, got \d+ \(it is damaged\)/);
  });

  it("refuses a command by its name", () => {
    expect(() => read(fixture("command.pt"))).toThrow(
      /^f: a pickle must be made of .* alone, got "posix.system", which is not run$/,
    );
  });

  /** The pickle of one of our files changed, at its length. */
  function changed(from: string, to: string): Uint8Array {
    const text = Buffer.from(encodePt(f32([2, 3], [1, 2, 3, 4, 5, 6]))).toString("latin1");
    expect(text).toContain(from);
    // Its checksum is that of other bytes; the reader must not come so far, so it is mended.
    return withMendedPickle(Buffer.from(text.replace(from, to), "latin1"));
  }
  function withMendedPickle(bytes: Buffer): Uint8Array {
    const start = bytes.indexOf("\x80\x02", 64, "latin1");
    const end = bytes.indexOf("RtR.", start) + 4;
    const crc = crc32(bytes.subarray(start, end));
    for (const [signature, field] of [
      ["PK\x03\x04", 14],
      ["PK\x01\x02", 16],
    ] as const) {
      bytes.writeUInt32LE(crc, bytes.indexOf(signature, 0, "latin1") + field);
    }
    return bytes;
  }
  const int = (value: number) => {
    const bytes = Buffer.from("J\0\0\0\0");
    bytes.writeInt32LE(value, 1);
    return bytes.toString("latin1");
  };

  it.each([
    [
      "leaves its storage",
      `(${int(2)}${int(3)}t(${int(3)}`,
      `(${int(2)}${int(3)}t(${int(4)}`,
      "f: a tensor [2, 3] must lie within its storage of 6 elements, got 6",
    ],
    [
      "repeats its storage without end",
      `(${int(2)}${int(3)}t(${int(3)}${int(1)}`,
      `(${int(1 << 20)}${int(1 << 20)}t(${int(0)}${int(0)}`,
      "f: a tensor that repeats its storage must have at most 16777216 elements, got 1099511627776",
    ],
    [
      "has a negative stride",
      `t(${int(3)}`,
      `t(${int(-3)}`,
      "f: a tensor must have an offset, a shape and as many strides, got else",
    ],
    [
      "is sparse",
      "_rebuild_tensor_v2",
      "_rebuild_sparse_t2",
      'got "torch._utils._rebuild_sparse_t2", which is not run',
    ],
    ["has complex numbers", "FloatStorage", "Cplx_Storage", "which is not run"],
    ["claims another storage", `cpu${int(6)}`, `cpu${int(7)}`, "archive/data/0 must have 28 bytes"],
  ])("refuses a tensor that %s", (_, from, to, sentence) => {
    const load = () => (read(changed(from, to)) as PtTensor).load();
    expect(load).toThrow(sentence);
  });

  it("refuses other files", () => {
    expect(() => read(Buffer.alloc(0))).toThrow("f: must be a .pt file, got other content");
    expect(() => read(fixture("plain-2.pkl"))).toThrow(/^f: /);
    expect(() => read(fixture("files.zip"))).toThrow(
      "f: must be a .pt file with one data.pkl in it, got 0",
    );
  });

  it.each(["content.pt", "content-legacy.pt"])(
    "refuses or reads 500 damaged copies of %s",
    (name) => {
      const bytes = fixture(name);
      surviveMutations(bytes, (damaged) => loaded(read(damaged)), {
        headBytes: 1500,
        refused: 250,
      });
    },
  );
});

describe("encodePt", () => {
  const tensor = f32([2, 3], ramp("float32", 6));
  const content = new Map<string, PtContent>([
    ["tensor", tensor],
    ["lazy", { dtype: "float32", shape: [2, 3], load: () => tensor }],
    ["half", numericArray("float16", [2], Float32Array.of(0.5, -65504))],
    ["count", numericArray("int64", [], Float64Array.of(-5))],
    ["list", [tensor, [], new Map(), null, true, 7, -(2 ** 40), 0.5, "é"]],
  ]);

  it("writes what readPt reads, the same bytes each time", () => {
    const bytes = encodePt(content);
    expect(loaded(read(bytes))).toEqual({
      tensor,
      lazy: tensor,
      half: numericArray("float16", [2], Float32Array.of(0.5, -65504)),
      count: numericArray("int64", [], Float64Array.of(-5)),
      list: [tensor, [], {}, null, true, 7, -(2 ** 40), 0.5, "é"],
    });
    expect(encodePt(content)).toEqual(bytes);
  });

  it("refuses types that PyTorch lacks", () => {
    expect(() => encodePt(numericArray("uint16", [1], Uint16Array.of(1)))).toThrow(
      "tensors must be floats, booleans, uint8 or signed integers, got uint16",
    );
  });

  const python = pythonWith("torch");
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "potstill-pt-"));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it.skipIf(python === undefined)(
    `writes what torch.load(weights_only=True) reads${python ? "" : " (skipped: no python3 with torch)"}`,
    () => {
      const path = join(folder, "ours.pt");
      // The strict reader of PyTorch 1.13 knows no floats outside tensors.
      const list = [tensor, [], new Map(), null, true, 7, -(2 ** 40), "é"];
      writeFileSync(path, encodePt(new Map([...content, ["list", list]])));
      const script = [
        "import sys, torch, json",
        "c = torch.load(sys.argv[1], weights_only=True)",
        "assert c['half'].dtype == torch.float16 and c['count'].dtype == torch.int64",
        "assert c['tensor'].is_contiguous() and not c['tensor'].requires_grad",
        "c['list'][0] = c['list'][0].tolist()",
        "print(json.dumps([c['tensor'].tolist(), c['lazy'].tolist(), c['half'].tolist(), c['count'].item(), c['list']]))",
      ].join("\n");
      const { stdout, stderr } = spawnSync(python!, ["-c", script, path], { encoding: "utf8" });
      const rows = [
        [-0.75, -0.5, -0.25],
        [0, 0.25, 0.5],
      ];
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toEqual([
        rows,
        rows,
        [0.5, -65504],
        -5,
        [rows, [], {}, null, true, 7, -(2 ** 40), "é"],
      ]);
    },
  );

  it.skipIf(python === undefined)(
    `has every bit of what PyTorch saves, and PyTorch of ours${python ? "" : " (skipped: no python3 with torch)"}`,
    () => {
      const [theirs, bits, ours] = ["theirs.pt", "bits", "ours.pt"].map((name) =>
        join(folder, name),
      );
      const script = [
        "import sys, torch",
        "torch.manual_seed(1)",
        // Any bits: subnormal numbers, infinities and NaN with their payloads among them.
        "whole = torch.randint(-2**31, 2**31, [10, 3, 32, 32]).to(torch.int32)",
        "open(sys.argv[2], 'wb').write(whole.numpy().tobytes())",
        "torch.save(whole.view(torch.float32), sys.argv[1])",
      ];
      const saved = spawnSync(python!, ["-c", script.join("\n"), theirs!, bits!], {
        encoding: "utf8",
      });
      expect(saved.stderr).toBe("");
      using file = new OpenFile(theirs!);
      const { dtype, shape, data } = loaded(readPt(file)) as NumericArray;
      expect([dtype, shape]).toEqual(["float32", [10, 3, 32, 32]]);
      const wanted = readFileSync(bits!);
      expect(wanted.equals(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))).toBe(
        true,
      );

      writeFileSync(ours!, encodePt(numericArray("float32", shape, data as Float32Array)));
      const compare = [
        "import sys, torch",
        "ours = torch.load(sys.argv[1], weights_only=True)",
        "assert ours.dtype == torch.float32 and list(ours.shape) == [10, 3, 32, 32]",
        "assert ours.numpy().tobytes() == open(sys.argv[2], 'rb').read()",
      ].join("\n");
      const compared = spawnSync(python!, ["-c", compare, ours!, bits!], { encoding: "utf8" });
      expect(compared.stderr).toBe("");
    },
  );
});
