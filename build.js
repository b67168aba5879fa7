/** @file Puts into dist what tsc does not: shaders, the digits, the shipped recipes, the report's page. */
import { cpSync, writeFileSync } from "node:fs";
import { bundlePage } from "./dist/distill/report/document.js";

for (const path of ["shaders", "distill/data/digits.csv.gz", "distill/recipes"])
  cpSync(path, `dist/${path}`, { recursive: true });

const { script, style } = await bundlePage("distill/report/page");
writeFileSync("dist/distill/report/page.js", script);
writeFileSync("dist/distill/report/page.css", style);
