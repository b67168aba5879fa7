/** @file ResNet-18 (He et al. 2016) for small images: a convolution, eight blocks of two in four stages, one linear layer. */
import { add, avgPool, relu, type Tensor } from "../engine/index.ts";
import { flatten, network, requirePixels, type Layers, type Norm } from "./layers.ts";
import type { Model, Task } from "./model.ts";

/** Channels of each stage; all but the first halve the image. */
const STAGES = [64, 128, 256, 512] as const;

export interface ResNetOptions {
  readonly norm: Norm;
  /** How a stage halves the image: by a convolution of stride 2, or an average pool after it (`_AP`). */
  readonly halving: "stride" | "pool";
}

/** relu(norm(conv(relu(norm(conv(x))))) + x), with a convolution 1×1 of x where its shape changes. */
function block(
  layers: Layers,
  name: string,
  x: Tensor,
  channels: number,
  { norm, halving }: ResNetOptions,
): Tensor {
  const changes = x.shape[1] !== channels;
  const stride = changes && halving === "stride" ? 2 : 1;
  const halved = (h: Tensor): Tensor =>
    changes && halving === "pool" ? avgPool(h, { size: 2 }) : h;
  const three = { size: 3, padding: 1, bias: false } as const;

  let h = layers.convolution(`${name}.conv1`, x, channels, { ...three, stride });
  h = halved(relu(layers.norm(`${name}.norm1`, norm, h)));
  h = layers.convolution(`${name}.conv2`, h, channels, three);
  h = layers.norm(`${name}.norm2`, norm, h);
  if (!changes) return relu(add(h, x));
  const one = { size: 1, bias: false, stride } as const;
  const shortcut = halved(layers.convolution(`${name}.shortcut`, x, channels, one));
  return relu(add(h, layers.norm(`${name}.shortcutNorm`, norm, shortcut)));
}

/**
 * A ResNet-18 for images of a task. It averages over 4×4 pixels at the end, or over all if there are
 * fewer; with `pool` over none. Grey images of 28 pixels are not padded to 32.
 * @throws ModelError when the last stage would have less than 2×2 pixels, of which a norm is constant.
 */
export function resNet18(name: string, task: Task, options: ResNetOptions): Model {
  const pooling = options.halving === "pool";
  requirePixels(name, task, pooling ? 16 : 9, "its last stage needs");
  return network(name, task, (layers, x) => {
    let h = layers.convolution("conv1", x, STAGES[0], { size: 3, padding: 1, bias: false });
    h = relu(layers.norm("norm1", options.norm, h));
    STAGES.forEach((channels, stage) => {
      for (const i of [2 * stage, 2 * stage + 1])
        h = block(layers, `block${i}`, h, channels, options);
    });
    if (!pooling) h = avgPool(h, { size: Math.min(4, h.shape[2]!) });
    return layers.linear("classifier", flatten(h), task.classes);
  });
}
