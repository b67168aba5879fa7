/** @file The gradient through the student's steps: against the whole unrolled graph, differences, and the adapter. */

import { describe, expect, it } from "vitest";

import { buildModel, initialise, joinParameters, splitParameters } from "../../../models/index.ts";
import {
  div,
  gather,
  grad,
  interpret,
  mul,
  neg,
  Program,
  Random,
  square,
  sub,
  sum,
  variable,
  type HostData,
  type Tensor,
} from "../../../engine/index.ts";
import {
  studentProcedures,
  partsOf,
  studentVariables,
  weightedSoftLoss,
  type GradientKind,
  type StudentOptions,
} from "../../../distill/matching/student.ts";
import { drawRows } from "../../../distill/training/augment.ts";
import { DSA_STRATEGY, parseStrategy, type Operator } from "../../../distill/training/strategy.ts";
import {
  backwards,
  drawTable,
  forwards,
  minibatchTables,
  runAll,
} from "../../../distill/matching/unroll.ts";
import { relativeError } from "../../golden/fill.ts";
import { sharedGpu } from "../../support/gpu.ts";

/** Smooth, so that differences of any step may be compared with derivatives. */
const smooth = buildModel("ConvNetD1W2AS", { channels: 1, size: 4, classes: 3 });
/** The published kind, with a second layer. */
const published = buildModel("ConvNetD2W4", { channels: 2, size: 4, classes: 3 });

const STEPS = 3;
const IMAGES = 5;
const BATCH = 3;
/** The second minibatch is short: its last row has weight 0. Image 3 comes twice, image 1 once. */
const MINIBATCHES = [
  [0, 2, 3],
  [1, 4],
  [3, 0, 4],
];

type State = Record<string, Float64Array | HostData>;

/** Values of all variables that are given from outside; `idle` is the index in rows of weight 0. */
function given(options: StudentOptions, idle = 0) {
  const { model } = options;
  const random = new Random(11);
  const normal = (count: number): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length: count }, () => random.normal());
  const { images, labels } = studentVariables(options);
  const start = initialise(model, random);
  const { batches, weights } = minibatchTables(options, MINIBATCHES.slice(0, options.steps));
  return {
    images: normal(images.size),
    labels: normal(labels.size),
    lr: Float32Array.of(0.3),
    start,
    target: start.map((v) => v + 0.1 * random.normal()),
    batches: batches.map((row, i) => (weights[i] === 0 ? idle : row)),
    weights,
  };
}

const optionsOf = (model: typeof smooth): StudentOptions => ({
  model,
  images: IMAGES,
  batch: BATCH,
  steps: STEPS,
});

/** Forwards, the loss at step `end`, and backwards from there, in float64 throughout. */
function inFloat64(options: StudentOptions, values: State, end = options.steps): State {
  const procedures = studentProcedures(options);
  const { theta, history, mu } = studentVariables(options);
  let state: State = {
    ...values,
    theta: new Float64Array(theta.size),
    history: new Float64Array(history.size),
    mu: new Float64Array(mu.size),
  };
  const turn = { procedure: "turn", times: 1, first: 0 };
  const recall = { procedure: "recall", times: 1, first: end };
  for (const { procedure: name, times, first } of [
    ...forwards(options),
    ...(end < options.steps ? [recall] : []),
    turn,
    ...backwards(options, end),
  ]) {
    const procedure = procedures[name]!;
    for (let time = first; time < first + times; time++) {
      const results = interpret(Object.values(procedure), { ...state, repeat: [time] });
      const next = Object.keys(procedure).map((key, i) => [key, results[i]!] as const);
      state = { ...state, ...Object.fromEntries(next) };
    }
  }
  return { ...state, end: state["history"]!.slice(options.steps * theta.size) };
}

