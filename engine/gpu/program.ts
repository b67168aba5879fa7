/** @file A compiled program: the owner of its GPU memory, and the loop that replays its launch lists. */
import { topological, type Target, type Tensor } from "../graph/tensor.ts";
import { sameShape, ShapeError, showShape } from "../graph/shape.ts";
import type { AdapterFacts, Gpu } from "./device.ts";
import { showSteps } from "./listing.ts";
import { prepare } from "./lower.ts";
import { allocateAll, allocation, freeAll, memoryFor, type Memory } from "./memory.ts";
import { pipelineFor } from "./pipeline.ts";
import { Planner, Slots, type Assignments, type Place, type Step } from "./plan.ts";
import { isVariable } from "./anchors.ts";
import { replay, type Command } from "./tape.ts";
import { always, Tuner, type Choose } from "./tune.ts";

/**
 * What one procedure computes: a tensor for each name. A name that the graph uses as a variable is
 * carried: it has the new value when the procedure has run. Any other name is an output.
 */
export type Procedure = Readonly<Record<string, Tensor>>;

/** How a program is compiled. */
export interface CompileOptions {
  /** Whether operations may share a kernel. Off gives each its own, for comparison. */
  readonly fuse?: boolean;
  /**
   * Whether kernels of which there are several are measured, where that was not done before on this
   * adapter; takes about a second. Default: `POTSTILL_TUNE` is 1. No result depends on it.
   */
  readonly tune?: boolean;
  /** Stores and multiplies everything as f32, on a device of lower precision too. */
  readonly precision?: "f32";
  /** Number of the kernel to take where there are several, or the last. For tests. @internal */
  readonly candidate?: number;
}

/** How a procedure is run. */
export interface RunOptions {
  /** Number of the first repetition, where a run continues another; 0 when absent. */
  readonly first?: number;
}

/** Host data for a variable. */
export type HostData = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

interface Cell {
  readonly shape: readonly number[];
  readonly dtype: "f32" | "u32";
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

/** What kernels may know of the adapter. */
export function targetOf(facts: AdapterFacts): Target {
  const { limits, features, software, subgroupSize, precision, matrix } = facts;
  const fixed = subgroupSize?.min === subgroupSize?.max;
  return {
    subgroupSize: features.includes("subgroups") && fixed ? (subgroupSize?.min ?? 0) : 0,
    software,
    f16: features.includes("shader-f16"),
    precision,
    ...(matrix ? { matrix } : {}),
    maxWorkgroupSize: limits["maxComputeInvocationsPerWorkgroup"] ?? 256,
    maxBuffers: limits["maxStorageBuffersPerShaderStage"] ?? 8,
  };
}

/** What desktop adapters have in common as Dawn opens them: for plans where there is no adapter. */
const DESKTOP: Target = {
  subgroupSize: 0,
  software: false,
  f16: false,
  maxWorkgroupSize: 256,
  maxBuffers: 16,
};

/** Procedures in the form in which they are planned, and the variables that they share. */
function prepared(procedures: Readonly<Record<string, Procedure>>, target: Target) {
  const tensors = new Map<string, Tensor>();
  const assigned = Object.entries(procedures).map(([name, procedure]) => {
    const simple = prepare(Object.values(procedure), target);
    const assignments = new Map(Object.keys(procedure).map((key, i) => [key, simple[i]!]));
    collectVariables(procedure, assignments, tensors);
    return [name, assignments] as const;
  });
  return { tensors, assigned };
}

type Assigned = ReturnType<typeof prepared>["assigned"];

/** Launch lists of procedures over slots that they share. */
function laidOut(assigned: Assigned, target: Target, fuse: boolean, choose: Choose) {
  const slots = new Slots();
  const steps = (assignments: Assignments): Step[] =>
    new Planner(assignments, target, fuse, choose).steps(slots);
  return { slots, plans: new Map(assigned.map(([name, values]) => [name, steps(values)])) };
}

/** Procedures over named variables, compiled once. All memory is allocated here and never grows. */
export class Program implements Disposable {
  private readonly gpu: Gpu;
  private readonly cells: ReadonlyMap<string, Cell>;
  private readonly slots: readonly GPUBuffer[];
  private readonly plans: ReadonlyMap<string, readonly Step[]>;
  private readonly tapes: ReadonlyMap<string, readonly Command[]>;
  private readonly started = new Set<string>();
  private staging: GPUBuffer | undefined;
  private disposed = false;

  private constructor(
    gpu: Gpu,
    cells: ReadonlyMap<string, Cell>,
    slots: readonly GPUBuffer[],
    plans: ReadonlyMap<string, readonly Step[]>,
    tapes: ReadonlyMap<string, readonly Command[]>,
  ) {
    this.gpu = gpu;
    this.cells = cells;
    this.slots = slots;
    this.plans = plans;
    this.tapes = tapes;
  }

