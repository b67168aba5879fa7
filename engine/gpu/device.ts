/** @file The GPU: one open device, the settings of Dawn it was opened with, and how waiting for it reports its errors. */

import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

import { Ahead } from "./ahead.ts";
import { AdapterError, chooseAdapter, withEnvironment } from "./adapter.ts";
import type { AdapterKind, Choice } from "./adapter.ts";
import { slowPolling } from "./polling.ts";
import type { Profiler } from "./profiler.ts";
import { Timer } from "./timer.ts";

export { AdapterError };

/** Whether Dawn checks all calls and accesses. */
export type Checks = "safe" | "fast";
/** How large intermediate tensors are stored. */
export type Precision = "f32" | "f16";

/** Which adapter is opened, and how. */
export interface GpuOptions {
  /** `hardware`, `lavapipe`, `swiftshader`, `null` or part of a name; default `POTSTILL_ADAPTER`, else the best. */
  adapter?: string | undefined;
  /** `safe` (default): everything is checked. `fast`: nothing is; only for work that ran under `safe`. */
  checks?: Checks | undefined;
  /** How programs store large intermediate tensors: `f32` (default), or `f16`, which halves what moves. */
  precision?: Precision | undefined;
  /** lavapipe's threads. `one` suits programs of tiny kernels, where waking a core costs more than the work. */
  threads?: "one" | "all" | undefined;
  /** Is told how long everything takes, which makes it slower: every dispatch is a pass of its own. */
  profiler?: Profiler | undefined;
}

/** What an open adapter is and can do. */
export interface AdapterFacts {
  name: string;
  vendor: string;
  architecture: string;
  driver: string;
  backend: string;
  /** Whether a CPU does the work; on the null backend nothing does. */
  software: boolean;
  kind: AdapterKind;
  /** What the device was opened with, sorted. */
  features: string[];
  limits: Record<string, number>;
  subgroupSize: { min: number; max: number } | null;
  /** Rows, columns and terms of the f16 matrices that subgroups multiply into f32, if they do. */
  matrix: { m: number; n: number; k: number } | null;
  checks: Checks;
  precision: Precision;
  timestamps: boolean;
  webgpuVersion: string;
}

/** The device was lost, or closed, before what was waited for came. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError";
}

/** Dawn's toggles for a way of opening; a toggle that is neither in `on` nor in `off` stays as it is. */
function togglesFor({ checks, precision, profiler }: GpuOptions): string[] {
  const on = ["allow_unsafe_apis"];
  const off: string[] = [];
  // Hidden from NVIDIA's drivers otherwise.
  if (precision === "f16" || checks === "fast") on.push("vulkan_enable_f16_on_nvidia");
  // Timestamps come in steps of 65 µs otherwise.
  if (profiler || checks === "fast") off.push("timestamp_quantization");
  if (checks === "fast") {
    on.push("skip_validation", "disable_robustness", "disable_workgroup_init");
    on.push("disable_polyfills_on_integer_div_and_mod");
    off.push("lazy_clear_resource_on_first_use", "enable_spirv_validation");
  }
  return [
    `enable-dawn-features=${on.join(",")}`,
    ...(off.length > 0 ? [`disable-dawn-features=${off.join(",")}`] : []),
  ];
}

/** Immediates need none of them: they are a language feature of WGSL and the limit `maxImmediateSize`. */
const USEFUL_FEATURES = [
  "timestamp-query",
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
  "chromium-experimental-timestamp-query-inside-passes",
] as GPUFeatureName[];

/**
 * All that `create()` returned. Dawn's turns of the event loop do not keep it alive: one that comes after it was
 * collected, even after its device was destroyed, hangs the process or takes it down. Kept, it costs no more
 * memory than released.
 */
const roots: GPU[] = [];

const devices = new Set<GPUDevice>();
// One that works while the process ends from within takes that down, too.
process.on("exit", () => {
  for (const device of devices) device.destroy();
});

/** Devices whose one thread has a core of its own. */
const single = new Set<GPUDevice>();

/** The previous opening: the environment belongs to one at a time. */
let opening: Promise<unknown> = Promise.resolve();

