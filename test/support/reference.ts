/** @file What a program must do, by the interpreter: all assignments of a procedure at once. */

import { interpret, type Procedure, type Values } from "../../engine/index.ts";

/** The variables after `times` runs of a procedure, numbered from `first`, as f32 keeps them. */
export function runReference(procedure: Procedure, values: Values, times = 1, first = 0): Values {
  const names = Object.keys(procedure);
  let current = values;
  for (let time = 0; time < times; time++) {
    const results = interpret(Object.values(procedure), { ...current, repeat: [first + time] });
    const next = names.map((name, i) => [name, Float32Array.from(results[i]!)] as const);
    current = { ...current, ...Object.fromEntries(next) };
  }
  return current;
}
