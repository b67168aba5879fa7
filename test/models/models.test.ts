/** @file Networks by name: their parameters, refusals, initial values, and θ cut up and joined again. */

import { describe, expect, it } from "vitest";

import { interpret, printGraph, Random, sizeOf, sum, variable } from "../../engine/index.ts";
import {
  buildModel,
  initialise,
  isNetwork,
  joinParameters,
  ModelError,
  splitParameters,
  type ConvNetOptions,
  type Model,
  type Task,
} from "../../models/index.ts";

const cifar10: Task = { channels: 3, size: 32, classes: 10 };
const digits: Task = { channels: 1, size: 8, classes: 10 };

/** The network as text: every parameter, and every operation from images `[2, C, H, W]` to logits. */
function written(model: Model): string {
  const { channels, size } = model.task;
  const theta = variable("theta", [model.size]);
  const x = variable("x", [2, channels, size, size]);
  const graph = printGraph([model.forward(splitParameters(model, theta), x)]);
  return `${JSON.stringify(model.parameters)}\n${graph}`;
}

describe("the number of parameters", () => {
  it.each<[string, Task, number]>([
    ["ConvNet", cifar10, 320_010],
    ["ConvNet", { ...cifar10, classes: 100 }, 504_420],
    ["ConvNet", { channels: 1, size: 28, classes: 10 }, 317_706],
    ["ConvNetD4", { channels: 3, size: 64, classes: 200 }, 857_160],
    ["ConvNetNN", cifar10, 319_242],
    ["ConvNetLN", cifar10, 663_306],
    ["ConvNetNP", cifar10, 1_610_250],
    ["ConvNetD2W16", digits, 3_194],
  ])("of %s for %o is %i", (name, task, count) => {
    const model = buildModel(name, task);
    expect(model.size).toBe(count);
    expect(model.parameters.reduce((total, { shape }) => total + sizeOf(shape), 0)).toBe(count);
  });
});

describe("a network's parameters", () => {
  it("are called and shaped as PyTorch does, layer by layer", () => {
    const { parameters } = buildModel("ConvNetD2W16", digits);
    expect(parameters.map(({ name, shape }) => [name, shape])).toEqual([
      ["features.0.conv.weight", [16, 1, 3, 3]],
      ["features.0.conv.bias", [16]],
      ["features.0.norm.weight", [16]],
      ["features.0.norm.bias", [16]],
      ["features.1.conv.weight", [16, 16, 3, 3]],
      ["features.1.conv.bias", [16]],
      ["features.1.norm.weight", [16]],
      ["features.1.norm.bias", [16]],
      ["classifier.weight", [10, 64]],
      ["classifier.bias", [10]],
    ]);
  });

  it("of a layer norm cover the plane, which halves at every pool", () => {
    const { parameters } = buildModel("ConvNetD2W16LN", digits);
    const norms = parameters.filter(({ name }) => name.endsWith("norm.weight"));
    expect(norms.map(({ shape }) => shape)).toEqual([
      [16, 8, 8],
      [16, 4, 4],
    ]);
  });
});

