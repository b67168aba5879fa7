/** @file A Python with a module, where there is one; tests that need it are skipped elsewhere. */
import { spawnSync } from "node:child_process";

/** The command of a Python 3 that can import `module`, or undefined. Debian's own comes second. */
export function pythonWith(module: string): string | undefined {
  return ["python3", "/usr/bin/python3"].find(
    (command) => spawnSync(command, ["-c", `import ${module}`], { stdio: "ignore" }).status === 0,
  );
}
