/** @file A ConvNetD3 in jax-js, by its own convolution or by one that its wasm backend runs faster. */

/** What is used of an array. */
export interface Value {
  readonly ref: Value;
  readonly shape: readonly number[];
  add(other: Value | number): Value;
  sub(other: Value | number): Value;
  mul(other: Value | number): Value;
  div(other: Value | number): Value;
  sum(): Value;
  mean(axes: number[], options?: { keepdims: boolean }): Value;
  reshape(shape: readonly number[]): Value;
  transpose(order?: readonly number[]): Value;
  slice(...ranges: readonly (number | readonly number[])[]): Value;
  dispose(): void;
  data(): Promise<Float32Array>;
}

/** What is used of the package. */
export interface Jax {
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(device: string): void;
  blockUntilReady(value: unknown): Promise<unknown>;
  jit<F>(f: F): F;
  grad<Rest extends unknown[]>(
    f: (parameters: Value[], ...rest: Rest) => Value,
  ): (parameters: Value[], ...rest: Rest) => Value[];
  grad(f: (x: Value) => Value): (x: Value) => Value;
  readonly numpy: {
    array(values: Float32Array, options: { shape: readonly number[] }): Value;
    matmul(a: Value, b: Value): Value;
    sqrt(x: Value): Value;
    pad(x: Value, widths: readonly (readonly [number, number])[]): Value;
  };
  readonly nn: { relu(x: Value): Value; logSoftmax(x: Value): Value };
  readonly lax: { conv(x: Value, k: Value, strides: number[], padding: string): Value };
}

/** How images lie between the layers, and what convolves them there. */
export interface Layout {
  /** From `[N, C, H, W]`, and back. */
  enter(x: Value): Value;
  leave(x: Value): Value;
  /** The 3×3 convolution of padding 1 by a kernel `[O, C, 3, 3]`. */
  conv(x: Value, k: Value): Value;
  /** The axes of the pixels. */
  readonly pixels: readonly [number, number];
  /** The shape of a value for every channel. */
  readonly perChannel: readonly number[];
}

/** `[N, C, H, W]`, and the package's convolution. */
export const ownLayout = ({ lax }: Jax): Layout => ({
  enter: (x) => x,
  leave: (x) => x,
  conv: (x, k) => lax.conv(x, k, [1, 1], "SAME"),
  pixels: [2, 3],
  perChannel: [1, -1, 1, 1],
});

/** `[N, H, W, C]`, and a sum over the taps of products of pixels' channels and the tap's `[C, O]`. */
export const productLayout = ({ numpy }: Jax): Layout => ({
  enter: (x) => x.transpose([0, 2, 3, 1]),
  leave: (x) => x.transpose([0, 3, 1, 2]),
  conv(x, k) {
    const [n, h, w, c] = x.shape as [number, number, number, number];
    const framed = numpy.pad(x, [
      [0, 0],
      [1, 1],
      [1, 1],
      [0, 0],
    ]);
    const taps = k.transpose([2, 3, 1, 0]);
    const products: Value[] = [];
    for (let r = 0; r < 3; r++)
      for (let q = 0; q < 3; q++) {
        const shifted = framed.ref.slice([], [r, r + h], [q, q + w], []);
        const tap = taps.ref.slice(r, q, [], []);
        products.push(numpy.matmul(shifted.reshape([n * h * w, c]), tap));
      }
    const filters = taps.shape[3]!;
    framed.dispose();
    taps.dispose();
    return products.reduce((a, b) => a.add(b)).reshape([n, h, w, filters]);
  },
  pixels: [1, 2],
  perChannel: [-1],
});

/** `x` with both axes of its pixels halved by 2×2 means. */
function pool(x: Value, pixels: readonly [number, number]): Value {
  const shape = x.shape.flatMap((size, axis) => (pixels.includes(axis) ? [size / 2, 2] : [size]));
  return x.reshape(shape).mean([pixels[0] + 1, pixels[1] + 2]);
}

/** Logits `[N, 10]` from images `[N, 3, 32, 32]`; takes the parameters, keeps the images. */
function forward(jax: Jax, layout: Layout, parameters: readonly Value[], images: Value): Value {
  const [w, b] = parameters.slice(-2) as [Value, Value];
  const { pixels, perChannel } = layout;
  let x = layout.enter(images.ref);
  for (let at = 0; at + 2 < parameters.length; at += 4) {
    const kernel = parameters[at]!;
    const [bias, scale, shift] = parameters
      .slice(at + 1, at + 4)
      .map((v) => v.reshape(perChannel)) as [Value, Value, Value];
    x = layout.conv(x, kernel).add(bias);
    const keep = { keepdims: true };
    const centred = x.ref.sub(x.mean([...pixels], keep));
    const variance = centred.ref.mul(centred.ref).mean([...pixels], keep);
    x = centred.div(jax.numpy.sqrt(variance.add(1e-5)));
    x = pool(jax.nn.relu(x.mul(scale).add(shift)), pixels);
  }
  const features = layout.leave(x).reshape([images.shape[0]!, -1]);
  return jax.numpy.matmul(features, w.transpose()).add(b);
}

/** Mean cross-entropy against class probabilities `[N, 10]`; keeps images and targets. */
export function loss(
  jax: Jax,
  layout: Layout,
  parameters: readonly Value[],
  images: Value,
  targets: Value,
): Value {
  const logP = jax.nn.logSoftmax(forward(jax, layout, parameters, images));
  return logP
    .mul(targets.ref)
    .sum()
    .mul(-1 / targets.shape[0]!);
}
