/** @file Which commit a benchmark measured. */
import { execFileSync } from "node:child_process";

/** The commit that is measured, or "unknown" outside a repository; `+` means it was changed since. */
export function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync("git", args, { encoding: "utf8" }).trim();
    return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain") ? "+" : ""}`;
  } catch {
    return "unknown";
  }
}
