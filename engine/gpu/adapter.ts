/** @file Which adapter is opened: hardware first, then an installed driver for the CPU, then the bundled one. */

import { isMainThread } from "node:worker_threads";

import { bundledArchive, bundledSwiftShader, vulkanLoaderIsThere } from "./swiftshader.ts";

/** Kinds of adapters: a GPU, a CPU by one of several drivers, or nothing that computes. */
export type AdapterKind = "hardware" | "lavapipe" | "swiftshader" | "software" | "null";

/** No adapter, or none of the name asked for. */
export class AdapterError extends Error {
  override readonly name = "AdapterError";
}

/** An adapter, and the object `create()` returned, which has to outlive every device opened from it. */
export interface Choice {
  root: GPU;
  adapter: GPUAdapter;
  backend: string;
  name: string;
  kind: AdapterKind;
}

/** Dawn's `create` with the toggles already in it. */
export type Create = (flags: string[]) => GPU;

/** Sets environment variables, for C code too (main thread only), while `work` runs; undefined removes one. */
export async function withEnvironment<T>(
  variables: Record<string, string | undefined>,
  work: () => Promise<T>,
): Promise<T> {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  assign(Object.entries(variables));
  try {
    return await work();
  } finally {
    assign(before);
  }
}

function assign(values: (readonly [string, string | undefined])[]): void {
  for (const [name, value] of values) {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
}

/**
 * The adapter `wanted` names: `hardware`, `lavapipe`, `swiftshader`, `null`, any part of a name or of a
 * driver's description in any case; empty for the best there is. Throws {@link AdapterError}.
 */
export async function chooseAdapter(create: Create, wanted: string): Promise<Choice> {
  const choice = await find(create, wanted.trim().toLowerCase());
  if (choice) return choice;
  const there = (await listAdapters(create)).map(({ name }) => name);
  if (bundledArchive() !== undefined) there.push("the bundled swiftshader");
  if (there.length === 0) {
    throw new AdapterError(
      "adapter: one must be present, got none: install a GPU driver with Vulkan, Metal or D3D12, " +
        "or Debian's mesa-vulkan-drivers of version 23 or later (in bookworm-backports), " +
        "or run `npm install @sparticuz/chromium@147.0.0`",
    );
  }
  throw new AdapterError(
    "adapter: must be hardware, lavapipe, swiftshader, null or part of an adapter's name, " +
      `got "${wanted}" where there is ${there.join(" and ")}`,
  );
}

async function find(create: Create, wanted: string): Promise<Choice | undefined> {
  switch (wanted) {
    case "":
      return (await best(create)) ?? askBundled(create);
    case "hardware": {
      const choice = await best(create);
      return choice?.kind === "hardware" ? choice : undefined;
    }
    case "lavapipe":
    case "llvmpipe":
      return ask(create, "vulkan", "llvmpipe");
    case "swiftshader":
      return (await askBundled(create)) ?? ask(create, "vulkan", "SwiftShader");
    case "null":
      return ask(create, "null");
    default:
      return named(create, wanted);
  }
}

/** The first GPU, else the first CPU. Within a backend Dawn itself puts discrete GPUs first and CPUs last. */
async function best(create: Create): Promise<Choice | undefined> {
  const backends: Partial<Record<NodeJS.Platform, string[]>> = {
    darwin: ["metal"],
    win32: ["d3d12", "vulkan"],
  };
  let software: Choice | undefined;
  for (const backend of backends[process.platform] ?? ["vulkan"]) {
    const choice = await ask(create, backend);
    if (choice?.kind === "hardware") return choice;
    software ??= choice;
  }
  return software;
}

async function named(create: Create, part: string): Promise<Choice | undefined> {
  const adapters = await listAdapters(create);
  const match = adapters.find(({ name }) => name.toLowerCase().includes(part));
  if (match) return ask(create, match.backend, match.name);
  for (const { backend, name } of adapters) {
    const choice = await ask(create, backend, name);
    if (choice?.adapter.info.description.toLowerCase().includes(part)) return choice;
  }
  return undefined;
}

/** Undefined where the package is missing. Throws {@link AdapterError} where its driver does not open. */
async function askBundled(create: Create): Promise<Choice | undefined> {
  const icd = bundledSwiftShader();
  if (icd === undefined) return undefined;
  // Read whenever an instance is made, so other drivers can be opened before and after.
  const variables = { VK_ICD_FILENAMES: icd, VK_DRIVER_FILES: icd };
  const choice = await withEnvironment(variables, () => ask(create, "vulkan", "SwiftShader"));
  if (choice) return choice;
  const worker = isMainThread ? "" : "; a worker thread has to be started with env: SHARE_ENV";
  throw new AdapterError(`adapter: ${icd} must open, got no adapter from it${worker}`);
}

/** The best adapter of a backend whose name contains `name`, or undefined. */
async function ask(create: Create, backend: string, name = ""): Promise<Choice | undefined> {
  // Dawn would find none either, after printing warnings.
  if (backend === "vulkan" && !vulkanLoaderIsThere()) return undefined;
  const root = create([`backend=${backend}`, ...(name ? [`adapter=${name}`] : [])]);
  // Rejected where there are only others, null where there is none.
  const adapter = await root
    .requestAdapter({ powerPreference: "high-performance" })
    .catch(() => null);
  if (!adapter) return undefined;
  const kind = kindOf(backend, adapter.info);
  return { root, adapter, backend, kind, name: await fullName(create, adapter.info, kind) };
}

function kindOf(backend: string, info: GPUAdapterInfo): AdapterKind {
  const text = `${info.device} ${info.description}`.toLowerCase();
  if (backend === "null") return "null";
  if (text.includes("llvmpipe")) return "lavapipe";
  if (text.includes("swiftshader")) return "swiftshader";
  return info.isFallbackAdapter ? "software" : "hardware";
}

/** The name behind the slug `info.device`; CPUs keep the slug, since lavapipe prints warnings at every listing. */
async function fullName(create: Create, info: GPUAdapterInfo, kind: AdapterKind): Promise<string> {
  const slug = info.device.replace(/-$/, "");
  if (kind !== "hardware") return slug;
  const isIt = (name: string) =>
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/-$/, "") === slug;
  return (await listAdapters(create)).find(({ name }) => isIt(name))?.name ?? slug;
}

/** Every adapter of the machine. Dawn tells their names only when asked for one that does not exist. */
async function listAdapters(create: Create): Promise<{ backend: string; name: string }[]> {
  if (!vulkanLoaderIsThere()) return [];
  try {
    await create(["adapter=(list)"]).requestAdapter();
    return [];
  } catch (error) {
    const lines = String(error).matchAll(/backend: '([^']*)', name: '(.*)'$/gm);
    return Array.from(lines, ([, backend = "", name = ""]) => ({ backend, name }));
  }
}
