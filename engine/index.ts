/** @file The engine's public surface: what models, distillation and other programs may use. */
export { Tensor, topological, type DType, type Params } from "./graph/tensor.ts";
export { ShapeError, showShape, sizeOf, type Shape } from "./graph/shape.ts";
export { printGraph } from "./graph/print.ts";
export { simplify } from "./graph/simplify.ts";
export * from "./ops/elementwise.ts";
export * from "./ops/layout.ts";
export * from "./ops/reduce.ts";
export * from "./ops/matmul.ts";
export * from "./ops/conv.ts";
export * from "./ops/gather.ts";
export * from "./ops/resample.ts";
export * from "./ops/derived.ts";
export { constantValue, full, iota, repeat, variable } from "./ops/source.ts";
export { grad, GradError, vjp, type GradOptions } from "./autodiff/grad.ts";
export { interpret, type Values } from "./cpu/interpret.ts";
export {
  Program,
  type CompileOptions,
  type HostData,
  type Procedure,
  type RunOptions,
} from "./gpu/program.ts";
export { largestBinding, OutOfMemoryError, type Memory } from "./gpu/memory.ts";
export type { Step } from "./gpu/plan.ts";
export { cacheFolder } from "./gpu/choices.ts";
export { showBytes, showFlops } from "./gpu/listing.ts";
export {
  addAmounts,
  Profiler,
  type Amount,
  type HostTrack,
  type KernelTotal,
  type ProfileEvent,
  type Work,
} from "./gpu/profiler.ts";
export {
  AdapterError,
  DeviceLostError,
  Gpu,
  type AdapterFacts,
  type Checks,
  type GpuOptions,
  type Precision,
} from "./gpu/device.ts";
export type { AdapterKind } from "./gpu/adapter.ts";
export { Random } from "./random.ts";
export { measureRoof, type Roof } from "./gpu/timing.ts";