/** The loss as one graph of all steps, and its gradients by differentiating that graph as a whole. */
function unrolled({ model, images }: StudentOptions, values: State): Float64Array[] {
  const { channels, size, classes } = model.task;
  const x = variable("images", [images, channels, size, size]);
  const y = variable("labels", [images, classes]);
  const lr = variable("lr", []);
  const start = variable("start", [model.size]);
  // Where the distance from the start only scales the loss, the start is a constant of its own.
  const origin = variable("origin", [model.size]);
  const target = variable("target", [model.size]);
  let theta: Tensor = start;
  const rows = MINIBATCHES.map(
    (row, s) => [variable(`row${s}`, [row.length], "u32"), row] as const,
  );
  for (const [index, row] of rows) {
    const parameters = splitParameters(model, theta);
    const z = model.forward(parameters, gather(x, index));
    const weights = variable(`mean${row.length}`, [row.length]);
    const loss = weightedSoftLoss(z, gather(y, index), weights);
    theta = sub(theta, mul(lr, joinParameters(grad(loss, parameters))));
  }
  const loss = div(sum(square(sub(theta, target))), sum(square(sub(origin, target))));
  const inputs: Record<string, ArrayLike<number>> = { ...values, origin: values["start"]! };
  for (const [index, row] of rows) {
    inputs[String(index.params["name"])] = row;
    // As the weights are given to the student: rounded to float32.
    inputs[`mean${row.length}`] = new Float32Array(row.length).fill(1 / row.length);
  }
  const [dx, dy, dlr, lambda] = grad(loss, [x, y, lr, start]);
  const mu = neg(mul(lr, lambda!));
  return interpret([loss, theta, dx!, dy!, dlr!, mu], inputs);
}

const NAMES = ["loss", "end", "gradImages", "gradLabels", "gradLr", "mu"] as const;

const gpu = sharedGpu();

/** Forwards and backwards on the adapter: the values of `NAMES`. */
async function onAdapter(
  options: StudentOptions,
  values: Record<string, HostData>,
): Promise<Float32Array[]> {
  using program = await Program.compile(gpu(), studentProcedures(options));
  for (const [name, data] of Object.entries(values)) program.write(name, data);
  program.poison(NaN);
  runAll(program, forwards(options));
  program.run("turn");
  runAll(program, backwards(options));
  const [, ...others] = NAMES;
  const [history, loss, ...rest] = await program.read("history", "loss", ...others.slice(1));
  return [loss, history.slice(options.steps * options.model.size), ...rest];
}

describe.each([
  ["a smooth network", smooth],
  ["a network with kinks and two layers", published],
])("the gradient through the steps of %s", (_, model) => {
  const options = optionsOf(model);
  const values = given(options);
  const state = inFloat64(options, values);
  const whole = unrolled(options, values);

  it("is that of the whole unrolled graph", () => {
    NAMES.forEach((name, i) => {
      expect([name, relativeError(state[name]!, whole[i]!)]).toEqual([name, expect.closeTo(0, 11)]);
    });
  });

  it("comes out of the adapter as in float64", async () => {
    const got = await onAdapter(options, values);
    NAMES.forEach((name, i) => {
      expect(relativeError(got[i]!, whole[i]!), name).toBeLessThan(1e-5);
    });
  });

  it("does not depend on the images that rows of weight 0 name", () => {
    const other = inFloat64(options, given(options, 2));
    for (const name of NAMES) expect(other[name]).toEqual(state[name]);
  });
});

describe("micro-batches", () => {
  /** All of a minibatch's images at once, or fewer: of 3, two micro-batches are one of 2 and one of 1. */
  const inParts = (gradient: GradientKind, micro: number): StudentOptions => ({
    ...optionsOf(published),
    gradient,
    micro,
  });

  it.each([
    ["exact", 1],
    ["exact", 2],
    ["tesla", 1],
    ["tesla", 2],
  ] as const)("give the same %s gradient, %i images at a time", async (gradient, micro) => {
    const whole = inFloat64(inParts(gradient, BATCH), given(inParts(gradient, BATCH)));
    const options = inParts(gradient, micro);
    const state = inFloat64(options, given(options));
    const got = await onAdapter(options, given(options));
    NAMES.forEach((name, i) => {
      expect([name, relativeError(state[name]!, whole[name]!)]).toEqual([
        name,
        expect.closeTo(0, 12),
      ]);
      expect(relativeError(got[i]!, whole[name]!), name).toBeLessThan(1e-5);
    });
  });

  it("are as equal as their number allows", () => {
    const sizes = [1, 3, 7, 9, 10, 12].map((micro) => partsOf({ batch: 10, micro }));
    expect(sizes).toEqual([
      { parts: 10, micro: 1 },
      { parts: 4, micro: 3 },
      { parts: 2, micro: 5 },
      { parts: 2, micro: 5 },
      { parts: 1, micro: 10 },
      { parts: 1, micro: 10 },
    ]);
  });

  it("are refused for a network that mixes the images of a batch", () => {
    const mixing = buildModel("ConvNetD1W4BN", published.task);
    expect(() => studentProcedures({ ...optionsOf(mixing), micro: 2 })).toThrow(
      new RangeError("micro_batch: must be batch_syn (3) for a network with batch norm, got 2"),
    );
  });
});

