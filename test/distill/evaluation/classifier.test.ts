/** @file Classifiers trained on distilled sets: what they learn, that they repeat, and their files. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { encode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { loadDigits } from "../../../distill/data/digits.ts";
import { DataError } from "../../../distill/data/dataset.ts";
import { loadSource } from "../../../distill/data/registry.ts";
import { readDistilled, type DistilledFile } from "../../../distill/distilled.ts";
import {
  loadClassifier,
  trainClassifier,
  type Classifier,
} from "../../../distill/evaluation/classifier.ts";
import { decodeSafetensors } from "../../../distill/formats/safetensors.ts";
import { interpret, Random, softmax, variable } from "../../../engine/index.ts";
import { buildModel } from "../../../models/index.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { LOAD_SAFETENSORS, python, pythonWith } from "../../support/python.ts";
import { whitened } from "../exchange/sample.ts";

const root = new URL("../../../", import.meta.url);
const digits = readDistilled(
  fileURLToPath(new URL("docs/examples/digits-ipc10.safetensors", root)),
);
const { test } = loadDigits();
const gpu = sharedGpu();

let folder: string;
let classifier: Classifier;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "potstill-classifier-"));
  classifier = await trainClassifier(digits, { gpu: gpu(), epochs: 300, seed: 3 });
  classifier.save(at("digits.safetensors"));
});
afterAll(() => {
  classifier[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});
const at = (name: string): string => join(folder, name);

/** Noise as raw pixels in [0, 1). */
const noise = (count: number): Float32Array => new Random(5).fill(count, 0, 1);

describe("a classifier trained on the distilled digits", () => {
  it("knows what the file says that networks learn from it", async () => {
    const { mean, std } = digits.meta.accuracy!;
    expect(mean).toBeGreaterThan(0.9);
    const reached = await classifier.accuracy(test);
    expect(Math.abs(reached - mean)).toBeLessThan(4 * std);
    expect(classifier.classes).toEqual(digits.meta.classes);
    expect([classifier.network, classifier.shape]).toEqual([
      "ConvNetD2",
      { channels: 1, height: 8, width: 8 },
    ]);
  });

  it("is the same again, bit for bit, and another by another seed", async () => {
    const bytes = async (seed: number): Promise<Buffer> => {
      const options = { gpu: gpu(), epochs: 300, seed };
      using again = await trainClassifier(digits, options);
      again.save(at("again.safetensors"));
      return readFileSync(at("again.safetensors"));
    };
    const first = readFileSync(at("digits.safetensors"));
    expect((await bytes(3)).equals(first)).toBe(true);
    expect((await bytes(4)).equals(first)).toBe(false);
  });

  it("gives probabilities, and the name of the likeliest class", async () => {
    const found = await classifier.classify(test.images([0, 1, 2]));
    expect(found.length).toBe(3);
    for (const { label, name, probability, probabilities } of found) {
      expect(probabilities.length).toBe(10);
      expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
      expect(probability).toBe(Math.max(...probabilities));
      expect(probabilities[label]).toBe(probability);
      expect(name).toBe(digits.meta.classes[label]);
    }
    expect(await classifier.classify(new Float32Array())).toEqual([]);
  });

  it("tells as an interpreter in float64 does from its file", async () => {
    const { tensors } = decodeSafetensors(readFileSync(at("digits.safetensors")), "f");
    const model = buildModel("ConvNetD2W16", { channels: 1, size: 8, classes: 10 });
    expect(Object.keys(tensors)).toEqual(model.parameters.map(({ name }) => name));
    const parameters = model.parameters.map(({ name, shape }) => variable(name, shape));
    const x = variable("x", [3, 1, 8, 8]);
    const pixels = test.images([7, 8, 9]);
    const { preprocessing } = digits.meta;
    if (preprocessing.kind !== "normalise") throw new Error("it must be normalised");
    const input = pixels.map((v) => (v - preprocessing.mean[0]!) / preprocessing.std[0]!);
    const values = Object.fromEntries(
      Object.entries(tensors).map(([name, { data }]) => [name, data as Float32Array]),
    );
    const [wanted] = interpret([softmax(model.forward(parameters, x))], { ...values, x: input });
    const found = await classifier.classify(pixels);
    const got = found.flatMap(({ probabilities }) => [...probabilities]);
    got.forEach((p, i) => expect(Math.abs(p - wanted![i]!)).toBeLessThan(1e-5));
  });

  it("takes pictures of any size, from files or bytes, and says which is none", async () => {
    const bytes = Uint8Array.from(test.images([4]), (v) => Math.round(255 * v));
    const asItIs = encode({ width: 8, height: 8, channels: 1, depth: 8, data: bytes });
    const raw = await classifier.classify(Float32Array.from(bytes, (v) => v / 255));
    expect(await classifier.classifyPictures([asItIs])).toEqual(raw);

    const data = Uint8Array.from(noise(90 * 40), (v) => 256 * v);
    const png = encode({ width: 40, height: 90, channels: 1, depth: 8, data });
    for (const name of ["train/a", "train/b", "test/a", "test/b"]) {
      mkdirSync(at(`pictures/${name}`), { recursive: true });
      writeFileSync(at(`pictures/${name}/0.png`), png);
    }
    const source = await loadSource(at("pictures"), { size: 8 });
    const [wanted] = await classifier.classify(source.test.images([0]));
    expect(await classifier.classifyPictures([at("pictures/test/a/0.png"), png])).toEqual([
      wanted,
      wanted,
    ]);
    await expect(classifier.classifyPictures([png, png.subarray(0, 5)])).rejects.toThrow(
      new DataError("picture 1: must be a PNG or JPEG picture, got 5 other bytes"),
    );
    await expect(classifier.classifyPictures([at("none.png")])).rejects.toThrow("must exist");
  });
});