describe("a network's name", () => {
  it.each<[string, Partial<ConvNetOptions>]>([
    ["ConvNet", { depth: 3, width: 128, norm: "instance", activation: "relu", pool: "avg" }],
    ["ConvNetD1", { depth: 1 }],
    ["ConvNetW32", { width: 32 }],
    ["ConvNetNN", { norm: "none" }],
    ["ConvNetBN", { norm: "batch" }],
    ["ConvNetLN", { norm: "layer" }],
    ["ConvNetIN", { norm: "instance" }],
    ["ConvNetGN", { norm: "group" }],
    ["ConvNetAS", { activation: "sigmoid" }],
    ["ConvNetAR", { activation: "relu" }],
    ["ConvNetAL", { activation: "leakyrelu" }],
    ["ConvNetNP", { pool: "none" }],
    ["ConvNetMP", { pool: "max" }],
    ["ConvNetAP", { pool: "avg" }],
    ["ConvNetD2W32GN", { depth: 2, width: 32, norm: "group" }],
    [
      "ConvNetMPASBNW8D1",
      { depth: 1, width: 8, norm: "batch", activation: "sigmoid", pool: "max" },
    ],
  ])("%s says what the network is made of", (name, options) => {
    const stated = buildModel(name, cifar10);
    expect(stated.name).toBe(name);
    expect(written(stated)).toBe(written(buildModel("ConvNet", cifar10, options)));
    expect(stated.mixesSamples).toBe(options.norm === "batch");
    expect(isNetwork(name)).toBe(true);
  });

  it("tells networks apart", () => {
    const names = ["", "D2", "W32", "NN", "BN", "LN", "GN", "AS", "AL", "NP", "MP"];
    const texts = names.map((suffix) => written(buildModel(`ConvNet${suffix}`, cifar10)));
    expect(new Set(texts).size).toBe(names.length);
  });

  it("weighs more than an option", () => {
    const model = buildModel("ConvNetD2", digits, { depth: 3, width: 16 });
    expect(written(model)).toBe(written(buildModel("ConvNetD2W16", digits)));
  });

  it.each([
    "",
    "Perceptron",
    "convnet",
    "ConvNetX",
    "ConvNetD",
    "ConvNetD2 ",
    "ConvNetD2D3",
    "ConvNetINGN",
    "ConvNetd2",
    "xConvNet",
    "ConvNetW-8",
  ])("%j is refused, with the names there are", (name) => {
    expect(isNetwork(name)).toBe(false);
    expect(() => buildModel(name, digits)).toThrow(
      new ModelError(
        "network: must be one of ConvNet, ConvNetD1 … ConvNetD8, ConvNetW32 … ConvNetW1024, " +
          "ConvNetNN|BN|LN|IN|GN, ConvNetAS|AR|AL|ASwish, ConvNetNP|MP|AP, MLP, LeNet, " +
          `AlexNet[BN], VGG11|13|16|19[BN], ResNet18[BN][_AP], got "${name}"`,
      ),
    );
  });

  it.each([
    ["ConvNetD0", 0, 128],
    ["ConvNetD9", 9, 128],
    ["ConvNetW0", 3, 0],
    ["ConvNetW4097", 3, 4097],
  ])("%s is refused for its size", (name, depth, width) => {
    expect(() => buildModel(name, cifar10)).toThrow(
      new ModelError(
        `network: depth must be 1 to 8 and width 1 to 4096, got ${depth} and ${width}`,
      ),
    );
  });

  it("with group norm needs a width that the groups divide", () => {
    expect(() => buildModel("ConvNetGNW30", cifar10)).toThrow(
      new ModelError("ConvNetGNW30: group norm needs a width divisible by 4, got 30"),
    );
  });

  it("needs images that the pools leave something of", () => {
    expect(() => buildModel("ConvNetD4", digits)).toThrow(
      new ModelError("ConvNetD4: depth 4 needs images of at least 16 pixels, got 8"),
    );
    expect(buildModel("ConvNetD4NP", digits).parameters.at(-2)!.shape).toEqual([10, 128 * 64]);
    // Grey images of 28 pixels become 32.
    const mnist = { channels: 1, size: 28, classes: 10 };
    expect(buildModel("ConvNetD5", mnist).parameters.at(-2)!.shape).toEqual([10, 128]);
    expect(() => buildModel("ConvNetD5", { ...mnist, channels: 3 })).toThrow(
      new ModelError("ConvNetD5: depth 5 needs images of at least 32 pixels, got 28"),
    );
  });
});

describe("a network's logits", () => {
  it.each(["NN", "BN", "LN", "IN", "GN"])(
    "with %s depend on the other images of the batch only if it says so",
    (norm) => {
      const model = buildModel(`ConvNetD1W4${norm}`, { channels: 1, size: 4, classes: 3 });
      const random = new Random(5);
      const theta = initialise(model, random);
      const [first, second, third] = [0, 1, 2].map(() => [...random.fill(16, -1, 1)]);
      const x = variable("x", [2, 1, 4, 4]);
      const z = model.forward(splitParameters(model, variable("theta", [model.size])), x);
      expect(z.shape).toEqual([2, 3]);
      const logits = (images: number[]): number[] =>
        [...interpret([z], { theta, x: images })[0]!].slice(0, 3);
      const beside = logits([...first!, ...second!]);
      const alone = beside.every((v, k) => v === logits([...first!, ...third!])[k]);
      expect(alone).toBe(!model.mixesSamples);
    },
  );
});