describe("an augmented student", () => {
  const augmentation = parseStrategy(DSA_STRATEGY);
  /** Every operator, three at a time, on the minibatches of three steps. */
  const values = (options: StudentOptions, operators: readonly Operator[]) => {
    const { channels, size } = options.model.task;
    const shape = { channels, height: size, width: size };
    const random = new Random(14);
    const rows = operators.map((operator) => drawRows([operator], shape, BATCH, random));
    return { ...given(options), draws: drawTable(options, rows) };
  };
  const HALVES = [
    ["color", "rotate", "crop"],
    ["scale", "cutout", "flip"],
  ] as const;

  it.each(HALVES)("has the gradient that differences have: %s, %s, %s", (...operators) => {
    const options = { ...optionsOf(smooth), augmentation };
    const at = values(options, operators);
    const state = inFloat64(options, at);
    for (const [name, gradient] of [
      ["images", "gradImages"],
      ["labels", "gradLabels"],
    ] as const) {
      const random = new Random(3);
      const direction = Array.from(at[name], () => random.normal());
      const step = 1e-3;
      const lossAt = (k: number): number => {
        const moved = Float64Array.from(at[name], (v, i) => v + k * step * direction[i]!);
        return inFloat64(options, { ...at, [name]: moved })["loss"]![0]!;
      };
      const slope = (lossAt(-2) - 8 * lossAt(-1) + 8 * lossAt(1) - lossAt(2)) / (12 * step);
      const product = Array.from(state[gradient]!).reduce((t, g, i) => t + g * direction[i]!, 0);
      expect(slope / product).toBeCloseTo(1, 8);
    }
  });

  it.each(HALVES)("is the same in micro-batches, and on the adapter: %s, %s, %s", async (...o) => {
    const whole = { ...optionsOf(published), augmentation };
    const state = inFloat64(whole, values(whole, o));
    for (const options of [whole, { ...whole, micro: 2 }]) {
      const parts = inFloat64(options, values(options, o));
      const got = await onAdapter(options, values(options, o));
      NAMES.forEach((name, i) => {
        const error = relativeError(parts[name]!, state[name]!);
        expect([name, error]).toEqual([name, expect.closeTo(0, 12)]);
        expect(relativeError(got[i]!, state[name]!), name).toBeLessThan(1e-5);
      });
    }
  });

  it("with neutral draws is the student that sees its images as they are", () => {
    const options = { ...optionsOf(published), augmentation };
    const plain = inFloat64(optionsOf(published), given(options));
    const shape = { channels: 2, height: 4, width: 4 };
    const rows = MINIBATCHES.map(() => drawRows([], shape, BATCH, new Random(1)));
    const state = inFloat64(options, { ...given(options), draws: drawTable(options, rows) });
    for (const name of NAMES)
      expect([name, relativeError(state[name]!, plain[name]!)]).toEqual([
        name,
        expect.closeTo(0, 12),
      ]);
  });
});

describe("a student matched at an earlier step", () => {
  it("has the loss and the gradients of a student of fewer steps", () => {
    for (const micro of [BATCH, 1]) {
      const options = { ...optionsOf(smooth), micro, nearest: true };
      const values = given(options);
      const short = { ...options, steps: 2 };
      const expected = inFloat64(short, given(short));
      const state = inFloat64(options, values, 2);
      for (const name of ["loss", "gradImages", "gradLabels", "gradLr", "mu"])
        expect([name, relativeError(state[name]!, expected[name]!)]).toEqual([
          name,
          expect.closeTo(0, 12),
        ]);
    }
  });

  it("is measured at every step, on the adapter too", async () => {
    const options = { ...optionsOf(published), nearest: true };
    const { measure } = studentProcedures(options);
    const { history, target } = studentVariables(options);
    const random = new Random(5);
    const values = {
      history: random.fill(history.size, -1, 1),
      target: random.fill(target.size, -1, 1),
    };
    using program = await Program.compile(gpu(), { measure: measure! });
    for (const [name, data] of Object.entries(values)) program.write(name, data);
    program.run("measure");
    const [got] = await program.read("distances");
    const expected = Array.from({ length: STEPS + 1 }, (_, s) =>
      values.target.reduce((t, v, i) => t + (values.history[s * target.size + i]! - v) ** 2, 0),
    );
    expect(relativeError(got, expected)).toBeLessThan(1e-6);
  });
});

