/** @file `potstill convert` as a user meets it: every kind to every other, and what it says to mistakes. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { main } from "../../distill/cli/main.ts";
import { loadDigits } from "../../distill/data/digits.ts";
import { readDistilled, writeDistilled, type DistilledFile } from "../../distill/distilled.ts";
import { hardened } from "../../distill/exchange/labels.ts";
import { TrajectoryBuffer } from "../../distill/teachers/trajectory.ts";
import { fixturePath } from "../support/fixture.ts";
import { sample } from "./exchange/sample.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "potstill-convert-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const at = (name: string): string => join(folder, name);

/** Runs the command and returns its exit code and what it printed. */
async function convert(...args: string[]): Promise<{ code: number; out: string; error: string }> {
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  const complain = vi.spyOn(console, "error").mockImplementation(() => undefined);
  try {
    const code = await main(["convert", ...args]);
    const told = (calls: unknown[][]) => calls.map((call) => call.map(String).join(" ")).join("\n");
    return { code, out: told(log.mock.calls), error: told(complain.mock.calls) };
  } finally {
    log.mockRestore();
    complain.mockRestore();
  }
}

async function converted(...args: string[]): Promise<string> {
  const { code, out, error } = await convert(...args);
  expect([error, code]).toEqual(["", 0]);
  return out;
}

async function refused(...args: string[]): Promise<string> {
  const { code, out, error } = await convert(...args);
  expect(out).toBe("");
  expect(code).toBeGreaterThan(0);
  expect(error).not.toContain("\n");
  return error;
}

const published = fixturePath("published");
const ofDigits = ["--dataset", "digits", "--network", "ConvNetD2", "--width", "16"];

describe("a distilled set", () => {
  it("goes from safetensors to numpy and back, bit for bit", async () => {
    writeDistilled(at("a.safetensors"), sample);
    expect(await converted(at("a.safetensors"), at("b.npz"))).toBe(
      `${at("b.npz")}: digits, 2 images a class with soft labels for ConvNetD2`,
    );
    await converted(at("b.npz"), at("c.safetensors"));
    expect(readFileSync(at("c.safetensors")).equals(readFileSync(at("a.safetensors")))).toBe(true);
  });

  it("goes to pictures and back, but for the rounding of its pixels", async () => {
    writeDistilled(at("a.safetensors"), sample);
    await converted(at("a.safetensors"), at("pictures"));
    await converted(at("pictures"), at("b.safetensors"));
    const { images, ...rest } = readDistilled(at("b.safetensors"));
    const { images: before, ...others } = sample;
    expect(rest).toEqual(others);
    images.forEach((v, i) => expect(Math.abs(v - before[i]!)).toBeLessThan(0.01));
  });

  it("goes to the published layout and back, told what it is of", async () => {
    const preprocessing = { kind: "normalise", mean: [0.1307], std: [0.3081] } as const;
    const classes = Array.from({ length: 10 }, (_, i) => String(i));
    const ten: DistilledFile = {
      lr: sample.lr,
      images: new Float32Array(7840).fill(0.5),
      labels: Float32Array.from({ length: 100 }, (_, i) => (i % 11 === 0 ? 1 : 0)),
      shape: [10, 1, 28, 28],
      meta: {
        ...{ dataset: "mnist", classes, ipc: 1, network: "ConvNet", width: 128 },
        ...{ augmentation: "flip", preprocessing },
      },
    };
    writeDistilled(at("a.safetensors"), ten);
    await converted(at("a.safetensors"), at("best"), "--to", "published");
    expect(readdirSync(at("best")).sort()).toEqual([
      ...["images_best.pt", "labels_best.pt", "lr_best.pt"],
    ]);
    const told = ["--dataset", "MNIST", "--network", "ConvNet", "--augmentation", "flip"];
    await converted(at("best"), at("b.safetensors"), ...told);
    expect(readFileSync(at("b.safetensors")).equals(readFileSync(at("a.safetensors")))).toBe(true);
  });

  it("comes from what PyTorch saved", async () => {
    await converted(published, at("a.safetensors"), ...ofDigits);
    const { images, labels, lr, shape, meta } = readDistilled(at("a.safetensors"));
    const wanted = Float32Array.from({ length: 640 }, (_, i) => Math.fround(i / 320) - 1);
    expect(images).toEqual(wanted);
    expect([...labels.subarray(0, 3)]).toEqual([3, -1, -1]);
    expect([lr, shape]).toEqual([Math.fround(0.05), [10, 1, 8, 8]]);
    expect(meta).toMatchObject({
      ...{ dataset: "digits", ipc: 1, network: "ConvNetD2", width: 16 },
      augmentation: "color_crop_cutout_flip_scale_rotate",
    });
  });

  it("comes with the whitening of its data where it is told to be of whitened images", async () => {
    await converted(published, at("a.safetensors"), ...ofDigits, "--zca", "--quiet");
    const { images, meta } = readDistilled(at("a.safetensors"));
    expect(images[0]).toBe(-1);
    const { preprocessing } = meta;
    if (preprocessing.kind !== "zca") throw new Error("it must be whitened");
    const { mean, whiten, colour, eps } = preprocessing;
    expect([mean.length, eps]).toEqual([64, 0.1]);
    // W W⁻¹ is the identity.
    for (const [i, j] of [
      [0, 0],
      [20, 20],
      [3, 4],
      [63, 0],
    ] as const) {
      let sum = 0;
      for (let k = 0; k < 64; k++) sum += whiten[64 * i + k]! * colour[64 * k + j]!;
      expect(sum).toBeCloseTo(i === j ? 1 : 0, 4);
    }
  });

  it("may get hard labels on the way", async () => {
    writeDistilled(at("a.safetensors"), sample);
    expect(await converted(at("a.safetensors"), at("b.npz"), "--hard")).toContain("hard labels");
    await converted(at("b.npz"), at("b.safetensors"));
    expect(readDistilled(at("b.safetensors"))).toEqual(hardened(sample));
  });
});

