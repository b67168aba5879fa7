/** @file Readers of formats and data sets. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { loadDigits } from "../../distill/data/digits.ts";
import { decodePicture, pictureHeader } from "../../distill/data/picture.ts";
import { checkData, recordData } from "../../distill/data/record.ts";
import { loadSource } from "../../distill/data/registry.ts";
import { writeDistilled } from "../../distill/distilled.ts";
import { numericArray } from "../../distill/formats/array.ts";
import { parseCsv } from "../../distill/formats/csv.ts";
import { gunzip } from "../../distill/formats/gzip.ts";
import { decodeNpy, decodeNpz, encodeNpz } from "../../distill/formats/npy.ts";
import { NUMPY } from "../../distill/formats/pickle-numpy.ts";
import { ORDERED_DICT, unpickle, type PickleValue } from "../../distill/formats/pickle.ts";
import { PtTensor } from "../../distill/formats/pt-tensor.ts";
import { readPt } from "../../distill/formats/pt.ts";
import { decodeSafetensors } from "../../distill/formats/safetensors.ts";
import { inMemory } from "../../distill/formats/source.ts";
import { tarFiles } from "../../distill/formats/tar.ts";
import { ZipArchive } from "../../distill/formats/zip.ts";
import { sample } from "../distill/exchange/sample.ts";
import { idx, noise, writeFiles } from "./data-files.ts";
import { fixture } from "./fixture.ts";
import { tar } from "./tar.ts";

import type { Reader } from "./readers.ts";

/** Of one file's bytes, in memory, called `f`. */
const bytes = (
  content: Uint8Array,
  read: (bytes: Uint8Array) => unknown,
): Pick<Reader, "make" | "read"> => ({
  make: (folder) => {
    writeFileSync(join(folder, "f"), content);
    return ["f"];
  },
  read: (folder) => read(readFileSync(join(folder, "f"))),
});

/** Of a data set's files. */
const set = (
  files: Parameters<typeof writeFiles>[1],
  options: Parameters<typeof loadSource>[1] = {},
): Pick<Reader, "make" | "read"> => ({
  make: (folder) => {
    writeFiles(folder, files);
    return Object.keys(files);
  },
  read: (folder) => loadSource(folder, options),
});

/** Tensors loaded, wherever they are. */
function loaded(value: PickleValue): unknown {
  if (value instanceof PtTensor) return value.load();
  if (Array.isArray(value)) return value.map(loaded);
  return value instanceof Map ? [...value.values()].map(loaded) : value;
}

const zipContent = (packed: Uint8Array): unknown => {
  const zip = new ZipArchive(inMemory(packed, "f"));
  return zip.entries.map(({ path }) => zip.read(path));
};
const tarContent = (packed: Uint8Array): unknown =>
  [...tarFiles(inMemory(packed, "f"))].map((file) => file.read());

const records = (labels: readonly number[]): Buffer =>
  Buffer.concat(labels.flatMap((label, i) => [Uint8Array.of(label), noise(3072, i)]));
const cifar = { "data_batch_1.bin": records([3, 9]), "test_batch.bin": records([1]) };
const IDX = {
  "train-images-idx3-ubyte": idx([3, 4, 4], noise(48)),
  "train-labels-idx1-ubyte": idx([3], [0, 1, 2]),
  "t10k-images-idx3-ubyte": idx([2, 4, 4], noise(32)),
  "t10k-labels-idx1-ubyte": idx([2], [0, 1]),
};
const packed = Object.fromEntries(
  Object.entries(IDX).map(([name, content]) => [`${name}.gz`, gzipSync(content)]),
);
const bytesIn = (shape: number[], seed: number) =>
  numericArray(
    "uint8",
    shape,
    noise(
      shape.reduce((a, b) => a * b),
      seed,
    ),
  );
const classes = (...data: number[]) =>
  numericArray("int64", [data.length], Float64Array.from(data));
const arrays = {
  ...{ x_train: bytesIn([4, 3, 2, 5], 1), y_train: classes(0, 1, 2, 1) },
  ...{ x_test: bytesIn([2, 3, 2, 5], 2), y_test: classes(2, 0) },
};
const jpeg = fixture("grey.jpg");
const pictures = { "train/a/1.jpg": jpeg, "train/b/1.jpg": jpeg, "test/a/1.jpg": jpeg };

