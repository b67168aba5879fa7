/** @file Compiled shaders, one for each text, shared by all programs of a device. */
import type { Gpu } from "./device.ts";

const caches = new WeakMap<Gpu, Map<string, Promise<GPUComputePipeline>>>();

/**
 * The pipeline of a shader's `main`; equal texts are compiled once.
 * @throws Error with the compiler's message and the line of the shader that it speaks of.
 */
export function pipelineFor(gpu: Gpu, code: string, label: string): Promise<GPUComputePipeline> {
  let cache = caches.get(gpu);
  if (!cache) caches.set(gpu, (cache = new Map<string, Promise<GPUComputePipeline>>()));
  let pipeline = cache.get(code);
  if (!pipeline) cache.set(code, (pipeline = compile(gpu, code, label)));
  return pipeline;
}

async function compile(gpu: Gpu, code: string, label: string): Promise<GPUComputePipeline> {
  const { device } = gpu;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code, label });
  const scope = device.popErrorScope();
  const { messages } = await gpu.settled(module.getCompilationInfo());
  await gpu.settled(scope);
  const error = messages.find((message) => message.type === "error");
  if (error) {
    const line = code.split("\n")[error.lineNum - 1] ?? "";
    throw new Error(
      `internal: shader ${label}, line ${error.lineNum}: ${error.message}: ${line.trim()}`,
    );
  }
  return gpu.settled(
    device.createComputePipelineAsync({
      label,
      layout: "auto",
      compute: { module, entryPoint: "main" },
    }),
  );
}
