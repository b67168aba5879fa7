/** @file Distilled sets in the files of others: numpy's and the published layout, there and back. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readDistilled, writeDistilled } from "../../../distill/distilled.ts";
import { hardened } from "../../../distill/exchange/labels.ts";
import { readNpz, writeNpz } from "../../../distill/exchange/npz.ts";
import {
  isPublishedSet,
  readPublishedSet,
  writePublishedSet,
} from "../../../distill/exchange/published-set.ts";
import { FileError } from "../../../distill/files.ts";
import { numericArray } from "../../../distill/formats/array.ts";
import { decodeNpz, encodeNpz } from "../../../distill/formats/npy.ts";
import { encodePt } from "../../../distill/formats/pt-write.ts";
import { fixture } from "../../support/fixture.ts";
import { surviveMutations } from "../../support/mutation.ts";
import { LOAD_SAFETENSORS, python, pythonWith } from "../../support/python.ts";
import { sample, whitened } from "./sample.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-exchange-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe("a distilled set as .npz", () => {
  it.each([
    ["normalised", sample],
    ["whitened", whitened],
  ])("comes back as it was: %s", (_, set) => {
    const path = join(folder, "set.npz");
    writeNpz(path, set);
    expect(readNpz(path)).toEqual(set);
  });

  it("may have hard labels, which come back as logits that leave no doubt", () => {
    const path = join(folder, "set.npz");
    writeNpz(path, sample, { hard: true });
    expect(readNpz(path)).toEqual(hardened(sample));
    expect([...hardened(sample).labels]).toEqual([0, -1000, -1000, 0, -1000, 0, 0, -1000]);
  });

  const numpy = pythonWith("numpy");
  it.skipIf(numpy === undefined)(
    `is read by numpy${numpy ? "" : " (skipped: no python3 with numpy)"}`,
    () => {
      const path = join(folder, "set.npz");
      writeNpz(path, sample, { hard: true });
      const lines = [
        "import numpy",
        "f = numpy.load(sys.argv[1])",
        "m = json.loads(bytes(f['metadata']))",
        "print(json.dumps([f['images'].tolist(), str(f['images'].dtype), f['labels'].tolist(), str(f['labels'].dtype), m]))",
      ];
      const [images, type, labels, labelType, metadata] = python(numpy!, lines, path) as unknown[];
      expect((images as number[][][][]).flat(3)).toEqual([...sample.images]);
      expect([type, labels, labelType]).toEqual(["float32", [0, 1, 1, 0], "int64"]);
      expect(metadata).toMatchObject({
        format: "potstill-distilled",
        classes: sample.meta.classes,
      });
    },
  );

  it("is refused when it is another archive, or its labels are no classes", () => {
    const path = join(folder, "set.npz");
    writeFileSync(path, fixture("arrays.npz"));
    expect(() => readNpz(path)).toThrow(
      `${path}: array "metadata" must be a JSON object in bytes, got none`,
    );
    writeNpz(path, sample, { hard: true });
    const arrays = Object.fromEntries(decodeNpz(readFileSync(path), path));
    const labels = numericArray("int64", [4], Float64Array.of(0, 1, 2, 0));
    writeFileSync(path, encodeNpz({ ...arrays, labels }));
    expect(() => readNpz(path)).toThrow(`${path}: labels must be class numbers in 0..1, got 2`);
  });
});

describe("a damaged set", () => {
  /** Damaged copies of a file, read from disk; messages name it `f`. */
  function survive(name: string, read: () => unknown): void {
    const path = join(folder, name);
    const named = (bytes: Uint8Array): unknown => {
      writeFileSync(path, bytes);
      try {
        return read();
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
        throw new FileError(error.message.replace(path, "f"));
      }
    };
    surviveMutations(readFileSync(path), named, { refused: 300 });
  }

  it("as .npz is refused or read, 500 times", () => {
    const path = join(folder, "set.npz");
    writeNpz(path, whitened, { hard: true });
    survive("set.npz", () => readNpz(path));
  });

  it("in the published layout is refused or read, 500 times", () => {
    writePublishedSet(folder, sample);
    survive("images_best.pt", () => readPublishedSet(folder, sample.meta));
  });

  it("as safetensors is refused or read, 500 times", () => {
    writeDistilled(join(folder, "set.safetensors"), sample);
    survive("set.safetensors", () => readDistilled(join(folder, "set.safetensors")));
  });
});