  /**
   * Compiles procedures that share variables by name.
   * @throws ShapeError when a name has two shapes or types, or a value does not fit its variable;
   * OutOfMemoryError when the adapter has not the memory.
   */
  static async compile(
    gpu: Gpu,
    procedures: Readonly<Record<string, Procedure>>,
    options: CompileOptions = {},
  ): Promise<Program> {
    const { fuse = true, tune = process.env["POTSTILL_TUNE"] === "1", candidate } = options;
    const begun = performance.now();
    const { precision = gpu.facts.precision } = options;
    const target = targetOf({ ...gpu.facts, precision });
    const { tensors, assigned } = prepared(procedures, target);
    const tuner = new Tuner(gpu);
    const choose = candidate === undefined ? tuner.choose : always(candidate);
    let { slots, plans } = laidOut(assigned, target, fuse, choose);
    if (tune && (await tuner.measure()))
      ({ slots, plans } = laidOut(assigned, target, fuse, choose));
    const variables = [...tensors].map(([name, tensor]) => ({
      name,
      tensor,
      bytes: tensor.size * 4,
    }));
    const buffers = await allocateAll(gpu, [
      ...variables.map(({ bytes }) => bytes),
      ...slots.bytes,
    ]);
    const cells = new Map<string, Cell>();
    for (const [i, { name, tensor, bytes }] of variables.entries())
      cells.set(name, { shape: tensor.shape, dtype: tensor.dtype, bytes, buffer: buffers[i]! });
    const memory = buffers.slice(variables.length);
    const find = (place: Place): GPUBuffer =>
      typeof place === "string" ? cells.get(place)!.buffer : memory[place]!;
    const compiled = [...plans].map(async ([name, steps]) => {
      const tape = await Promise.all(steps.map((step) => command(gpu, step, find)));
      return [name, tape] as const;
    });
    const tapes = new Map(await Promise.all(compiled));
    gpu.timer?.profiler.span("compile", Object.keys(procedures).join(", "), begun);
    return new Program(gpu, cells, memory, plans, tapes);
  }

  /**
   * The memory that a program of these procedures has on an adapter, without compiling it or having
   * the adapter: `facts` are another's, or what desktop adapters have in common.
   * @throws ShapeError as {@link compile}.
   */
  static plan(
    procedures: Readonly<Record<string, Procedure>>,
    facts?: AdapterFacts,
    { fuse = true }: Pick<CompileOptions, "fuse"> = {},
  ): Memory {
    const target = facts ? targetOf(facts) : DESKTOP;
    const { tensors, assigned } = prepared(procedures, target);
    const { slots } = laidOut(assigned, target, fuse, always(0));
    const variables = [...tensors.values()].map(({ size }) => allocation(size * 4));
    return memoryFor(variables, slots.bytes.map(allocation));
  }

  /** GPU memory, all of it allocated when the program was compiled. */
  get memory(): Memory {
    const variables = [...this.cells.values()].map(({ buffer }) => buffer.size);
    return memoryFor(
      variables,
      this.slots.map(({ size }) => size),
    );
  }

  /** What one run of a procedure takes: dispatches, operations, and bytes that must cross memory. */
  cost(procedure: string): { dispatches: number; flops: number; bytes: number } {
    const cost = { dispatches: 0, flops: 0, bytes: 0 };
    for (const step of this.steps(procedure)) {
      cost.bytes += step.bytes;
      if (step.kind === "copy") continue;
      cost.dispatches++;
      cost.flops += step.flops;
    }
    return cost;
  }

  /**
   * Sets a variable. The data is copied at once.
   * @throws RangeError for an unknown name, a wrong length or a wrong element type.
   */
  write(name: string, data: HostData): void {
    const cell = this.cell(name);
    const type = data instanceof Uint32Array ? "u32" : "f32";
    if (data.byteLength !== cell.bytes || type !== cell.dtype)
      throw new RangeError(
        `write: ${name} is ${cell.dtype} ${showShape(cell.shape)}, got ${data.length} ${type} values`,
      );
    this.gpu.device.queue.writeBuffer(cell.buffer, 0, data);
  }

  /**
   * Runs a procedure `times` over, its repetitions numbered from `first`; returns when the work is
   * queued, not done.
   * @throws RangeError for an unknown procedure.
   */
  run(procedure: string, times = 1, { first = 0 }: RunOptions = {}): void {
    replay(this.gpu, procedure, this.known(this.tapes, procedure), times, first);
    if (this.started.has(procedure)) return;
    this.started.add(procedure);
    this.gpu.ahead?.expect(this.steps(procedure).filter((step) => step.kind === "dispatch"));
  }

