/** @file Leaves of a graph: variables, constants, counters, the number of a repetition. */
import { showShape, type Shape } from "../graph/shape.ts";
import { apply, type DType, type SourceOp, type Tensor } from "../graph/tensor.ts";

const noInputs = (): never => {
  throw new Error("internal: a leaf has no inputs to differentiate");
};

type VariableParams = { readonly name: string; readonly shape: Shape; readonly dtype: DType };

export const variableOp: SourceOp<VariableParams> = {
  form: "source",
  name: "variable",
  shape: (_, { shape }) => shape,
  dtype: (_, { dtype }) => dtype,
  vjp: noInputs,
};

type FullParams = { readonly shape: Shape; readonly value: number; readonly dtype: DType };

export const fullOp: SourceOp<FullParams> = {
  form: "source",
  name: "full",
  shape: (_, { shape }) => shape,
  dtype: (_, { dtype }) => dtype,
  vjp: noInputs,
  cpu: (_, { value }) => value,
  wgsl: (_, { value, dtype }) => literal(value, dtype),
};

type IotaParams = { readonly count: number };

const iotaOp: SourceOp<IotaParams> = {
  form: "source",
  name: "iota",
  shape: (_, { count }) => [count],
  dtype: () => "u32",
  vjp: noInputs,
  cpu: (index) => index,
  wgsl: (index) => `u32(${index})`,
};

const repeatOp: SourceOp = {
  form: "source",
  name: "repeat",
  immediate: true,
  shape: () => [],
  dtype: () => "u32",
  vjp: noInputs,
  wgsl: () => "repeat",
};

/** A number as WGSL writes it; f32 keeps every bit. */
function literal(value: number, dtype: DType): string {
  if (dtype === "u32") return `${value}u`;
  const rounded = Math.fround(value);
  return `f32(${Number.isInteger(rounded) && Math.abs(rounded) < 1e9 ? `${rounded}.0` : rounded.toString()})`;
}

/**
 * A named tensor that a program keeps: written from outside, or by the program itself when one
 * of its procedures assigns to that name.
 * @throws RangeError when the name is not an identifier, or is `repeat`.
 */
export function variable(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
  if (name === "repeat")
    throw new RangeError(
      `variable: a name must not be that of the repetition's number, got "repeat" ${showShape(shape)}`,
    );
  if (!/^[A-Za-z][\w.]*$/.test(name))
    throw new RangeError(
      `variable: a name must be letters, digits, _ and ., got "${name}" ${showShape(shape)}`,
    );
  return apply(variableOp, [], { name, shape: [...shape], dtype });
}

/** Whether a number is finite as an f32. */
export const isFloat = (value: number): boolean => Number.isFinite(Math.fround(value));

/**
 * Every element is `value`.
 * @throws RangeError when the value is no finite f32, or no u32.
 */
export function full(shape: Shape, value: number, dtype: DType = "f32"): Tensor {
  const fits = dtype === "u32" ? value >>> 0 === value : isFloat(value);
  if (!fits) throw new RangeError(`full: a constant must be a finite ${dtype}, got ${value}`);
  return apply(fullOp, [], { shape: [...shape], value, dtype });
}

/** `[0, 1, …, count - 1]` as u32 `[count]`. */
export function iota(count: number): Tensor {
  return apply(iotaOp, [], { count });
}

/**
 * The number of the current repetition, u32 `[]`: a program that runs a procedure S times counts
 * 0, 1, …, S - 1. It costs no memory: every launch that needs it is told.
 */
export function repeat(): Tensor {
  return apply(repeatOp, [], {});
}

/** The number that every element is, if the tensor is a constant. */
export function constantValue(x: Tensor): number | undefined {
  return x.op.name === "full" ? (x.params["value"] as number) : undefined;
}
