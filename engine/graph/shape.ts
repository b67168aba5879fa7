/** @file Shapes: sizes of axes, how they broadcast, and the error that names them. */

/** Sizes of a tensor's axes, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** A shape that does not fit the operation it was given to. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** `[2, 3]`, as error messages print it. */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Row-major distances between neighbours along each axis. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/**
 * The shape that all of `shapes` broadcast to: aligned at the last axis, sizes equal or 1.
 * @throws ShapeError naming `op` when two sizes differ and neither is 1.
 */
export function broadcastShapes(op: string, ...shapes: Shape[]): Shape {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let size = 1;
    for (const shape of shapes) {
      const n = shape[axis - rank + shape.length] ?? 1;
      if (n === 1 || n === size) continue;
      if (size !== 1)
        throw new ShapeError(
          `${op}: shapes must broadcast, got ${shapes.map(showShape).join(" and ")}`,
        );
      size = n;
    }
    return size;
  });
}

/**
 * Axes as sorted, distinct, non-negative numbers; negative ones count from the end.
 * @throws ShapeError naming `op` when an axis is out of range or named twice.
 */
export function normaliseAxes(op: string, axes: readonly number[], rank: number): number[] {
  const out = axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
  const wrong = out.some(
    (axis, i) => !Number.isInteger(axis) || axis < 0 || axis >= rank || axis === out[i - 1],
  );
  if (wrong)
    throw new ShapeError(
      `${op}: axes must be distinct and below the rank ${rank}, got ${showShape(axes)}`,
    );
  return out;
}
