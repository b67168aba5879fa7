/** @file The adapter that our engine would open, as `navigator.gpu`, where browsers' frameworks look for theirs. */
import { availableParallelism } from "node:os";
import { create, globals } from "webgpu";
import { chooseAdapter } from "../../engine/gpu/adapter.ts";

/** What `create()` returned: it must outlive every device opened from it. */
const roots: GPU[] = [];

/** Makes WebGPU global as a browser does, with one adapter. @throws AdapterError when there is none. */
export async function installNavigator(
  wanted: string,
): Promise<{ readonly name: string; readonly driver: string }> {
  Object.assign(globalThis, globals);
  const { root, adapter, name } = await chooseAdapter((flags) => create(flags), wanted);
  roots.push(root);
  setNavigator({ gpu: root });
  return { name, driver: adapter.info.description };
}

/** What frameworks ask of a browser: who it is, and how many cores there are. */
export function setNavigator(more: { readonly gpu?: GPU } = {}): void {
  const navigator = {
    userAgent: `Node.js/${process.versions.node}`,
    hardwareConcurrency: availableParallelism(),
    ...more,
  };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
}
