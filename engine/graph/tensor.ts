/** @file What a tensor is and what an operation must tell about itself. */
import type { Ix, Pick } from "./ix.ts";
import { ShapeError, showShape, sizeOf, type Shape } from "./shape.ts";

/** Element types: `f32` numbers, `u32` indices. Only `f32` has derivatives. */
export type DType = "f32" | "u32";

/** An operation's settings: plain data, so that equal operations can be recognised. */
export type Params = Readonly<Record<string, number | string | boolean | readonly number[]>>;

/**
 * The cotangent of one input: a tensor, or `"constant"` where the derivative is zero by
 * definition. There is no third answer: a rule that does not exist throws.
 */
export type Cotangent = Tensor | "constant";

interface OpBase<P extends Params> {
  readonly name: string;
  /** Shape of the result. Throws {@link ShapeError} when the inputs do not fit. */
  shape(inputs: readonly Tensor[], params: P): Shape;
  /** Element type of the result; `f32` when absent. */
  dtype?(inputs: readonly Tensor[], params: P): DType;
  /** Cotangents of the inputs for the cotangent `g` of the result `y`, written in public ops. */
  vjp(g: Tensor, inputs: readonly Tensor[], y: Tensor, params: P): readonly Cotangent[];
  /** A cheaper tensor of the same value, if there is one. */
  simplify?(inputs: readonly Tensor[], params: P, y: Tensor): Tensor | undefined;
  /** The same value by parts that kernels share better, if there is such a way. */
  distribute?(inputs: readonly Tensor[], params: P, y: Tensor): Tensor | undefined;
}

/** A leaf: a named variable, a constant, a counter, or what a launch is told. */
export interface SourceOp<P extends Params = Params> extends OpBase<P> {
  readonly form: "source";
  /** True when the value is given anew with every launch and lies in no memory. */
  readonly immediate?: boolean;
  /** The value at a flat index, in float64; what is given from outside has none. */
  cpu?(index: number, params: P): number;
  /** The value at a flat index as a WGSL expression; variables are loaded instead. */
  wgsl?(index: string, params: P): string;
}

/** One value from the values of all inputs at the same index; all shapes are equal. */
export interface ElementwiseOp<P extends Params = Params> extends OpBase<P> {
  readonly form: "elementwise";
  cpu(...values: number[]): number;
  /** An expression of the values' names. F stands for the type: `f32`, or `vec4f` for four elements at once. */
  wgsl(...values: string[]): string;
}

/** Each element is one element of an input, or zero: reshape, slice, pad, gather and their like. */
export interface LayoutOp<P extends Params = Params> extends OpBase<P> {
  readonly form: "layout";
  cpu(inputs: readonly Float64Array[], tensors: readonly Tensor[], y: Tensor): Float64Array;
  /** Where the element at `index` comes from: the first pick whose conditions hold, else zero. */
  read(index: readonly Ix[], inputs: readonly Tensor[], y: Tensor): readonly Pick[];
  /** True when the result is the input's memory under another shape. */
  readonly alias?: boolean;
}

/** A fold over some axes, which the result does not have. */
export interface ReduceOp extends OpBase<{ readonly axes: readonly number[] }> {
  readonly form: "reduce";
  readonly initial: number;
  cpu(a: number, b: number): number;
  wgsl(a: string, b: string): string;
  /** The WGSL built-in that folds over a subgroup. */
  readonly subgroup: string;
}

/** What a kernel author may know of the adapter. */
export interface Target {
  /** Lanes of a subgroup if all subgroups have that size and the feature is there, else 0. */
  readonly subgroupSize: number;
  /** A processor that runs shaders: loads are dear, barriers dearer. */
  readonly software: boolean;
  readonly f16: boolean;
  /** How large intermediate tensors are stored; `f32` when absent. All arithmetic is f32. */
  readonly precision?: "f32" | "f16";
  /** Rows, columns and terms of the matrices that subgroups multiply from f16 into f32, if they do. */
  readonly matrix?: { readonly m: number; readonly n: number; readonly k: number };
  readonly maxWorkgroupSize: number;
  readonly maxBuffers: number;
}

/** How an element lies in memory, whatever its type in the graph. */
export type Stored = "f32" | "f16" | "u32";

