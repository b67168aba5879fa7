/** @file A Python with a module, where there is one; tests that need it are skipped elsewhere. */
import { spawnSync } from "node:child_process";

/** The command of a Python 3 that has `module`, or undefined. Debian's own comes second. */
export function pythonWith(module: string): string | undefined {
  // Looked for only: PyTorch takes seconds to import.
  const script = `import importlib.util, sys; sys.exit(importlib.util.find_spec("${module}") is None)`;
  return ["python3", "/usr/bin/python3"].find(
    (command) => spawnSync(command, ["-c", script], { stdio: "ignore" }).status === 0,
  );
}
