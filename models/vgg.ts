/** @file VGG (Simonyan & Zisserman 2015) for small images: convolutions 3×3 in five stages, one linear layer. */
import { maxPool, relu } from "../engine/index.ts";
import { firstPadding, flatten, network, requirePixels, type Norm } from "./layers.ts";
import type { Model, Task } from "./model.ts";

/** Channels of the convolutions of each stage; a pool ends a stage. */
const STAGES = {
  11: [[64], [128], [256, 256], [512, 512], [512, 512]],
  13: [
    [64, 64],
    [128, 128],
    [256, 256],
    [512, 512],
    [512, 512],
  ],
  16: [
    [64, 64],
    [128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [512, 512, 512],
  ],
  19: [
    [64, 64],
    [128, 128],
    [256, 256, 256, 256],
    [512, 512, 512, 512],
    [512, 512, 512, 512],
  ],
} as const;

/** Number of layers with weights. */
export type VggDepth = keyof typeof STAGES;

/**
 * A VGG for images of a task.
 * @throws ModelError when images have fewer than 32 pixels, but for grey ones of 28, which are padded.
 */
export function vgg(name: string, task: Task, depth: VggDepth, norm: Norm): Model {
  requirePixels(name, task, 32, "its five pools need");
  return network(name, task, (layers, x) => {
    let h = x;
    let i = 0;
    for (const stage of STAGES[depth]) {
      for (const channels of stage) {
        const padding = i === 0 ? firstPadding(task, 1) : 1;
        h = layers.convolution(`conv${i}`, h, channels, { size: 3, padding });
        h = relu(layers.norm(`norm${i}`, norm, h));
        i++;
      }
      h = maxPool(h, { size: 2 });
    }
    return layers.linear("classifier", flatten(h), task.classes);
  });
}
