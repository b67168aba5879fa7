/** @file Images seen through an affine map of their pixels, and the adjoint: resample and splat. */
import { ShapeError, showShape } from "../graph/shape.ts";
import { apply, requireFloat, type Kernel, type KernelOp, type Tensor } from "../graph/tensor.ts";

function checkMapped(op: string, x: Tensor, map: Tensor): void {
  requireFloat(op, [x, map]);
  if (x.rank !== 4 || String(map.shape) !== String([x.shape[0], 2, 3]))
    throw new ShapeError(
      `${op}: needs images [N, C, H, W] and a map [N, 2, 3], got ${showShape(x.shape)} and ${showShape(map.shape)}`,
    );
}

/** Tells `visit`, for each element of the result, what it takes of which elements of the images. */
function weigh(
  map: Float64Array,
  shape: readonly number[],
  visit: (result: number, image: number, weight: number) => void,
): void {
  const [N, C, H, W] = shape as [number, number, number, number];
  const [middle, centre] = [(H - 1) / 2, (W - 1) / 2];
  for (let n = 0; n < N; n++)
    for (let i = 0; i < H; i++)
      for (let j = 0; j < W; j++) {
        const [row, column] = [0, 3].map((at) => {
          const [di, dj, shift] = map.subarray(6 * n + at, 6 * n + at + 3);
          return di! * (i - middle) + dj! * (j - centre) + shift!;
        }) as [number, number];
        const [r0, q0] = [Math.floor(row + middle), Math.floor(column + centre)];
        for (const r of [r0, r0 + 1])
          for (const q of [q0, q0 + 1]) {
            if (!(r >= 0 && r < H && q >= 0 && q < W)) continue;
            const weight = (1 - Math.abs(row + middle - r)) * (1 - Math.abs(column + centre - q));
            for (let c = 0; c < C; c++) {
              const plane = (n * C + c) * H;
              visit((plane + i) * W + j, (plane + r) * W + q, weight);
            }
          }
      }
}

/** Invocations of a workgroup: each has an element of one image. */
const WIDTH = 64;
/** Workgroups along y at most; further images go along z. */
const TALL = 32768;

function kernel(shader: string, [x]: readonly Tensor[]): Kernel {
  const [N, C, H, W] = x!.shape as [number, number, number, number];
  const across = Math.ceil((C * H * W) / WIDTH);
  const grid = [across, Math.min(N, TALL), Math.ceil(N / TALL)] as const;
  return { shader, constants: { N, C, H, W, WIDTH }, grid, flops: 8 * x!.size };
}

const resampleOp: KernelOp = {
  form: "kernel",
  name: "resample",
  shape([x, map]) {
    checkMapped("resample", x!, map!);
    return x!.shape;
  },
  vjp: (g, [, map]) => [splat(g, map!), "constant"],
  cpu([x, map], [tx]) {
    const out = new Float64Array(tx!.size);
    weigh(map!, tx!.shape, (result, image, weight) => (out[result]! += weight * x![image]!));
    return out;
  },
  kernels: (inputs) => [kernel("resample", inputs)],
};

const splatOp: KernelOp = {
  form: "kernel",
  name: "splat",
  shape([g, map]) {
    checkMapped("splat", g!, map!);
    return g!.shape;
  },
  vjp: (h, [, map]) => [resample(h, map!), "constant"],
  cpu([g, map], [tg]) {
    const out = new Float64Array(tg!.size);
    weigh(map!, tg!.shape, (result, image, weight) => (out[image]! += weight * g![result]!));
    return out;
  },
  kernels: (inputs) => [kernel("splat", inputs)],
};

/**
 * Each image of x `[N, C, H, W]` through an affine map of its own: pixel (i, j) of the result is the
 * image at A·(i, j) + t, both measured from the image's centre, with A | t = map[n] of map
 * `[N, 2, 3]`. Between pixels it is interpolated bilinearly; outside there are zeros. Rows come
 * before columns: [1 0 0; 0 1 0] changes nothing, [1 0 0; 0 -1 0] exchanges left and right, and
 * [1 0 2; 0 1 0] moves the image up by two pixels. The map is constant to derivatives.
 * @throws ShapeError when the shapes do not fit.
 */
export function resample(x: Tensor, map: Tensor): Tensor {
  return apply(resampleOp, [x, map], {});
}

/**
 * The adjoint of {@link resample} for the same map `[N, 2, 3]`: every pixel of g `[N, C, H, W]` is shared
 * out to the pixels that it was interpolated from, which add up in the order of g's pixels.
 * @throws ShapeError when the shapes do not fit.
 */
export function splat(g: Tensor, map: Tensor): Tensor {
  return apply(splatOp, [g, map], {});
}
