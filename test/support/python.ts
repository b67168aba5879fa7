/** @file A Python with a module, where there is one; tests that need it are skipped elsewhere. */
import { spawnSync } from "node:child_process";

import { expect } from "vitest";

/** The command of a Python 3 that has `module`, or undefined. Debian's own comes second. */
export function pythonWith(module: string): string | undefined {
  // Looked for only: PyTorch takes seconds to import.
  const script = `import importlib.util, sys; sys.exit(importlib.util.find_spec("${module}") is None)`;
  return ["python3", "/usr/bin/python3"].find(
    (command) => spawnSync(command, ["-c", script], { stdio: "ignore" }).status === 0,
  );
}

/** The JSON that a program of Python prints, which has `sys` and `json`; its errors must be none. */
export function python(
  command: string,
  lines: readonly string[],
  ...args: readonly string[]
): unknown {
  const script = ["import sys, json", ...lines].join("\n");
  const { stdout, stderr } = spawnSync(command, ["-c", script, ...args], { encoding: "utf8" });
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

/** Lines that make `load_file(path)`: the safetensors package's where it is, else the format in a few lines. */
export const LOAD_SAFETENSORS: readonly string[] = [
  "import torch, struct",
  "try:",
  "  from safetensors.torch import load_file",
  "except ImportError:",
  "  def load_file(path):",
  "    data = open(path, 'rb').read()",
  "    size = struct.unpack('<Q', data[:8])[0]",
  "    header = json.loads(data[8:8 + size])",
  "    header.pop('__metadata__')",
  "    tensors = {}",
  "    for name, entry in header.items():",
  "      begin, end = entry['data_offsets']",
  "      assert entry['dtype'] == 'F32' and (8 + size + begin) % 4 == 0",
  "      flat = torch.frombuffer(bytearray(data[8 + size + begin:8 + size + end]), dtype=torch.float32)",
  "      tensors[name] = flat.reshape(entry['shape'])",
  "    return tensors",
];