/** An open device. Hold it by `using`: Dawn's threads and memory are given back when it is disposed. */
export class Gpu implements Disposable {
  readonly device: GPUDevice;
  readonly facts: AdapterFacts;
  /** Resolves when the device is lost, or has been disposed (reason `destroyed`). */
  readonly lost: Promise<GPUDeviceLostInfo>;
  /** Takes times for the profiler that the device was opened with. @internal */
  readonly timer: Timer | undefined;
  /** Compiles on other cores what the device is about to need. @internal */
  readonly ahead: Ahead | undefined;
  /** Bytes of all programs that are compiled and not disposed. */
  allocated = 0;
  readonly #waiting = new Set<(reason: DeviceLostError) => void>();
  readonly #captured: string[] = [];
  #loss: DeviceLostError | undefined;

  /**
   * Opens the adapter that `options.adapter` or `POTSTILL_ADAPTER` names, or the best there is, with its own
   * limits, and makes WebGPU's constants global. Processes may open several, of different drivers too.
   * Throws {@link AdapterError}.
   */
  static open(options: GpuOptions = {}): Promise<Gpu> {
    const { threads } = options;
    const variables =
      threads === undefined ? {} : { LP_NUM_THREADS: threads === "one" ? "0" : undefined };
    const opened = opening.then(() => withEnvironment(variables, () => Gpu.#open(options)));
    opening = opened.catch(() => undefined);
    return opened;
  }

  static async #open(options: GpuOptions): Promise<Gpu> {
    const { adapter: wanted, checks = "safe", precision = "f32", profiler } = options;
    const flags = togglesFor(options);
    const { create, globals } = await importWebgpu();
    Object.assign(globalThis, globals);
    const choice = await chooseAdapter(
      (more) => {
        const root = create([...flags, ...more]);
        roots.push(root);
        return root;
      },
      wanted ?? process.env["POTSTILL_ADAPTER"] ?? "",
    );
    if (precision === "f16" && !choice.adapter.features.has("shader-f16"))
      throw new AdapterError(
        `adapter: precision f16 needs an adapter with shader-f16, got ${choice.name} without`,
      );
    const device = await openDevice(choice.adapter);
    const facts = factsOf(choice, device, { checks, precision });
    // lavapipe alone compiles when it first dispatches; a profiler is to see what there is to see.
    const helps = facts.kind === "lavapipe" && availableParallelism() > 1 && !profiler;
    const ahead = helps ? new Ahead(() => Gpu.open(options)) : undefined;
    return new Gpu(device, facts, profiler, ahead);
  }

  private constructor(
    device: GPUDevice,
    facts: AdapterFacts,
    profiler: Profiler | undefined,
    ahead: Ahead | undefined,
  ) {
    this.device = device;
    this.facts = facts;
    this.ahead = ahead;
    this.lost = device.lost;
    this.timer = profiler && new Timer(this, profiler);
    if (facts.kind === "lavapipe" && process.env["LP_NUM_THREADS"] === "0") single.add(device);
    device.addEventListener("uncapturederror", (event) => {
      // Dawn would print it to the standard output.
      event.preventDefault();
      this.#captured.push(event.error.message);
    });
    void this.lost.then(({ reason, message }) => {
      single.delete(device);
      this.#lose(`lost (${reason}): ${message}`);
    });
  }

  /**
   * Waits for a promise of the device; on a CPU, without keeping a core busy meanwhile.
   * Throws an Error with Dawn's message where a call since the last wait was invalid or out of memory, which
   * explains a rejection better than the rejection itself, and {@link DeviceLostError} once the device is gone.
   */
  async settled<T>(promise: Promise<T>): Promise<T> {
    const resume = this.#slowsPolling() ? slowPolling() : undefined;
    let outcome: { value: T } | { error: unknown };
    try {
      outcome = { value: await this.#unlessLost(promise) };
    } catch (error) {
      outcome = { error };
    } finally {
      resume?.();
    }
    const [first, ...others] = this.#captured.splice(0);
    // Of a device that is gone every call is invalid.
    if (first !== undefined && !this.#loss) {
      const more = others.length > 0 ? ` (and ${others.length} more)` : "";
      const message = `gpu: every call must be valid, got ${first.trim()}${more}`;
      throw new Error(message, "error" in outcome ? { cause: outcome.error } : {});
    }
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }

  /** Waits until all queued work is done, and known to the profiler if there is one. Throws as {@link settled}. */
  async idle(): Promise<void> {
    await this.settled(this.device.queue.onSubmittedWorkDone());
    await this.timer?.collect();
  }

  /** Destroys the device; whoever waits for it gets a {@link DeviceLostError}. */
  [Symbol.dispose](): void {
    this.#lose("disposed");
    this.ahead?.[Symbol.dispose]();
    this.device.destroy();
  }

  /** lavapipe's single threads lose nothing to the polling while one core is left for it, and short waits gain. */
  #slowsPolling(): boolean {
    const spare = single.has(this.device) && single.size < availableParallelism();
    return this.facts.software && !spare;
  }

  async #unlessLost<T>(promise: Promise<T>): Promise<T> {
    let abandon: (reason: DeviceLostError) => void = () => undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        promise.then(resolve, reject);
        if (this.#loss) reject(this.#loss);
        abandon = reject;
        this.#waiting.add(abandon);
      });
    } catch (error) {
      // Dawn may abort what is pending before it tells of the loss.
      if (isAbort(error)) await Promise.race([this.lost, sleep(10, undefined, { ref: false })]);
      throw this.#loss ?? error;
    } finally {
      this.#waiting.delete(abandon);
    }
  }

  #lose(how: string): void {
    this.#loss ??= new DeviceLostError(
      `gpu: the device must stay open while in use, got it ${how}`,
    );
    for (const reject of this.#waiting) reject(this.#loss);
  }
}

