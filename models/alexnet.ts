/** @file AlexNet (Krizhevsky et al. 2012) at the size for small images: five convolutions, one linear layer. */
import { maxPool, relu } from "../engine/index.ts";
import { firstPadding, flatten, network, requirePixels, type Norm } from "./layers.ts";
import type { Model, Task } from "./model.ts";

/** Output channels, pixels along the kernel, and whether a pool follows. */
const CONVOLUTIONS = [
  [128, 5, true],
  [192, 5, true],
  [256, 3, false],
  [192, 3, false],
  [192, 3, true],
] as const;

/**
 * An AlexNet for images of a task.
 * @throws ModelError when images have fewer than 8 pixels.
 */
export function alexNet(name: string, task: Task, norm: Norm): Model {
  requirePixels(name, task, 8, "its three pools need");
  return network(name, task, (layers, x) => {
    let h = x;
    CONVOLUTIONS.forEach(([channels, size, pooled], i) => {
      const usual = (size - 1) / 2;
      const padding = i === 0 ? firstPadding(task, usual) : usual;
      h = layers.convolution(`conv${i + 1}`, h, channels, { size, padding });
      h = relu(layers.norm(`norm${i + 1}`, norm, h));
      if (pooled) h = maxPool(h, { size: 2 });
    });
    return layers.linear("fc", flatten(h), task.classes);
  });
}
