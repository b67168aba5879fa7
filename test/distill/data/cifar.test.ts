/** @file CIFAR-10 and CIFAR-100: batches in every published form, whole or in part. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Split } from "../../../distill/data/dataset.ts";
import { loadSource } from "../../../distill/data/registry.ts";
import {
  expectOnlyRefusals,
  noise,
  refusal,
  without,
  writeFiles,
} from "../../support/data-files.ts";
import { fixture } from "../../support/fixture.ts";
import { tar } from "../../support/tar.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "potstill-cifar-"));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const bytesOf = (split: Split, index: number): number[] =>
  Array.from(split.images([index]), (v) => Math.round(v * 255));

/** Records of label bytes and 3072 pixels. */
const records = (labels: readonly (readonly number[])[], seed: number): Buffer =>
  Buffer.concat(labels.flatMap((bytes, i) => [Uint8Array.from(bytes), noise(3072, seed + i)]));

const TEN = {
  "data_batch_1.bin": records([[3], [9]], 1),
  "data_batch_2.bin": records([[0]], 3),
  "data_batch_3.bin": records([[1]], 4),
  "data_batch_4.bin": records([[2]], 5),
  "data_batch_5.bin": records([[4]], 6),
  "test_batch.bin": records([[7], [6]], 7),
};

/** Batches of two images, pixel i being 7 i mod 256, with labels 6 and 9, by `fixtures/make.py`. */
const PICKLES: Readonly<Record<string, Buffer>> = {
  "of Python 2": fixture("cifar-python2.pkl"),
  "of protocol 2": gunzipSync(fixture("cifar-2.pkl.gz")),
  "of protocol 4": gunzipSync(fixture("cifar-4.pkl.gz")),
  "of protocol 5": gunzipSync(fixture("cifar-5.pkl.gz")),
};

describe("CIFAR", () => {
  it("is read from binary batches in their order", async () => {
    const source = await loadSource(writeFiles(join(root, "ten"), TEN));
    expect(source.name).toBe("cifar-10");
    expect([source.channels, source.height, source.width]).toEqual([3, 32, 32]);
    expect(source.classes.slice(0, 4)).toEqual(["airplane", "automobile", "bird", "cat"]);
    expect(source.normalisation?.mean).toEqual([0.4914, 0.4822, 0.4465]);
    expect(source.notes).toEqual([]);
    expect([...source.train.labels]).toEqual([3, 9, 0, 1, 2, 4]);
    expect([...source.test.labels]).toEqual([7, 6]);
    expect(bytesOf(source.train, 1)).toEqual([...noise(3072, 2)]);
    expect(bytesOf(source.train, 5)).toEqual([...noise(3072, 6)]);
    expect(bytesOf(source.test, 1)).toEqual([...noise(3072, 8)]);
    // Images of several batches in one request, in any order.
    const some = source.train.images([5, 0, 2, 2]);
    expect(some.subarray(3072, 6144)).toEqual(source.train.images([0]));
    expect(some.subarray(9216)).toEqual(source.train.images([2]));
  });

  it("is read from an archive, found by name in the folder of data sets", async () => {
    const plain = await loadSource(writeFiles(join(root, "ten"), TEN));
    const archive = gzipSync(
      tar(Object.entries(TEN).map(([name, bytes]) => [`cifar-10-batches-bin/${name}`, bytes])),
    );
    for (const path of ["cifar-10-binary.tar.gz", "cifar-10/cifar-10-binary.tar.gz"]) {
      const data = writeFiles(join(root, "data"), { [path]: archive });
      const source = await loadSource("CIFAR10", { data });
      expect([source.name, source.id]).toEqual(["cifar-10", plain.id]);
    }
  });

  it("may be incomplete, which its notes say", async () => {
    const some = without(TEN, "data_batch_2.bin", "data_batch_5.bin");
    const source = await loadSource(writeFiles(join(root, "part"), some));
    expect(source.train.count).toBe(4);
    expect(source.notes).toEqual([
      "cifar-10: 4 of 50000 training images, for data_batch_2.bin, data_batch_5.bin are missing",
    ]);
  });

  it("of 100 classes has its fine labels", async () => {
    const files = {
      "train.bin": records([[3, 99], [9, 0]], 1), // prettier-ignore
      "test.bin": records([[19, 50]], 9),
    };
    const source = await loadSource(writeFiles(join(root, "hundred"), files));
    expect(source.name).toBe("cifar-100");
    expect(source.classes.length).toBe(100);
    expect(source.classes[99]).toBe("worm");
    expect([...source.train.labels, ...source.test.labels]).toEqual([99, 0, 50]);
    expect(bytesOf(source.test, 0)).toEqual([...noise(3072, 9)]);
    expect(source.normalisation?.mean).toEqual([0.4914, 0.4822, 0.4465]);
    const computed = await loadSource(join(root, "hundred"), { normalisation: "computed" });
    expect(computed.normalisation).toBeUndefined();
  });

  it.each(Object.entries(PICKLES))("is read from batches %s", async (_, batch) => {
    const files = { data_batch_1: batch, data_batch_4: batch, test_batch: batch };
    const source = await loadSource(writeFiles(join(root, "py"), files));
    expect(source.name).toBe("cifar-10");
    expect([...source.train.labels, ...source.test.labels]).toEqual([6, 9, 6, 9, 6, 9]);
    const expected = Array.from({ length: 3072 }, (_, i) => (7 * (3072 + i)) % 256);
    expect(bytesOf(source.train, 3)).toEqual(expected);
    expect(source.notes?.[0]).toContain(
      "4 of 50000 training images, for data_batch_2, data_batch_3",
    );
  });
});