/** A device with all that its adapter offers and programs can use. */
async function openDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const device = await adapter.requestDevice({
    requiredFeatures: USEFUL_FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: numbersOf(adapter.limits),
  });
  devices.add(device);
  void device.lost.finally(() => devices.delete(device));
  return device;
}

const isAbort = (error: unknown) => error instanceof Error && error.name === "AbortError";

async function importWebgpu(): Promise<typeof import("webgpu")> {
  try {
    return await import("webgpu");
  } catch (cause) {
    const here = `${process.platform}-${process.arch}`;
    const message = `adapter: the package webgpu must load, got ${String(cause)} on ${here}`;
    throw new AdapterError(message, { cause });
  }
}

/** Dawn's limits are getters of the prototype, which only `in` enumerates. */
function numbersOf(limits: GPUSupportedLimits): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const key in limits) {
    const value: unknown = limits[key as keyof GPUSupportedLimits];
    if (typeof value === "number") numbers[key] = value;
  }
  return numbers;
}

function factsOf(
  choice: Choice,
  device: GPUDevice,
  chosen: Pick<AdapterFacts, "checks" | "precision">,
): AdapterFacts {
  const { info } = choice.adapter;
  const features = [...device.features].sort();
  const { subgroupMinSize: min, subgroupMaxSize: max } = info;
  const hasSizes = features.includes("subgroups") && min !== undefined && max !== undefined;
  const manifest: unknown = createRequire(import.meta.url)("webgpu/package.json");
  return {
    name: choice.name,
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    backend: choice.backend,
    software: choice.kind !== "hardware",
    kind: choice.kind,
    features,
    limits: numbersOf(device.limits),
    subgroupSize: hasSizes ? { min, max } : null,
    matrix: features.includes("chromium-experimental-subgroup-matrix") ? matrixOf(info) : null,
    ...chosen,
    // The null backend offers them and writes none.
    timestamps: features.includes("timestamp-query") && choice.kind !== "null",
    webgpuVersion: (manifest as { version: string }).version,
  };
}

/** What Dawn tells of subgroup matrices and the types do not know yet. */
interface MatrixInfo {
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

function matrixOf(info: GPUAdapterInfo & MatrixInfo): AdapterFacts["matrix"] {
  const configs = [...(info.subgroupMatrixConfigs ?? [])];
  const found = configs.find((c) => c.componentType === "f16" && c.resultComponentType === "f32");
  return found ? { m: found.M, n: found.N, k: found.K } : null;
}
