/** @file The gradient through the student's steps: against the whole unrolled graph, differences, and the adapter. */

import { describe, expect, it } from "vitest";

import { buildModel, initialise, joinParameters, splitParameters } from "../../models/index.ts";
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
  type Procedure,
  type Tensor,
} from "../../engine/index.ts";
import {
  studentProcedures,
  studentVariables,
  weightedSoftLoss,
  type StudentOptions,
} from "../../distill/student.ts";
import { relativeError } from "../golden/fill.ts";
import { sharedGpu } from "../support/gpu.ts";

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

type State = Record<string, ArrayLike<number>>;

/** Values of all variables that are given from outside; `idle` is the index in rows of weight 0. */
function given(options: StudentOptions, idle = 0): Record<string, HostData> {
  const { model } = options;
  const random = new Random(11);
  const normal = (count: number): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length: count }, () => random.normal());
  const { images, labels } = studentVariables(options);
  const start = initialise(model, random);
  const rows = MINIBATCHES.flatMap((row) =>
    [...row, ...new Array<number>(BATCH).fill(idle)].slice(0, BATCH),
  );
  const weights = MINIBATCHES.flatMap((row) =>
    Array.from({ length: BATCH }, (_, b) => (b < row.length ? 1 / row.length : 0)),
  );
  return {
    images: normal(images.size),
    labels: normal(labels.size),
    lr: Float32Array.of(0.3),
    start,
    target: start.map((v) => v + 0.1 * random.normal()),
    batches: Uint32Array.from(rows),
    weights: Float32Array.from(weights),
  };
}

const optionsOf = (model: typeof smooth): StudentOptions => ({
  model,
  images: IMAGES,
  batch: BATCH,
  steps: STEPS,
});

/** Begin, S steps, turn, S adjoint steps, in float64 throughout. */
function inFloat64(options: StudentOptions, values: State): State {
  const procedures = studentProcedures(options);
  const { theta, history, mu } = studentVariables(options);
  let state: State = {
    ...values,
    theta: new Float64Array(theta.size),
    history: new Float64Array(history.size),
    mu: new Float64Array(mu.size),
  };
  const run = (procedure: Procedure, times = 1): void => {
    for (let time = 0; time < times; time++) {
      const results = interpret(Object.values(procedure), { ...state, repeat: [time] });
      const next = Object.keys(procedure).map((name, i) => [name, results[i]!] as const);
      state = { ...state, ...Object.fromEntries(next) };
    }
  };
  run(procedures["begin"]!);
  run(procedures["step"]!, options.steps);
  run(procedures["turn"]!);
  run(procedures["adjoint"]!, options.steps);
  return state;
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

const NAMES = ["loss", "theta", "gradImages", "gradLabels", "gradLr", "mu"] as const;

const gpu = sharedGpu();

/** All four procedures on the adapter. */
async function onAdapter(
  options: StudentOptions,
  values: Record<string, HostData>,
): Promise<Float32Array[]> {
  using program = await Program.compile(gpu(), studentProcedures(options));
  for (const [name, data] of Object.entries(values)) program.write(name, data);
  program.run("begin");
  program.run("step", options.steps);
  program.run("turn");
  program.run("adjoint", options.steps);
  return [...(await program.read(...NAMES))];
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

describe("the matching loss", () => {
  const options = optionsOf(smooth);
  const values = given(options);
  const state = inFloat64(options, values);

  /** (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h: exact to the fourth order. */
  function difference(name: string, direction: ArrayLike<number>): number {
    const step = 1e-3;
    const lossAt = (k: number): number => {
      const moved = Array.from(values[name]!, (v, i) => v + k * step * direction[i]!);
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
  ])("changes along a direction in the %s as the gradient says", (name, gradient) => {
    const random = new Random(3);
    const direction = Array.from(values[name]!, () => random.normal());
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
      const values: State = given(options);
      const first = (name: string) => Array.from(values[name]!).slice(0, options.steps * BATCH);
      const cut = { ...values, batches: first("batches"), weights: first("weights") };
      const exact = inFloat64(options, cut);
      const tesla = inFloat64({ ...options, gradient: "tesla" }, cut);
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
    // θ of each step; indices and weights of each minibatch: four bytes each.
    const perStep = 4 * published.size + 2 * 4 * BATCH;
    expect(many.variables - few.variables).toBe(45 * perStep);
    expect(many.total - few.total).toBe(45 * perStep);
  });
});
