/** @file Shader files, and the values of their `const` lines. */
import { readFileSync } from "node:fs";
import type { Stored } from "../graph/tensor.ts";

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
 * A shader with other values in its lines `const NAME: type = value;`, and other element types in its
 * lines `alias NAME = type;`: `T0`, `T1`, … of the bindings that are read, `TY` of the result. Constants,
 * unlike overrides, may size register tiles and let the shader compiler unroll.
 */
export function specialise(
  name: string,
  constants: Readonly<Record<string, number>>,
  types: Readonly<Record<string, Stored>> = {},
): string {
  let source = shaderSource(name);
  const replace = (line: RegExp, text: string, what: string): void => {
    if (!line.test(source)) throw new Error(`internal: shaders/${name}.wgsl has no line "${what}"`);
    source = source.replace(line, text);
  };
  for (const [constant, value] of Object.entries(constants))
    replace(
      new RegExp(`^const ${constant}: (\\w+) = .*;$`, "m"),
      `const ${constant}: $1 = ${value};`,
      `const ${constant}: … = …;`,
    );
  for (const [alias, type] of Object.entries(types))
    replace(
      new RegExp(`^alias ${alias} = \\w+;$`, "m"),
      `alias ${alias} = ${type};`,
      `alias ${alias} = …;`,
    );
  return Object.values(types).includes("f16") ? `enable f16;\n${source}` : source;
}