describe("trajectories", () => {
  it("come from what PyTorch saved, and go out as they came", async () => {
    const network = ["--dataset", "digits", "--network", "ConvNetD3", "--width", "2"];
    expect(await converted(fixturePath("buffers"), at("teachers"), ...network)).toBe(
      `${at("teachers")}: 3 teachers of ConvNetD3, 138 parameters`,
    );
    const buffer = new TrajectoryBuffer(at("teachers"));
    expect(buffer.meta).toMatchObject({ dataset: "digits", data: loadDigits().id, epochs: 2 });
    expect(buffer.snapshot(2, 1)[1]).toBe(2 + 0.25 + 1 / 1024);
    expect(await converted(at("teachers"), at("out"), "--experts", "2")).toBe(
      `${at("out")}: 3 experts of ConvNetD3 in 2 files`,
    );
    await converted(at("out"), at("again"), ...network);
    for (const name of readdirSync(at("teachers")))
      expect(readFileSync(at(`again/${name}`)).equals(readFileSync(at(`teachers/${name}`)))).toBe(
        true,
      );
  });

  it("come from one file, as float16", async () => {
    const file = fixturePath("buffers/replay_buffer_1.pt");
    const network = ["--dataset", "digits", "--network", "ConvNetD3", "--width", "2"];
    await converted(file, at("teachers"), "--half", ...network);
    expect(new TrajectoryBuffer(at("teachers")).teachers[0]!.meta.precision).toBe("float16");
  });
});

describe("convert refuses", () => {
  const set = (): string => {
    writeDistilled(at("a.safetensors"), sample);
    return at("a.safetensors");
  };
  const otherFile = (): string => {
    writeFileSync(at("x.safetensors"), "no such thing");
    return at("x.safetensors");
  };
  const run = (): string => {
    mkdirSync(at("run"));
    writeDistilled(at("run/distilled-ipc2.safetensors"), sample);
    return at("run");
  };
  const full = (): string => {
    mkdirSync(at("full"));
    writeFileSync(at("full/notes.txt"), "");
    return at("full");
  };

  it.each<[string, () => string[], string]>([
    [
      "nothing to do",
      () => [],
      "convert: what to read and what to write must be given, got neither",
    ],
    [
      "nowhere to write",
      () => [set()],
      "convert: what to read and what to write must be given, got ",
    ],
    ["a source that is not there", () => [at("none"), at("b.npz")], "must exist, got no such file"],
    ["another file", () => [otherFile(), at("b.npz")], "must be a distilled set (.safetensors or"],
    [
      "another folder",
      () => [folder, at("b.npz")],
      "a folder must hold images_best.pt, labels.csv,",
    ],
    ["a run", () => [run(), at("b.npz")], "must be one set or its teachers, got a run (name "],
    [
      "a part of a published set",
      () => [join(published, "images_best.pt"), at("b.npz")],
      "a published set must be named by its folder, got one of its files",
    ],
    [
      "a published set of which nothing is told",
      () => [published, at("b.npz")],
      `convert: --dataset and --network must say what ${published} is of, got neither`,
    ],
    [
      "an unknown network",
      () => [published, at("b.npz"), "--dataset", "digits", "--network", "ConvNet9"],
      'got "ConvNet9"',
    ],
    [
      "a set that is of another network than told",
      () => [set(), at("b.npz"), "--network", "ConvNetD3"],
      "network must be ConvNetD3 as --network says, got ConvNetD2",
    ],
    [
      "an augmentation that there is not",
      () => [published, at("b.npz"), ...ofDigits, "--augmentation", "flop"],
      "--augmentation must be none, or some of color, crop, cutout, flip, scale, rotate",
    ],
    [
      "a set for teachers",
      () => [set(), at("b"), "--to", "teachers"],
      "convert: what is read is safetensors, so --to must be safetensors or npz or png or published, got teachers",
    ],
    [
      "trajectories for a set",
      () => [fixturePath("buffers"), at("b.npz")],
      "convert: what is read is replay, so --to must be teachers, got npz",
    ],
    ["a folder with files in it", () => [set(), full()], "must be a new or an empty folder, got"],
    ["no experts", () => [set(), at("b"), "--experts", "0"], "--experts must be a whole number"],
  ])("%s", async (_, args, sentence) => {
    const words = args();
    const before = readdirSync(folder);
    expect(await refused(...words)).toContain(sentence);
    expect(readdirSync(folder)).toEqual(before);
  });
});