describe("a distilled set in the published layout", () => {
  const told = { ...sample.meta, seed: undefined };

  it("comes back with what is told of it", () => {
    const path = join(folder, "set");
    writePublishedSet(path, sample);
    expect(isPublishedSet(path)).toBe(true);
    expect(readPublishedSet(path, told)).toEqual({ ...sample, meta: told });
  });

  it("may have hard labels, and no learning rate of its own", () => {
    writePublishedSet(folder, sample, { hard: true });
    rmSync(join(folder, "lr_best.pt"));
    expect(readPublishedSet(folder, told, 0.5)).toMatchObject({
      labels: hardened(sample).labels,
      lr: 0.5,
    });
    expect(() => readPublishedSet(folder, told)).toThrow(
      "lr_best.pt: must exist unless --lr gives the learning rate, got no such file",
    );
  });

  it.each<[string, Uint8Array, string]>([
    [
      "images_best.pt",
      encodePt(numericArray("float32", [4, 6], new Float32Array(24))),
      "images must be [N, C, H, W], got [4, 6]",
    ],
    [
      "images_best.pt",
      encodePt(numericArray("float32", [3, 1, 1, 1], new Float32Array(3))),
      "images must be equally many of each of 2 classes, got 3",
    ],
    [
      "images_best.pt",
      encodePt(numericArray("float32", [4, 1, 1, 1], Float32Array.of(0, 1, NaN, 2))),
      "values must be finite, got others",
    ],
    [
      "labels_best.pt",
      encodePt(numericArray("float32", [4, 3], new Float32Array(12))),
      "labels must be logits [4, 2] or class numbers [4], got [4, 3]",
    ],
    [
      "lr_best.pt",
      encodePt(numericArray("float32", [], Float32Array.of(-1))),
      "the learning rate must be above 0, got -1",
    ],
    ["lr_best.pt", encodePt([]), "must be a tensor, got another value"],
    ["lr_best.pt", fixture("command.pt"), 'got "posix.system", which is not run'],
  ])("is refused when %s holds something else", (name, bytes, sentence) => {
    writePublishedSet(folder, sample);
    writeFileSync(join(folder, name), bytes);
    expect(() => readPublishedSet(folder, told)).toThrow(sentence);
    expect(() => readPublishedSet(folder, told)).toThrow(`${join(folder, name)}: `);
  });

  const torch = pythonWith("torch");
  it.skipIf(torch === undefined)(
    `is read by PyTorch, and read from it${torch ? "" : " (skipped: no python3 with torch)"}`,
    () => {
      const [ours, theirs] = [join(folder, "ours"), join(folder, "theirs")];
      writePublishedSet(ours, sample);
      mkdirSync(theirs);
      const lines = [
        "import torch",
        "for name in ['images', 'labels', 'lr']:",
        "  value = torch.load(f'{sys.argv[1]}/{name}_best.pt', weights_only=True)",
        "  torch.save(value.requires_grad_(), f'{sys.argv[2]}/{name}_best.pt')",
        "print('0')",
      ];
      python(torch!, lines, ours, theirs);
      expect(readPublishedSet(theirs, told)).toEqual(readPublishedSet(ours, told));
    },
  );
});

describe("a distilled set as safetensors", () => {
  const torch = pythonWith("torch");
  it.skipIf(torch === undefined)(
    `lies in the file as its header says, for PyTorch${torch ? "" : " (skipped: no python3 with torch)"}`,
    () => {
      const path = join(folder, "set.safetensors");
      writeDistilled(path, sample);
      const lines = [
        ...LOAD_SAFETENSORS,
        "tensors = load_file(sys.argv[1])",
        "print(json.dumps({k: [list(v.shape), v.flatten().tolist()] for k, v in tensors.items()}))",
      ];
      expect(python(torch!, lines, path)).toEqual({
        images: [[4, 3, 2, 1], [...sample.images]],
        labels: [[4, 2], [...sample.labels]],
        lr: [[1], [sample.lr]],
      });
    },
  );
});
