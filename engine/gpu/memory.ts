/** @file A program's GPU memory: what it takes, refused before it is asked for or when there is no more. */
import type { AdapterFacts, Gpu } from "./device.ts";
import { showBytes } from "./listing.ts";

/** GPU memory of a program in bytes, as allocated: of variables, of slots, of both, and of the largest buffer. */
export interface Memory {
  readonly variables: number;
  readonly slots: number;
  readonly total: number;
  readonly largest: number;
}

/** A program that the adapter has not the memory for. Nothing of it stays allocated. */
export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
  /** Bytes that the program would take. */
  readonly planned: number;

  constructor(message: string, planned: number) {
    super(message);
    this.planned = planned;
  }
}

/** Bytes of a buffer for so many: shaders that load four elements at a time see whole vectors. */
export const allocation = (bytes: number): number => Math.ceil(bytes / 16) * 16;

/** The memory of buffers of these sizes. */
export function memoryFor(variables: readonly number[], slots: readonly number[]): Memory {
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const [own, shared] = [sum(variables), sum(slots)];
  const largest = [...variables, ...slots].reduce((a, b) => Math.max(a, b), 0);
  return { variables: own, slots: shared, total: own + shared, largest };
}

/** Bytes that one buffer, bound as a whole, may have on an adapter. */
export const largestBinding = ({ limits }: AdapterFacts): number =>
  Math.min(limits["maxStorageBufferBindingSize"]!, limits["maxBufferSize"]!);

/** Gives back what {@link allocateAll} allocated. */
export function freeAll(gpu: Gpu, buffers: readonly GPUBuffer[]): void {
  for (const buffer of buffers) {
    gpu.allocated -= buffer.size;
    buffer.destroy();
  }
}

/**
 * Buffers of so many bytes, in the order of `sizes`, all or none.
 * @throws OutOfMemoryError when one is too large for the adapter, or there is no memory for all.
 */
export async function allocateAll(gpu: Gpu, sizes: readonly number[]): Promise<GPUBuffer[]> {
  const { device, facts } = gpu;
  const { total, largest } = memoryFor([], sizes.map(allocation));
  const most = largestBinding(facts);
  if (largest > most)
    throw new OutOfMemoryError(
      `gpu: a buffer must be at most ${showBytes(most)} on this adapter, got ${showBytes(largest)}, of ${showBytes(total)} in all`,
      total,
    );
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  device.pushErrorScope("out-of-memory");
  const buffers = sizes.map((bytes) => device.createBuffer({ size: allocation(bytes), usage }));
  if (!(await gpu.settled(device.popErrorScope()))) {
    gpu.allocated += total;
    return buffers;
  }
  for (const buffer of buffers) buffer.destroy();
  throw new OutOfMemoryError(
    `gpu: the adapter must have ${showBytes(total)} to spare, got out of memory`,
    total,
  );
}
