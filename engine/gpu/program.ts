/** @file A compiled program: the owner of its GPU memory, and the loop that replays its launch lists. */
import { topological, type Target, type Tensor } from "../graph/tensor.ts";
import { sameShape, ShapeError, showShape } from "../graph/shape.ts";
import { simplify } from "../graph/simplify.ts";
import type { AdapterFacts, Gpu } from "./device.ts";
import { lower } from "./lower.ts";
import { pipelineFor } from "./pipeline.ts";
import { Planner, Slots, type Place, type Step } from "./plan.ts";
import { isVariable } from "./schedule.ts";

/**
 * What one procedure computes: a tensor for each name. A name that the graph uses as a variable is
 * carried: it has the new value when the procedure has run. Any other name is an output.
 */
export type Procedure = Readonly<Record<string, Tensor>>;

export interface CompileOptions {
  /** Whether operations may share a kernel. Off gives each its own, for comparison. */
  readonly fuse?: boolean;
}

/** Host data for a variable. */
export type HostData = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

interface Cell {
  readonly shape: readonly number[];
  readonly dtype: "f32" | "u32";
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

type Command =
  | {
      readonly pipeline: GPUComputePipeline;
      readonly group: GPUBindGroup;
      readonly grid: readonly [number, number, number];
    }
  | { readonly from: GPUBuffer; readonly to: GPUBuffer; readonly bytes: number };

/** Commands in one submission: enough to hide its cost, few enough to start early. */
const CHUNK = 200;

/** What kernels may know of the adapter. */
export function targetOf({ limits, features, software, subgroupSize }: AdapterFacts): Target {
  const fixed = subgroupSize?.min === subgroupSize?.max;
  return {
    subgroupSize: features.includes("subgroups") && fixed ? (subgroupSize?.min ?? 0) : 0,
    software,
    f16: features.includes("shader-f16"),
    maxWorkgroupSize: limits["maxComputeInvocationsPerWorkgroup"] ?? 256,
    maxBuffers: limits["maxStorageBuffersPerShaderStage"] ?? 8,
  };
}

/** Procedures over named variables, compiled once. All memory is allocated here and never grows. */
export class Program implements Disposable {
  private readonly gpu: Gpu;
  private readonly cells: ReadonlyMap<string, Cell>;
  private readonly slots: readonly GPUBuffer[];
  private readonly plans: ReadonlyMap<string, readonly Step[]>;
  private readonly tapes: ReadonlyMap<string, readonly Command[]>;
  private staging: GPUBuffer | undefined;

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
   * @throws ShapeError when a name has two shapes or types, or a value does not fit its variable.
   */
  static async compile(
    gpu: Gpu,
    procedures: Readonly<Record<string, Procedure>>,
    { fuse = true }: CompileOptions = {},
  ): Promise<Program> {
    const slots = new Slots();
    const plans = new Map<string, Step[]>();
    const tensors = new Map<string, Tensor>();
    for (const [name, procedure] of Object.entries(procedures)) {
      const simple = lower(simplify(Object.values(procedure)), targetOf(gpu.facts));
      const assignments = new Map(Object.keys(procedure).map((key, i) => [key, simple[i]!]));
      collectVariables(procedure, assignments, tensors);
      plans.set(name, new Planner(assignments, targetOf(gpu.facts), fuse).steps(slots));
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const allocate = (bytes: number): GPUBuffer => gpu.device.createBuffer({ size: bytes, usage });
    const cells = new Map<string, Cell>();
    for (const [name, { shape, dtype, size }] of tensors)
      cells.set(name, { shape, dtype, bytes: size * 4, buffer: allocate(size * 4) });
    const memory = slots.bytes.map(allocate);
    const find = (place: Place): GPUBuffer =>
      typeof place === "string" ? cells.get(place)!.buffer : memory[place]!;
    const tapes = new Map<string, readonly Command[]>();
    for (const [name, steps] of plans)
      tapes.set(name, await Promise.all(steps.map((step) => command(gpu, step, find))));
    return new Program(gpu, cells, memory, plans, tapes);
  }

  /** Planned GPU memory in bytes: variables, slots, and both. */
  get memory(): { variables: number; slots: number; total: number } {
    const variables = [...this.cells.values()].reduce((sum, cell) => sum + cell.bytes, 0);
    const slots = this.slots.reduce((sum, slot) => sum + slot.size, 0);
    return { variables, slots, total: variables + slots };
  }

  /** What one run of a procedure takes: dispatches, operations, and bytes that must cross memory. */
  cost(procedure: string): { dispatches: number; flops: number; bytes: number } {
    const cost = { dispatches: 0, flops: 0, bytes: 0 };
    for (const step of this.plans.get(procedure) ?? []) {
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
   * Runs a procedure `times` over; returns when the work is queued, not done.
   * @throws RangeError for an unknown procedure.
   */
  run(procedure: string, times = 1): void {
    const tape = this.tapes.get(procedure);
    if (!tape)
      throw new RangeError(`run: the procedure must be one of ${this.names()}, got ${procedure}`);
    const { device } = this.gpu;
    let encoder = device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    let count = 0;
    const submit = (): void => {
      pass?.end();
      pass = undefined;
      device.queue.submit([encoder.finish()]);
    };
    for (let time = 0; time < times; time++)
      for (const step of tape) {
        if ("pipeline" in step) {
          pass ??= encoder.beginComputePass();
          pass.setPipeline(step.pipeline);
          pass.setBindGroup(0, step.group);
          pass.dispatchWorkgroups(step.grid[0], step.grid[1], step.grid[2]);
        } else {
          pass?.end();
          pass = undefined;
          encoder.copyBufferToBuffer(step.from, 0, step.to, 0, step.bytes);
        }
        if (++count % CHUNK === 0) {
          submit();
          encoder = device.createCommandEncoder();
        }
      }
    submit();
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
    await this.gpu.settled(staging.mapAsync(GPUMapMode.READ, 0, total));
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
    await this.gpu.settled(this.gpu.device.queue.onSubmittedWorkDone());
  }

  /** One line a launch: operation, places, grid, operations, bytes. */
  print(procedure: string): string {
    const steps = this.plans.get(procedure) ?? [];
    const show = (place: Place): string => (typeof place === "string" ? place : `#${place}`);
    return steps
      .map((step) => {
        if (step.kind === "copy")
          return `copy ${show(step.from)} -> ${show(step.to)} ${step.bytes} B`;
        const reads = step.bindings.slice(0, step.reads).map(show).join(" ");
        const writes = step.bindings.slice(step.reads).map(show).join(" ");
        return `${step.label} ${reads} -> ${writes} grid ${step.grid.join("x")} ${step.flops} FLOP ${step.bytes} B`;
      })
      .join("\n");
  }

  /** Shader text of a procedure's launches, for tests and the curious. */
  shaders(procedure: string): string[] {
    return (this.plans.get(procedure) ?? []).flatMap((s) =>
      s.kind === "dispatch" ? [s.code] : [],
    );
  }

  /** Fills every slot with a value that any use before a write would spread. For tests. @internal */
  poison(value: number): void {
    for (const slot of this.slots)
      this.gpu.device.queue.writeBuffer(slot, 0, new Float32Array(slot.size / 4).fill(value));
  }

  [Symbol.dispose](): void {
    for (const { buffer } of this.cells.values()) buffer.destroy();
    for (const slot of this.slots) slot.destroy();
    this.staging?.destroy();
  }

  private cell(name: string): Cell {
    const cell = this.cells.get(name);
    if (!cell)
      throw new RangeError(
        `program: the name must be one of ${[...this.cells.keys()].join(", ")}, got ${name}`,
      );
    return cell;
  }

  private names(): string {
    return [...this.tapes.keys()].join(", ");
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
  const pipeline = await pipelineFor(gpu, step.code, step.label);
  const entries = step.bindings.map((place, binding) => ({
    binding,
    resource: { buffer: find(place) },
  }));
  const layout = pipeline.getBindGroupLayout(0);
  return { pipeline, group: gpu.device.createBindGroup({ layout, entries }), grid: step.grid };
}
