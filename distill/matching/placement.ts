/**
 * @file What of matching lies on the device, so that it fits: how many images of a minibatch at once, and
 * whether the synthetic set is there. Decided by plans, so no device is needed.
 */
import {
  full,
  largestBinding,
  OutOfMemoryError,
  Program,
  type AdapterFacts,
  type Memory,
  type Procedure,
} from "../../engine/index.ts";
import { formatBytes } from "./memory.ts";
import { partsOf, studentProcedures, studentVariables, type StudentOptions } from "./student.ts";
import { updateProcedure } from "./update.ts";

/** A student with what else an iteration needs of the device. */
export interface MatchingOptions extends StudentOptions {
  /** Whether the images' exponential average is kept. */
  readonly average?: boolean;
}

/** The procedures of a program that holds the whole synthetic set: the student's, and `update`. */
export function matchingProcedures(options: MatchingOptions): Record<string, Procedure> {
  return {
    ...studentProcedures(options),
    update: updateProcedure(options, options.average ?? false),
  };
}

/** A student whose whole set is one micro-batch: the host puts there what a repetition needs. */
export function streamed(options: MatchingOptions): MatchingOptions {
  return { ...options, images: partsOf(options).micro };
}

/** The procedures of a {@link streamed} program: the student's, and `clear`, which sets gradients to 0. */
export function streamedProcedures(options: MatchingOptions): Record<string, Procedure> {
  const { gradImages, gradLabels } = studentVariables(options);
  const clear = { gradImages: full(gradImages.shape, 0), gradLabels: full(gradLabels.shape, 0) };
  return { ...studentProcedures(options), clear };
}

/** Where a run's memory is. */
export interface Placement {
  /** m, images whose activations the device holds at once. */
  readonly micro: number;
  /** Whether images, labels, their gradients and velocities are on the device, or on the host. */
  readonly resident: boolean;
  /** The device's memory in all: variables and activations. */
  readonly memory: Memory;
}

/** Limits of what may be planned, in bytes. */
export interface Limits {
  /** Of everything together. */
  readonly memory?: number | undefined;
  /** The adapter's facts; without, what desktop adapters have in common, with buffers of any size. */
  readonly facts?: AdapterFacts | undefined;
}

/** A run that cannot go on, or not even begin: nothing that it would produce could be used. */
export class DistillError extends Error {
  override readonly name = "DistillError";
}

/**
 * The placement of a run: the synthetic set on the device where it takes at most half of the memory,
 * and the fewest micro-batches that fit, or those of `options.micro`.
 * @throws DistillError when nothing fits.
 */
export function placementOf(options: MatchingOptions, limits: Limits = {}): Placement {
  const found = fittingPlacement(options, limits);
  if (found) return found;
  const { memory, facts } = limits;
  const tried = planned(options, least(options), false, facts);
  throw new DistillError(refusal(tried, { memory, buffer: largestBuffer(facts) }, options));
}

/** The placement with so many images at once. */
function planned(
  options: MatchingOptions,
  micro: number,
  resident: boolean,
  facts: AdapterFacts | undefined,
): Placement {
  const some = { ...options, micro };
  const procedures = resident ? matchingProcedures(some) : streamedProcedures(streamed(some));
  return { micro: partsOf(some).micro, resident, memory: Program.plan(procedures, facts) };
}

/** The placement of {@link placementOf}, if there is one. */
function fittingPlacement(
  options: MatchingOptions,
  { memory, facts }: Limits,
): Placement | undefined {
  const buffer = largestBuffer(facts);
  const plan = (micro: number, resident: boolean): Placement =>
    planned(options, micro, resident, facts);
  const fits = ({ memory: { total, largest } }: Placement): boolean =>
    total <= (memory ?? Infinity) && largest <= buffer;
  const { images, set } = bytesOfSet(options);
  const resident = images <= buffer && set <= (memory ?? Infinity) / 2;
  const search = (resident: boolean): Placement | undefined =>
    options.micro === undefined && !options.model.mixesSamples
      ? fewestParts(options.batch, (micro) => plan(micro, resident), fits)
      : [plan(options.micro ?? options.batch, resident)].find(fits);
  return (resident ? search(true) : undefined) ?? search(false);
}