describe("initial parameters", () => {
  const model = buildModel("ConvNetD2W16", digits);

  /** Values of each parameter, by name. */
  function parts(theta: Float32Array): Map<string, number[]> {
    let at = 0;
    return new Map(
      model.parameters.map(({ name, shape }) => {
        const start = at;
        at += sizeOf(shape);
        return [name, [...theta.subarray(start, at)]];
      }),
    );
  }

  it("of layers are spread evenly within ±1/√fan_in, the bias within its weight's", () => {
    const values = parts(initialise(model, new Random(1)));
    for (const [layer, fanIn] of [
      ["features.0.conv", 9],
      ["features.1.conv", 144],
      ["classifier", 64],
    ] as const) {
      const bound = Math.fround(1 / Math.sqrt(fanIn));
      for (const part of ["weight", "bias"]) {
        const drawn = values.get(`${layer}.${part}`)!;
        const mean = drawn.reduce((a, b) => a + b) / drawn.length;
        const variance = drawn.reduce((a, b) => a + b * b, 0) / drawn.length;
        expect(Math.max(...drawn.map(Math.abs))).toBeLessThanOrEqual(bound);
        expect(new Set(drawn).size).toBe(drawn.length);
        // Five standard errors of the mean and of the mean square of a uniform draw.
        const share = 5 / Math.sqrt(drawn.length);
        expect(Math.abs(mean / bound)).toBeLessThan(share / Math.sqrt(3));
        expect(Math.abs(variance / bound ** 2 - 1 / 3)).toBeLessThan(share * Math.sqrt(4 / 45));
      }
    }
  });

  it("of norms are ones and zeros", () => {
    for (const name of ["ConvNetD2W16", "ConvNetD2W16LN", "ConvNetD2W16BN"]) {
      const { parameters, ...network } = buildModel(name, digits);
      const theta = initialise({ ...network, parameters }, new Random(1));
      let at = 0;
      for (const parameter of parameters) {
        const values = theta.subarray(at, (at += sizeOf(parameter.shape)));
        if (parameter.name.includes("norm"))
          expect([parameter.name, new Set(values)]).toEqual([
            parameter.name,
            new Set([parameter.name.endsWith("weight") ? 1 : 0]),
          ]);
      }
    }
  });

  it("are the same bits from the same stream, and others from another", () => {
    expect(initialise(model, new Random(3))).toEqual(initialise(model, new Random(3)));
    const other = initialise(model, new Random(4));
    const same = initialise(model, new Random(3)).filter((v, i) => v === other[i]);
    expect(new Set(same)).toEqual(new Set([0, 1]));
    expect(same.length).toBe(4 * 16);
  });
});

describe("θ", () => {
  const model = buildModel("ConvNetD2W4LN", digits);
  const theta = variable("theta", [model.size]);
  const values = new Random(2).fill(model.size, -1, 1);

  it("cut into parameters has their shapes, and joined again is itself", () => {
    const split = splitParameters(model, theta);
    expect(split.map(({ shape }) => shape)).toEqual(model.parameters.map(({ shape }) => shape));
    const joined = joinParameters(split);
    expect(joined.shape).toEqual([model.size]);
    expect(interpret([joined], { theta: values })[0]).toEqual(Float64Array.from(values));
  });

  it("joined from parameters and cut again gives each of them", () => {
    const each = model.parameters.map(({ name, shape }) => variable(name, shape));
    let at = 0;
    const given = each.map(({ size }) => values.slice(at, (at += size)));
    const named = Object.fromEntries(model.parameters.map(({ name }, i) => [name, given[i]!]));
    const split = splitParameters(model, joinParameters(each));
    interpret(split, named).forEach((part, i) => {
      expect(part).toEqual(Float64Array.from(given[i]!));
    });
    const total = interpret([sum(joinParameters(each))], named)[0]![0]!;
    expect(total).toBe(values.reduce((a, b) => a + b, 0));
  });
});
