/** @file Features: what the last linear layer of a network is given, with and without batch norm. */

import { expect, it } from "vitest";

import { interpret, Random, variable } from "../../engine/index.ts";
import {
  buildModel,
  initialBuffers,
  initialise,
  splitBuffers,
  splitParameters,
} from "../../models/index.ts";

it.each(["MLP", "LeNet", "ConvNetD2W4", "ConvNetD1W4BN", "AlexNet"])(
  "of %s give its logits by the last layer's weight and bias",
  (name) => {
    const model = buildModel(name, { channels: 1, size: 8, classes: 3 });
    const theta = variable("theta", [model.size]);
    const x = variable("x", [2, 1, 8, 8]);
    const parameters = splitParameters(model, theta);
    const running = (size: number) => splitBuffers(model, variable("running", [size]));
    const buffers = model.runningSize > 0 ? running(model.runningSize) : [];
    const features = model.features(parameters, buffers, x);
    const logits = model.evaluate(parameters, buffers, x);

    const random = new Random(3);
    const values = {
      theta: initialise(model, random.stream("theta")),
      running: initialBuffers(model),
      x: random.stream("x").fill(128, -1, 1),
    };
    const [seen, expected] = interpret([features, logits], values);
    const [weight, bias] = model.parameters.slice(-2);
    const [units, width] = weight!.shape as [number, number];
    expect(features.shape).toEqual([2, width]);
    expect(bias!.shape).toEqual([units]);
    const last = values.theta.subarray(model.size - units * width - units);
    for (let n = 0; n < 2; n++)
      for (let k = 0; k < units; k++) {
        let sum = last[units * width + k]!;
        for (let d = 0; d < width; d++) sum += last[k * width + d]! * seen![n * width + d]!;
        expect(expected![n * units + k]).toBeCloseTo(sum, 9);
      }
  },
);
