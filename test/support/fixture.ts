/** @file The files that Python wrote (`fixtures/make.py`), and the rules that their values follow. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const fixturePath = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

export const fixture = (name: string): Buffer => readFileSync(fixturePath(name));

/** Elements of a type as make.py's `ramp` and `tensor` make them. */
export function ramp(dtype: string, count: number): number[] {
  const float = /^b?float/.test(dtype);
  const signed = float || dtype.startsWith("int");
  return Array.from({ length: count }, (_, i) => {
    if (dtype === "bool") return i % 2;
    return (i - (signed ? 3 : 0)) / (float ? 4 : 1);
  });
}
