/**
 * @file What TensorFlow.js lacks for gradients of gradients, added so that it can be measured at all.
 *
 * - Conv2DBackpropFilter and AvgPoolGrad have no gradient, and the wasm backend no Conv2DBackpropFilter.
 * - A kernel's saved outputs are cloned onto the tape before the kernel itself, so an outer gradient
 *   takes them for constants: the derivatives of exp, softmax, sigmoid and everything made of them lose
 *   a term, without a warning. Rules that save inputs alone are right.
 */
import type { Backend, TensorFlow, Value } from "./tensorflow.ts";

/**
 * `published`: as it comes. `added`: gradients that are missing are added, so that programs run to their
 * end. `patched`: those that are wrong are replaced, too. `rewritten`: slow ones as well.
 */
export type Patches = "published" | "added" | "patched" | "rewritten";

/** The three maps of a 3×3 convolution of padding 1, differentiable as often as one likes. */
export interface Convolutions {
  /** `[N, H, W, O]` from images `[N, H, W, C]` and a kernel `[3, 3, C, O]`. */
  conv(x: Value, k: Value): Value;
  /** The gradient in x `[N, H, W, C]`. */
  convInput(g: Value, k: Value): Value;
  /** The gradient in k `[3, 3, C, O]`. */
  convKernel(x: Value, g: Value): Value;
}

export function convolutionsOf(tf: TensorFlow, backend: Backend, patches: Patches): Convolutions {
  const conv = (x: Value, k: Value): Value => tf.conv2d(x, k, 1, "same");
  const ownInput = (g: Value, k: Value): Value =>
    tf.conv2dTranspose(g, k, [...g.shape.slice(0, 3), k.shape[2]!], 1, "same");
  // Their wasm kernel for it is ten times slower than their convolution, which with the kernel turned is the same.
  const turned = (g: Value, k: Value): Value =>
    conv(g, tf.transpose(tf.reverse(k, [0, 1]), [0, 1, 3, 2]));
  const convInput = patches === "rewritten" ? turned : ownInput;
  const attributes = { strides: [1, 1], pad: "same", dataFormat: "NHWC" };
  const ownKernel = (x: Value, dy: Value): Value =>
    tf
      .engine()
      .runKernel(
        "Conv2DBackpropFilter",
        { x, dy },
        { ...attributes, filterShape: [3, 3, x.shape[3]!, dy.shape[3]!] },
      );
  const handMade = tf.customGrad((x, g, save) => {
    save([x, g]);
    return {
      value: kernelByProducts(tf, x, g),
      gradFunc: (d, saved) => [convInput(saved[1]!, d), conv(saved[0]!, d)],
    };
  });
  return { conv, convInput, convKernel: backend === "wasm" ? handMade : ownKernel };
}

/**
 * The gradient in the kernel as one matrix product: the images' pixels at every tap, by the gradient's.
 * Transposed by hand, since their product is slow where it is told to transpose.
 */
function kernelByProducts(tf: TensorFlow, x: Value, g: Value): Value {
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const o = g.shape[3]!;
  const framed = tf.pad(tf.transpose(x, [3, 0, 1, 2]), [
    [0, 0],
    [0, 0],
    [1, 1],
    [1, 1],
  ]);
  const taps = Array.from({ length: 9 }, (_, tap) =>
    tf.slice(framed, [0, 0, Math.floor(tap / 3), tap % 3], [c, n, h, w]),
  );
  const pixels = tf.reshape(tf.stack(taps), [9 * c, n * h * w]);
  return tf.reshape(tf.matMul(pixels, tf.reshape(g, [n * h * w, o])), [3, 3, c, o]);
}

export function patch(
  tf: TensorFlow,
  { conv, convInput, convKernel }: Convolutions,
  patches: Patches,
): void {
  if (patches === "published") return;
  tf.registerGradient({
    kernelName: "Conv2D",
    inputsToSave: ["x", "filter"],
    gradFunc: (dy, [x, k]) => ({
      x: () => convInput(dy, k!),
      filter: () => convKernel(x!, dy),
    }),
  });
  tf.registerGradient({
    kernelName: "Conv2DBackpropInput",
    inputsToSave: ["dy", "filter"],
    gradFunc: (d, [g, k]) => ({ dy: () => conv(d, k!), filter: () => convKernel(d, g!) }),
  });
  tf.registerGradient({
    kernelName: "Conv2DBackpropFilter",
    inputsToSave: ["x", "dy"],
    gradFunc: (d, [x, g]) => ({ x: () => convInput(g!, d), dy: () => conv(x!, d) }),
  });
  tf.registerGradient({
    kernelName: "AvgPoolGrad",
    inputsToSave: ["input"],
    gradFunc: (d, [x]) => ({
      dy: () => tf.avgPool(d, 2, 2, "valid"),
      input: () => tf.zerosLike(x!),
    }),
  });
  if (patches === "added") return;
  tf.registerGradient({
    kernelName: "Exp",
    inputsToSave: ["x"],
    gradFunc: (dy, [x]) => ({ x: () => tf.mul(dy, tf.exp(x!)) }),
  });
}