/** Rows by what is read. */
export const readersOfData: Readonly<Record<string, Reader>> = {
  gzip: {
    of: ["gunzip"],
    ...bytes(gzipSync(noise(500)), (content) => gunzip(content, "f", 1 << 20)),
  },
  csv: {
    of: ["parseCsv"],
    ...bytes(Buffer.from('a,"b ""c""",d\n1,2,3\n'), (content) =>
      parseCsv(Buffer.from(content).toString("latin1"), "f"),
    ),
  },
  npy: {
    of: ["decodeNpy"],
    ...bytes(fixture("version-2.npy"), (content) => decodeNpy(content, "f")),
  },
  "npz of NumPy": {
    of: ["decodeNpz"],
    ...bytes(fixture("arrays-deflated.npz"), (content) => decodeNpz(content, "f")),
  },
  pickle: {
    of: ["unpickle", "unpickleFirst"],
    ...bytes(fixture("plain-4.pkl"), (content) =>
      unpickle(content, "f", { allowed: new Map([...NUMPY, ORDERED_DICT]) }),
    ),
  },
  "pickle of Python 2": {
    of: ["unpickle"],
    ...bytes(fixture("plain-0.pkl"), (content) =>
      unpickle(content, "f", { allowed: new Map([...NUMPY, ORDERED_DICT]) }),
    ),
  },
  pt: {
    of: ["readPt"],
    ...bytes(fixture("content.pt"), (content) => loaded(readPt(inMemory(content, "f")))),
  },
  "pt of old": {
    of: ["readLegacyPt"],
    ...bytes(fixture("content-legacy.pt"), (content) => loaded(readPt(inMemory(content, "f")))),
  },
  zip: { of: ["ZipArchive"], ...bytes(fixture("files.zip"), zipContent) },
  tar: { of: ["tarFiles"], ...bytes(gunzipSync(fixture("files-pax.tar.gz")), tarContent) },
  safetensors: {
    of: ["decodeSafetensors", "decodeHeader"],
    make: (folder) => {
      writeDistilled(join(folder, "f"), sample);
      return ["f"];
    },
    read: (folder) => decodeSafetensors(readFileSync(join(folder, "f")), "f"),
  },
  pictures: {
    of: ["decodePicture"],
    ...bytes(fixture("picture.jpg"), async (content) => {
      await pictureHeader(content, "f");
      await decodePicture(content, "f", { channels: 3, size: 8 });
    }),
  },
  idx: { of: ["readIdx", "findIdx", "identifyIdx", "loadSource"], ...set(IDX) },
  "idx, packed": { of: ["unpackedHead", "unpackedWhole", "unpackedPieces"], ...set(packed) },
  cifar: { of: ["readCifar", "findCifar", "detect"], ...set(cifar) },
  "cifar of Python": {
    of: ["readCifar"],
    ...set({
      data_batch_1: gunzipSync(fixture("cifar-4.pkl.gz")),
      test_batch: gunzipSync(fixture("cifar-4.pkl.gz")),
    }),
  },
  "set in a tar": {
    of: ["readCifar"],
    ...set({ "cifar.tar.gz": gzipSync(tar(Object.entries(cifar))) }),
  },
  "set in arrays": {
    of: ["readArrays", "findArrays"],
    ...set({ "set.npz": encodeNpz(arrays) }),
  },
  "set of pictures": {
    of: ["readFolder", "listPictures"],
    ...set(pictures, { size: 4 }),
  },
  "the digits": {
    of: ["loadDigits"],
    make: (folder) => {
      const rows = Array.from({ length: 1797 }, (_, i) => `${"7,".repeat(64)}${i % 10}\n`);
      writeFileSync(join(folder, "digits.csv.gz"), gzipSync(rows.join("")));
      return ["digits.csv.gz"];
    },
    read: (folder) => loadDigits(join(folder, "digits.csv.gz")),
  },
  "data.json": {
    of: ["checkData"],
    make: (folder) => {
      recordData(folder, loadDigits());
      return ["data.json"];
    },
    read: (folder) => checkData(folder, loadDigits()),
  },
};