/** The fewest images at once that a plan may have. */
const least = ({ model, micro, batch }: MatchingOptions): number =>
  micro ?? (model.mixesSamples ? batch : 1);

const largestBuffer = (facts: AdapterFacts | undefined): number =>
  facts ? largestBinding(facts) : Infinity;

/** Bytes of the images alone, and of the set: images and labels with gradients and velocities. */
function bytesOfSet({ model, images, average = false }: MatchingOptions) {
  const { channels, size, classes } = model.task;
  const pixels = 4 * images * channels * size ** 2;
  return { images: pixels, set: (average ? 4 : 3) * pixels + 3 * 4 * images * classes };
}

/**
 * The plan of the fewest micro-batches that fits, of all numbers of them, since more need less: their
 * number is doubled until they fit, then halved down to where they just do.
 */
function fewestParts(
  batch: number,
  plan: (micro: number) => Placement,
  fits: (placement: Placement) => boolean,
): Placement | undefined {
  const inParts = (parts: number): Placement => plan(Math.ceil(batch / parts));
  let [tooFew, enough] = [0, 1];
  let found = inParts(enough);
  while (!fits(found)) {
    if (enough === batch) return undefined;
    [tooFew, enough] = [enough, Math.min(batch, 2 * enough)];
    found = inParts(enough);
  }
  while (enough - tooFew > 1) {
    const parts = Math.floor((tooFew + enough) / 2);
    const placement = inParts(parts);
    if (fits(placement)) [found, enough] = [placement, parts];
    else tooFew = parts;
  }
  return found;
}

function refusal(
  { micro, memory: { total, largest } }: Placement,
  { memory, buffer }: { memory: number | undefined; buffer: number },
  { model, steps, batch }: MatchingOptions,
): string {
  const history = 4 * (steps + 1) * model.size;
  if (history > buffer)
    return `syn_steps: the parameters of ${steps + 1} steps must fit one buffer of the adapter, ${formatBytes(buffer)}, got ${formatBytes(history)}; take fewer steps or a narrower network`;
  const images = `${micro} of batch_syn's ${batch} images at once`;
  if (memory !== undefined && total > memory)
    return `memory: must be at least ${formatBytes(total)} for ${images}, got ${formatBytes(memory)}`;
  return `micro_batch: buffers must be at most ${formatBytes(buffer)} on this adapter, got ${formatBytes(largest)} for ${images}`;
}

const MIB = 2 ** 20;

/**
 * What to say where the adapter has less to spare than it should: another process may have the rest, and
 * WebGPU does not tell. Errors of other kinds are returned as they are.
 */
export function adviseOnMemory(
  error: unknown,
  { micro, memory: { total } }: Placement,
  options: MatchingOptions,
  facts: AdapterFacts,
): unknown {
  if (!(error instanceof OutOfMemoryError)) return error;
  const got = `memory: the adapter must have ${formatBytes(total)} to spare for ${micro} of batch_syn's ${options.batch} images at once, got out of memory`;
  const { micro: given, ...free } = options;
  for (let memory = total / 2; memory > MIB; memory /= 2) {
    const less = fittingPlacement(free, { memory, facts });
    if (!less) break;
    const setting = `memory: ${Math.ceil(less.memory.total / MIB)}MiB`;
    const without = given === undefined ? "" : " without micro_batch";
    if (less.micro < micro)
      return new DistillError(`${got}; ${setting}${without} takes ${less.micro} at once`);
  }
  return new DistillError(`${got}; lower batch_syn, syn_steps or width, or take --precision f16`);
}