describe("a classifier's file", () => {
  it("gives the same classifier, which may be saved again", async () => {
    using loaded = await loadClassifier(at("digits.safetensors"), { gpu: gpu() });
    const pixels = test.images(Array.from({ length: 40 }, (_, i) => i));
    expect(await loaded.classify(pixels)).toEqual(await classifier.classify(pixels));
    loaded.save(at("copy.safetensors"));
    const [first, copy] = ["digits", "copy"].map((name) => readFileSync(at(`${name}.safetensors`)));
    expect(copy!.equals(first!)).toBe(true);
  });

  it("keeps a whitening and the running statistics of batch norms", async () => {
    const size = 4;
    const images = noise(4 * 3 * size * size).map((v) => 2 * v - 1);
    const matrix = (scale: number) =>
      Float32Array.from({ length: 9 * size ** 4 }, (_, i) =>
        i % (3 * size ** 2 + 1) === 0 ? scale : 0,
      );
    const mean = new Float32Array(3 * size ** 2).fill(0.5);
    const set: DistilledFile = {
      ...whitened,
      images,
      shape: [4, 3, size, size],
      meta: {
        ...whitened.meta,
        preprocessing: { kind: "zca", mean, whiten: matrix(2), colour: matrix(0.5), eps: 0.1 },
      },
    };
    const options = { gpu: gpu(), network: "ConvNetD1BN", width: 4, epochs: 5, batch: 2 };
    using trained = await trainClassifier(set, { ...options, augmentation: "flip_crop" });
    trained.save(at("zca.safetensors"));
    const { tensors, metadata } = decodeSafetensors(readFileSync(at("zca.safetensors")), "f");
    const running = tensors["features.0.norm.running_mean"]!.data as Float32Array;
    expect(running.some((v) => v !== 0)).toBe(true);
    expect(JSON.parse(metadata["training"]!)).toMatchObject({
      augmentation: "flip_crop",
      epochs: 5,
    });
    using loaded = await loadClassifier(at("zca.safetensors"), { gpu: gpu() });
    expect(loaded.preprocessing).toEqual(set.meta.preprocessing);
    const pixels = noise(2 * 3 * size * size);
    const found = await loaded.classify(pixels);
    expect(found).toEqual(await trained.classify(pixels));
    expect(found[0]!.name).toBe(set.meta.classes[found[0]!.label]);
  });

  it.each<[string, RegExp]>([
    ["docs/examples/digits-ipc10.safetensors", /metadata format must be "potstill-classifier"/],
    ["package.json", /: .+, got /],
  ])("is not %s", async (path, sentence) => {
    const file = fileURLToPath(new URL(path, root));
    await expect(loadClassifier(file, { gpu: gpu() })).rejects.toThrow(sentence);
  });

  const torch = pythonWith("torch");
  it.skipIf(torch === undefined)(
    `is a network of PyTorch's with the same logits${torch ? "" : " (skipped: no python3 with torch)"}`,
    async () => {
      const lines = [
        ...LOAD_SAFETENSORS,
        "from torch import nn",
        "def block(channels):",
        "  norm = nn.GroupNorm(16, 16)",
        "  return [nn.Conv2d(channels, 16, 3, padding=1), norm, nn.ReLU(), nn.AvgPool2d(2)]",
        "net = nn.Sequential(*block(1), *block(16), nn.Flatten(), nn.Linear(64, 10))",
        "ours = load_file(sys.argv[1])",
        "net.load_state_dict(dict(zip(net.state_dict(), ours.values())), strict=True)",
        "x = torch.tensor(json.loads(sys.argv[2])).reshape(-1, 1, 8, 8)",
        "print(json.dumps(net((x - 0.30589069728218965) / 0.37554195925213174).softmax(1).tolist()))",
      ];
      const pixels = test.images([20, 21]);
      const text = JSON.stringify([...pixels]);
      const wanted = python(torch!, lines, at("digits.safetensors"), text) as number[][];
      const found = await classifier.classify(pixels);
      wanted.flat().forEach((p, i) => {
        const got = found[Math.floor(i / 10)]!.probabilities[i % 10]!;
        expect(Math.abs(got - p)).toBeLessThan(1e-5);
      });
    },
  );
});

