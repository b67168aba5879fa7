/**
 * @file LeNet (LeCun et al. 1998) with ReLU and max pools: two convolutions 5×5, three linear layers.
 */
import { maxPool, relu } from "../engine/index.ts";
import { firstPadding, flatten, network, requirePixels } from "./layers.ts";
import type { Model, Task } from "./model.ts";

/** Below this size convolutions without padding and pools leave no pixel. */
const UNPADDED = 16;

/**
 * A LeNet for images of a task. Its convolutions do not pad, but the first one where grey images of
 * 28 pixels become 32; both keep the size of images below 16 pixels.
 * @throws ModelError when images have fewer than 4 pixels.
 */
export function leNet(name: string, task: Task): Model {
  requirePixels(name, task, 4, "its two pools need");
  const small = task.size < UNPADDED;
  return network(name, task, (layers, x) => {
    const conv = (layer: string, h: typeof x, channels: number, padding: number): typeof x =>
      maxPool(relu(layers.convolution(layer, h, channels, { size: 5, padding })), { size: 2 });
    const first = conv("conv1", x, 6, small ? 2 : firstPadding(task, 0));
    let h = flatten(conv("conv2", first, 16, small ? 2 : 0));
    h = relu(layers.linear("fc1", h, 120));
    h = relu(layers.linear("fc2", h, 84));
    return layers.linear("fc3", h, task.classes);
  });
}