  /**
   * Values of variables and outputs after all queued work, in one transfer; indices as numbers,
   * exact below 2²⁴.
   * @throws RangeError for an unknown name; an Error with the adapter's words if it failed.
   */
  async read<const Names extends readonly string[]>(
    ...names: Names
  ): Promise<{ [K in keyof Names]: Float32Array<ArrayBuffer> }> {
    const cells = names.map((name) => this.cell(name));
    const total = cells.reduce((sum, cell) => sum + cell.bytes, 0);
    const staging = this.takeStaging(total);
    const encoder = this.gpu.device.createCommandEncoder();
    let at = 0;
    for (const cell of cells) {
      encoder.copyBufferToBuffer(cell.buffer, 0, staging, at, cell.bytes);
      at += cell.bytes;
    }
    this.gpu.device.queue.submit([encoder.finish()]);
    await this.waited("read", staging.mapAsync(GPUMapMode.READ, 0, total));
    const bytes = staging.getMappedRange(0, total).slice(0);
    staging.unmap();
    this.giveStaging(staging);
    at = 0;
    const out = cells.map((cell) => {
      const part = bytes.slice(at, at + cell.bytes);
      at += cell.bytes;
      return cell.dtype === "f32"
        ? new Float32Array(part)
        : Float32Array.from(new Uint32Array(part));
    });
    return out as { [K in keyof Names]: Float32Array<ArrayBuffer> };
  }

  /** Resolves when all queued work is done; rejects with the adapter's words if it failed. */
  async done(): Promise<void> {
    await this.waited("done", this.gpu.device.queue.onSubmittedWorkDone());
  }

  /**
   * The launches of a procedure, in order.
   * @throws RangeError for an unknown procedure.
   */
  steps(procedure: string): readonly Step[] {
    return this.known(this.plans, procedure);
  }

  /** One line a launch: what it computes, its grid, operations and bytes. Throws as {@link steps}. */
  print(procedure: string): string {
    return showSteps(this.steps(procedure)).join("\n");
  }

  /** Shader text of a procedure's launches, for tests and the curious. */
  shaders(procedure: string): string[] {
    return this.steps(procedure).flatMap((step) => (step.kind === "dispatch" ? [step.code] : []));
  }

  /** Fills every slot with a value that any use before a write would spread. For tests. @internal */
  poison(value: number): void {
    for (const slot of this.slots)
      this.gpu.device.queue.writeBuffer(slot, 0, new Float32Array(slot.size / 4).fill(value));
  }

  /** Gives back its memory on the device. */
  [Symbol.dispose](): void {
    if (this.disposed) return;
    this.disposed = true;
    freeAll(this.gpu, [...this.cells.values()].map(({ buffer }) => buffer).concat(this.slots));
    this.staging?.destroy();
  }

  /** Waits for the device, and lets a profiler have what is done then. */
  private async waited(what: string, promise: Promise<unknown>): Promise<void> {
    const { timer, ahead } = this.gpu;
    const begun = performance.now();
    await this.gpu.settled(promise);
    ahead?.settle();
    timer?.profiler.span("wait", what, begun);
    await timer?.collect();
  }

  private cell(name: string): Cell {
    const cell = this.cells.get(name);
    if (!cell)
      throw new RangeError(
        `program: the name must be one of ${[...this.cells.keys()].join(", ")}, got ${name}`,
      );
    return cell;
  }

  private known<T>(all: ReadonlyMap<string, T>, procedure: string): T {
    const found = all.get(procedure);
    if (found === undefined)
      throw new RangeError(
        `program: the procedure must be one of ${[...all.keys()].join(", ")}, got ${procedure}`,
      );
    return found;
  }

  /** A buffer to read through; reads that overlap get one each. */
  private takeStaging(bytes: number): GPUBuffer {
    const kept = this.staging;
    this.staging = undefined;
    if (kept && kept.size >= bytes) return kept;
    kept?.destroy();
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    return this.gpu.device.createBuffer({ size: bytes, usage });
  }

  /** Keeps the larger of two. */
  private giveStaging(buffer: GPUBuffer): void {
    const [kept, spare] =
      (this.staging?.size ?? 0) > buffer.size ? [this.staging, buffer] : [buffer, this.staging];
    this.staging = kept;
    spare?.destroy();
  }
}

/** Adds a procedure's variables and outputs to `tensors`, checking that names agree. */
function collectVariables(
  procedure: Procedure,
  assignments: ReadonlyMap<string, Tensor>,
  tensors: Map<string, Tensor>,
): void {
  const leaves = topological([...Object.values(procedure), ...assignments.values()]);
  const named: [string, Tensor][] = [
    ...leaves.filter(isVariable).map((t): [string, Tensor] => [t.params["name"] as string, t]),
    ...assignments,
  ];
  for (const [name, t] of named) {
    const known = tensors.get(name);
    if (known && (!sameShape(known.shape, t.shape) || known.dtype !== t.dtype))
      throw new ShapeError(
        `compile: ${name} must keep its shape, got ${known.dtype} ${showShape(known.shape)} and ${t.dtype} ${showShape(t.shape)}`,
      );
    tensors.set(name, t);
  }
}

async function command(gpu: Gpu, step: Step, find: (place: Place) => GPUBuffer): Promise<Command> {
  if (step.kind === "copy") return { from: find(step.from), to: find(step.to), bytes: step.bytes };
  const { grid, immediate } = step;
  const pipeline = await pipelineFor(gpu, step.code, step.op);
  const entries = step.bindings.map((place, binding) => ({
    binding,
    resource: { buffer: find(place) },
  }));
  const layout = pipeline.getBindGroupLayout(0);
  const group = gpu.device.createBindGroup({ layout, entries });
  return { pipeline, group, grid, immediate, step };
}