describe("training a classifier", () => {
  it("is told of, to the last epoch", async () => {
    const told: [number, number][] = [];
    const onEpoch = (done: number, epochs: number): number => told.push([done, epochs]);
    using trained = await trainClassifier(digits, {
      gpu: gpu(),
      epochs: 120,
      network: "MLP",
      onEpoch,
    });
    expect(trained.network).toBe("MLP");
    expect(told.at(-1)).toEqual([121, 121]);
    expect(told.length).toBeGreaterThan(1);
  });

  it("opens a device of its own where none is given", async () => {
    using trained = await trainClassifier(digits, { epochs: 1 });
    expect((await trained.classify(test.images([0]))).length).toBe(1);
  });

  it.each([
    [{ epochs: 0 }, "trainClassifier: epochs must be a whole number from 1, got 0"],
    [{ lr: NaN }, "trainClassifier: lr must be a number above 0, got NaN"],
    [{ momentum: 1 }, "trainClassifier: momentum must be a number from 0 and below 1, got 1"],
    [{ network: "VGG11" }, "its five pools need images of at least 32 pixels, got 8"],
    [{ augmentation: "flop" }, "did you mean flip?"],
  ])("refuses %o", async (options, sentence) => {
    await expect(trainClassifier(digits, { gpu: gpu(), ...options })).rejects.toThrow(sentence);
  });

  it("refuses images that are not square", async () => {
    await expect(trainClassifier(whitened, { gpu: gpu() })).rejects.toThrow(
      new DataError("images must be as wide as high, got 2 by 1"),
    );
  });
});