describe("weights of parameters", () => {
  const options = { ...optionsOf(smooth), weighted: true };
  const values = given(options);
  const { importance } = studentVariables(options);
  const masked = Float32Array.from({ length: importance.size }, (_, i) => (i % 3 === 0 ? 0 : 1));

  it("leave a parameter out of the loss where they are 0, and change nothing where all are 1", () => {
    const plain = inFloat64(optionsOf(smooth), values);
    const ones = inFloat64(options, { ...values, importance: masked.map(() => 1) });
    for (const name of NAMES) expect(ones[name]).toEqual(plain[name]);
    const { loss, end } = inFloat64(options, { ...values, importance: masked });
    const { start, target } = values;
    const squares = (a: ArrayLike<number>): number =>
      target.reduce((t, v, i) => t + masked[i]! * (a[i]! - v) ** 2, 0);
    expect(loss![0]! / (squares(end!) / squares(start))).toBeCloseTo(1, 10);
  });

  it("have their part in the gradient", () => {
    const weighted = { ...values, importance: masked };
    const random = new Random(3);
    const direction = Array.from(values["images"], () => random.normal());
    const step = 1e-3;
    const lossAt = (k: number): number => {
      const images = Float64Array.from(values["images"], (v, i) => v + k * step * direction[i]!);
      return inFloat64(options, { ...weighted, images })["loss"]![0]!;
    };
    const slope = (lossAt(-2) - 8 * lossAt(-1) + 8 * lossAt(1) - lossAt(2)) / (12 * step);
    const { gradImages } = inFloat64(options, weighted);
    const product = Array.from(gradImages!).reduce((t, g, i) => t + g * direction[i]!, 0);
    expect(slope / product).toBeCloseTo(1, 8);
  });
});

describe("the matching loss", () => {
  const options = optionsOf(smooth);
  const values = given(options);
  const state = inFloat64(options, values);

  /** (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h: exact to the fourth order. */
  function difference(name: "images" | "labels" | "lr", direction: ArrayLike<number>): number {
    const step = 1e-3;
    const lossAt = (k: number): number => {
      const moved = Array.from(values[name], (v, i) => v + k * step * direction[i]!);
      return unrolled(options, { ...values, [name]: moved })[0]![0]!;
    };
    return (lossAt(-2) - 8 * lossAt(-1) + 8 * lossAt(1) - lossAt(2)) / (12 * step);
  }

  it("changes with the learning rate as the gradient says", () => {
    expect(difference("lr", [1]) / state["gradLr"]![0]!).toBeCloseTo(1, 8);
  });

  it.each([
    ["images", "gradImages"],
    ["labels", "gradLabels"],
  ] as const)("changes along a direction in the %s as the gradient says", (name, gradient) => {
    const random = new Random(3);
    const direction = Array.from(values[name], () => random.normal());
    const slope = difference(name, direction);
    const product = Array.from(state[gradient]!).reduce((t, g, i) => t + g * direction[i]!, 0);
    expect(slope / product).toBeCloseTo(1, 8);
  });
});

describe("TESLA's gradient", () => {
  it("is the exact one for one step, and another for more", () => {
    const one = { ...optionsOf(smooth), steps: 1 };
    const two = { ...optionsOf(smooth), steps: 2 };
    const error = (options: StudentOptions): number => {
      const values = given(options);
      const exact = inFloat64(options, values);
      const tesla = inFloat64({ ...options, gradient: "tesla" }, values);
      return relativeError(tesla["gradImages"]!, exact["gradImages"]!);
    };
    expect(error(one)).toBe(0);
    expect(error(two)).toBeGreaterThan(1e-3);
  });
});

describe("the student's memory", () => {
  it("for 50 steps is that for 5, but for the parameters kept and the minibatches", async () => {
    const memoryOf = async (steps: number): Promise<Program["memory"]> => {
      using program = await Program.compile(
        gpu(),
        studentProcedures({ ...optionsOf(published), steps }),
      );
      return program.memory;
    };
    const [few, many] = [await memoryOf(5), await memoryOf(50)];
    expect(many.slots).toBe(few.slots);
    // θ of each step; indices and weights of each minibatch: four bytes each, in whole vectors.
    const bytes = (elements: number): number => Math.ceil(elements / 4) * 16;
    const kept = (steps: number): number =>
      bytes((steps + 1) * published.size) + 2 * bytes(steps * BATCH);
    expect(many.variables - few.variables).toBe(kept(50) - kept(5));
    expect(many.total - few.total).toBe(kept(50) - kept(5));
  });
});
