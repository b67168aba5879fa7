/** @file Shader files, and the values of their `const` lines. */
import { readFileSync } from "node:fs";

const sources = new Map<string, string>();

/** The text of `shaders/<name>.wgsl`. */
export function shaderSource(name: string): string {
  let source = sources.get(name);
  if (source === undefined) {
    source = readFileSync(new URL(`../../shaders/${name}.wgsl`, import.meta.url), "utf8");
    sources.set(name, source);
  }
  return source;
}

/**
 * A shader with other values in its lines `const NAME: type = value;`. Constants, unlike
 * overrides, may size register tiles and let the shader compiler unroll.
 */
export function specialise(name: string, constants: Readonly<Record<string, number>>): string {
  let source = shaderSource(name);
  for (const [constant, value] of Object.entries(constants)) {
    const line = new RegExp(`^const ${constant}: (\\w+) = .*;$`, "m");
    if (!line.test(source))
      throw new Error(`internal: shaders/${name}.wgsl has no line "const ${constant}: … = …;"`);
    source = source.replace(line, `const ${constant}: $1 = ${value};`);
  }
  return source;
}
