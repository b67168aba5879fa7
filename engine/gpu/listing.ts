/** @file A launch list as text: what each dispatch computes, of which shapes, and what it costs. */
import { showShape, type Shape } from "../graph/shape.ts";
import type { Description } from "./describe.ts";
import type { Step } from "./plan.ts";

const counted = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Shapes in the order in which they first come, each once with its number: `3x[10, 32] [32]`. */
function showShapes(shapes: readonly Shape[]): string {
  const counts = new Map<string, number>();
  for (const text of shapes.map(showShape)) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].map(([text, count]) => (count > 1 ? `${count}x${text}` : text)).join(" ");
}

/**
 * `matmul [10, 64] [64, 5] -> [10, 5]`; of a region its results and what is in it:
 * `rows 34 ops, 5 folds -> 3x[10, 32] [10, 32, 8, 8]`.
 */
export function showDescription({ op, region, operands, results }: Description): string {
  if (!region) return `${op} ${operands.map(showShape).join(" ")} -> ${showShapes(results)}`;
  const folds = region.folds > 0 ? `, ${counted(region.folds, "fold")}` : "";
  return `${op} ${counted(region.ops, "op")}${folds} -> ${showShapes(results)}`;
}

/** A number in three digits with its prefix: `1.23 M`, `512 `. */
function showAmount(value: number, unit: string): string {
  const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  const digits = power === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(scaled)));
  return `${scaled.toFixed(digits)} ${["", "k", "M", "G", "T"][power]!}${unit}`;
}

/** Operations in words: "1.5 GFLOP". */
export const showFlops = (flops: number): string => showAmount(flops, "FLOP");
/** Bytes in words, as {@link showFlops}. */
export const showBytes = (bytes: number): string => showAmount(bytes, "B");

/** One line a launch: what it computes, its grid, operations and bytes; copies by their places. */
export function showSteps(steps: readonly Step[]): string[] {
  const place = (at: string | number): string => (typeof at === "string" ? at : `#${at}`);
  return steps.map((step) => {
    if (step.kind === "copy")
      return `copy ${place(step.from)} -> ${place(step.to)}, ${showBytes(step.bytes)}`;
    const { grid, flops, bytes } = step;
    return `${showDescription(step)}, grid ${grid.join("x")}, ${showFlops(flops)}, ${showBytes(bytes)}`;
  });
}