describe("CIFAR is refused", () => {
  it.each([
    [
      "when a batch is cut",
      { "data_batch_2.bin": TEN["data_batch_2.bin"].subarray(0, 3000) },
      "data_batch_2.bin: must hold whole records of 3073 bytes, at most 500000, got 3000 bytes (it is cut or damaged)",
    ],
    [
      "when a batch is empty",
      { "test_batch.bin": "" },
      "test_batch.bin: must hold whole records of 3073 bytes, at most 500000, got 0 bytes (it is cut or damaged)",
    ],
    [
      "when a label is out of range",
      { "data_batch_1.bin": records([[3], [10]], 1) },
      "data_batch_1.bin: labels must be in 0..9, got 10 as number 1",
    ],
  ])("%s", async (_, change, sentence) => {
    const folder = writeFiles(join(root, "bad"), { ...TEN, ...change });
    expect(await refusal(() => loadSource(folder), folder)).toBe(sentence);
  });

  it("without test images, or under the other's name", async () => {
    const folder = writeFiles(join(root, "bad"), without(TEN, "test_batch.bin"));
    expect(await refusal(() => loadSource(folder), folder)).toBe(
      "the folder: must hold test_batch.bin with the test images, got none",
    );
    const data = writeFiles(join(root, "data"), {
      "cifar-100/test_batch.bin": TEN["test_batch.bin"],
      "cifar-100/data_batch_1.bin": TEN["data_batch_1.bin"],
    });
    expect(await refusal(() => loadSource("cifar-100", { data }), data)).toBe(
      "cifar-100: must hold cifar-100, got cifar-10",
    );
  });

  it("when an archive's paths lead out of it, or it is cut", async () => {
    const evil = gzipSync(tar([["../data_batch_1.bin", TEN["data_batch_1.bin"]]]));
    const folder = writeFiles(join(root, "evil"), { "cifar.tar.gz": evil });
    expect(await refusal(() => loadSource(join(folder, "cifar.tar.gz")), folder)).toBe(
      'cifar.tar.gz: paths must stay inside the archive, got "../data_batch_1.bin"',
    );
    writeFiles(folder, { "cifar.tar.gz": gzipSync(tar(Object.entries(TEN))).subarray(0, 4000) });
    expect(await refusal(() => loadSource(join(folder, "cifar.tar.gz")), folder)).toBe(
      "cifar.tar.gz: must be an undamaged gzip file, got Z_BUF_ERROR",
    );
  });

  it("when a pickle holds other things", async () => {
    const batch = PICKLES["of protocol 2"]!;
    const told = async (bytes: Uint8Array): Promise<string> => {
      const files = { data_batch_1: bytes, test_batch: batch };
      const folder = writeFiles(join(root, "py"), files);
      return refusal(() => loadSource(folder), folder);
    };
    expect(await told(Buffer.from("\x80\x02}q\x00.", "latin1"))).toBe(
      "data_batch_1: data must be bytes [N, 3072], got other things",
    );
    expect(await told(Buffer.from("cos\nsystem\n(S'echo'\ntR."))).toContain("data_batch_1: ");
  });

  const small = {
    "data_batch_1.bin": TEN["data_batch_1.bin"],
    "test_batch.bin": TEN["test_batch.bin"],
  };
  const batch = PICKLES["of Python 2"]!;
  const archive = gzipSync(tar(Object.entries(small)));
  it.each([
    ["binary", small],
    ["Python", { data_batch_1: batch, test_batch: batch }],
    ["tar.gz", { "cifar.tar.gz": archive }],
  ])("and nothing worse happens, whatever is damaged (%s)", async (name, files) => {
    await expectOnlyRefusals(join(root, `fuzz-${name}`), files, loadSource);
  });
});

const REAL = new URL("../../../../shared/data/", import.meta.url).pathname;

describe("the real CIFAR-10", () => {
  const here = existsSync(join(REAL, "cifar-10"));
  it.skipIf(!here)("(skipped where the files are not beside the repository)", async () => {
    const source = await loadSource("cifar-10", { data: REAL });
    expect([source.train.count, source.test.count]).toEqual([20_000, 10_000]);
    expect([...source.train.labels.subarray(0, 8)]).toEqual([4, 4, 0, 1, 0, 8, 8, 9]);
    const md5 = (bytes: number[]) => createHash("md5").update(Uint8Array.from(bytes)).digest("hex");
    // By numpy from the files themselves.
    expect(md5(bytesOf(source.train, 0))).toBe("aea6deccf398258cd4bb69a9682ab3d1");
    expect(md5(bytesOf(source.train, 19_999))).toBe("87ce34092e5b7c7b7b31947e4aaadc57");
    expect(md5(bytesOf(source.test, 9_999))).toBe("d03fe0037755d07b59b82bc0b7e4bb94");
  });
});