/** A hand-written kernel, sized: plain data. */
export interface Kernel {
  /** File in `shaders/`, without its ending. */
  readonly shader: string;
  /** Numbers of the inputs to bind, in binding order; when absent all, each once. */
  readonly operands?: readonly number[];
  /** Values for the shader's `const` lines, by name. */
  readonly constants: Readonly<Record<string, number>>;
  /** Workgroups along x, y, z. */
  readonly grid: readonly [number, number, number];
  /** Floating-point operations, for the profiler. */
  readonly flops: number;
}

/** Work that deserves its own shader file. Bindings: the operands in order, then the result. */
export interface KernelOp<P extends Params = Params> extends OpBase<P> {
  readonly form: "kernel";
  cpu(inputs: readonly Float64Array[], tensors: readonly Tensor[], y: Tensor): Float64Array;
  /**
   * Ways to do it on an adapter, the likeliest to be fast first. All add up in the same order, so
   * that choosing among them by measurement changes no result. `starts` are the elements of their
   * allocations at which the inputs begin: loads of vectors need multiples of four.
   */
  kernels(
    inputs: readonly Tensor[],
    y: Tensor,
    target: Target,
    starts: readonly number[],
  ): readonly [Kernel, ...Kernel[]];
  /** The same value from operations that suit an adapter better, if there are any. */
  lower?(inputs: readonly Tensor[], params: P, y: Tensor, target: Target): Tensor | undefined;
  /** The input whose memory the result overwrites in place, if it does. */
  readonly updates?: number;
  /** Whether four inputs may be given, meaning the sum of the results of two and two. */
  readonly addsPairs?: boolean;
}

/**
 * Input 0 with some elements replaced by those of the last input. Where the result is assigned back
 * to the variable that input 0 is, nothing else is touched.
 */
export interface UpdateOp<P extends Params = Params> extends OpBase<P> {
  readonly form: "update";
  cpu(inputs: readonly Float64Array[], tensors: readonly Tensor[], y: Tensor): Float64Array;
  /** Where the new element at `index` of the last input goes. */
  write(index: readonly Ix[], inputs: readonly Tensor[], y: Tensor): readonly Ix[];
}

export type Op<P extends Params = Params> =
  SourceOp<P> | ElementwiseOp<P> | LayoutOp<P> | ReduceOp | KernelOp<P> | UpdateOp<P>;

let created = 0;

/** A symbol in a graph: an operation on other tensors. It owns no memory. */
export class Tensor {
  /** Creation order: every input has a smaller number. */
  readonly id = created++;
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  readonly params: Params;
  readonly shape: Shape;
  readonly dtype: DType;

  /** @throws ShapeError when the inputs do not fit the operation. */
  constructor(op: Op, inputs: readonly Tensor[], params: Params = {}) {
    this.op = op;
    this.inputs = inputs;
    this.params = params;
    // An Op is stored without its parameter type; `apply` is where the two were checked together.
    const rules = op as OpBase<Params>;
    this.shape = rules.shape(inputs, params);
    this.dtype = rules.dtype?.(inputs, params) ?? "f32";
    if (!this.shape.every((n) => Number.isInteger(n) && n >= 1))
      throw new ShapeError(
        `${op.name}: every axis must have at least one element, got ${showShape(this.shape)}`,
      );
  }

  get rank(): number {
    return this.shape.length;
  }

  get size(): number {
    return sizeOf(this.shape);
  }
}

/**
 * Applies an operation.
 * @throws ShapeError when the inputs do not fit.
 */
export function apply<P extends Params>(op: Op<P>, inputs: readonly Tensor[], params: P): Tensor {
  return new Tensor(op, inputs, params);
}

/** @throws TypeError naming `op` when one of its operands is not f32. */
export function requireFloat(op: string, operands: readonly Tensor[]): void {
  const wrong = operands.find((x) => x.dtype !== "f32");
  if (wrong)
    throw new TypeError(
      `${op}: operands must be f32, got u32 ${showShape(wrong.shape)} (use toFloat)`,
    );
}

/** All tensors that `outputs` depend on, themselves included, inputs before users. */
export function topological(outputs: Iterable<Tensor>): Tensor[] {
  const seen = new Set<Tensor>();
  const order: Tensor[] = [];
  for (const root of outputs) {
    // An explicit stack: unrolled graphs are deeper than the call stack.
    const stack: [Tensor, number][] = seen.has(root) ? [] : [[root, 0]];
    seen.add(root);
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const next = top[0].inputs[top[1]++];
      if (next === undefined) {
        order.push(top[0]);
        stack.pop();
      } else if (!seen.has(next)) {
        seen.add(next);
        stack.push([next, 0]);
      }
    }
  }
  return order;
}
