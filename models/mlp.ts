/** @file The multilayer perceptron of the field: two hidden layers of 128 units on the pixels. */
import { relu } from "../engine/index.ts";
import { flatten, network } from "./layers.ts";
import type { Model, Task } from "./model.ts";

/** Units of a hidden layer. */
const UNITS = 128;

/** An MLP for images of a task, of any size. */
export function mlp(name: string, task: Task): Model {
  return network(name, task, (layers, x) => {
    const first = relu(layers.linear("fc1", flatten(x), UNITS));
    const second = relu(layers.linear("fc2", first, UNITS));
    return layers.linear("fc3", second, task.classes);
  });
}
