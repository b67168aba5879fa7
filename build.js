/** @file Copies into dist what tsc does not: shaders, the digits, the shipped recipes. */
import { cpSync } from "node:fs";

for (const path of ["shaders", "distill/data/digits.csv.gz", "distill/recipes"])
  cpSync(path, `dist/${path}`, { recursive: true });
