/** @file Who is compared: names, the processes that stand for them, and how those open. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { openGpuJs } from "./gpujs.ts";
import { openJax, type Variant } from "./jax.ts";
import { openOurs } from "./ours.ts";
import type { OpenOptions, Peer } from "./peer.ts";
import { openTensorFlow } from "./tensorflow.ts";
import type { Task } from "./tasks.ts";

type Opener = (options: OpenOptions) => Promise<Peer>;

const plain: Variant = { convolution: "own", compiled: "nothing", images: "closure" };
const products: Variant = { ...plain, convolution: "products" };

/** Peers that run in Node, and the kinds of task that a variant is for; all kinds when absent. */
const nodePeers: Readonly<
  Record<string, { readonly open: Opener; readonly only?: readonly Task["kind"][] }>
> = {
  ours: { open: openOurs },
  "gpu.js webgpu": { open: (options) => openGpuJs("webgpu", options) },
  "gpu.js cpu": { open: (options) => openGpuJs("cpu", options) },
  "tfjs webgpu": { open: (options) => openTensorFlow("webgpu", "patched", options) },
  "tfjs wasm": { open: (options) => openTensorFlow("wasm", "patched", options) },
  "tfjs wasm rewritten": {
    open: (options) => openTensorFlow("wasm", "rewritten", options),
    only: ["conv", "teacher step", "iteration"],
  },
  "tfjs cpu": { open: (options) => openTensorFlow("cpu", "patched", options) },
  "tfjs wasm, as published": {
    open: (options) => openTensorFlow("wasm", "published", options),
    only: ["teacher step", "iteration"],
  },
  "tfjs webgpu, as published": {
    open: (options) => openTensorFlow("webgpu", "published", options),
    only: ["iteration"],
  },
  "tfjs wasm, rules added": {
    open: (options) => openTensorFlow("wasm", "added", options),
    only: ["iteration"],
  },
  "jax-js webgpu": { open: (options) => openJax("webgpu", { ...plain, compiled: "all" }, options) },
  // Compiled for wasm, its convolution takes in the padding and then runs twelve times slower.
  "jax-js wasm": { open: (options) => openJax("wasm", plain, options) },
  "jax-js wasm rewritten": {
    open: (options) => openJax("wasm", { ...products, compiled: "first order" }, options),
    only: ["conv", "teacher step", "iteration"],
  },
  "jax-js wasm rewritten, compiled": {
    open: (options) => openJax("wasm", { ...products, compiled: "all" }, options),
    only: ["iteration"],
  },
  "jax-js wasm, images an argument": {
    open: (options) => openJax("wasm", { ...products, images: "argument" }, options),
    only: ["iteration"],
  },
};

const torchPeers: Readonly<Record<string, string>> = { "torch cpu": "cpu", "torch cuda": "cuda" };

export const peerNames: readonly string[] = [...Object.keys(nodePeers), ...Object.keys(torchPeers)];

/** Whether a peer takes part in rows of a kind. */
export const takes = (peer: string, kind: Task["kind"]): boolean =>
  nodePeers[peer]?.only?.includes(kind) ?? true;

/** Whether a peer comes from the packages in this folder. */
export const isInstalledHere = (peer: string): boolean => peer !== "ours" && peer in nodePeers;

/** Opens a peer in this process. @throws RangeError for a name that has none. */
export function openPeer(name: string, options: OpenOptions): Promise<Peer> {
  const peer = nodePeers[name];
  if (!peer)
    throw new RangeError(
      `peer: must be one of ${Object.keys(nodePeers).join(", ")}, got "${name}"`,
    );
  return peer.open(options);
}

/** Where PyTorch is looked for. */
export const pythonsFor = (given: string | undefined): readonly string[] =>
  given === undefined ? ["python3", "/usr/bin/python3"] : [given];

/** The first Python of the list that has PyTorch, for the device; undefined where none has. */
export function pythonWithTorch(candidates: readonly string[], device: string): string | undefined {
  const check =
    device === "cuda" ? "import torch; assert torch.cuda.is_available()" : "import torch";
  return candidates.find((python) => {
    try {
      execFileSync(python, ["-c", check], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
}

/** The command line of a peer's process, or why there is none. */
export function commandOf(
  peer: string,
  pythons: readonly string[],
): { readonly command: readonly [string, ...string[]] } | { readonly absent: string } {
  const device = torchPeers[peer];
  const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  if (device === undefined)
    return { command: [process.execPath, ...process.execArgv, file("child.ts"), peer] };
  const python = pythonWithTorch(pythons, device);
  if (python === undefined)
    return {
      absent: `no ${pythons.join(" or ")} has PyTorch${device === "cuda" ? " and a CUDA GPU" : ""}`,
    };
  return { command: [python, file("torch_peer.py"), device] };
}
