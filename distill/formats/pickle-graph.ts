/** @file What a pickle built is a finite tree, and not one that only looks small. */
import type { Refuse } from "./source.ts";

const MOST_DEPTH = 100;

/**
 * Refuses a value that contains itself, is nested too deep to be walked, or would have more than
 * `mostValues` parts if everything that it shares were written out.
 */
export function checkGraph(root: unknown, mostValues: number, refuse: Refuse): void {
  /** Parts of containers that were walked whole. */
  const sizes = new Map<object, number>();
  const open = new Set<object>();
  const path: {
    readonly node: object;
    readonly rest: Iterator<unknown, unknown>;
    parts: number;
  }[] = [];
  const add = (parts: number): void => {
    const parent = path.at(-1);
    if (parent === undefined) return;
    parent.parts += parts;
    if (parent.parts > mostValues) refuse(`a pickle must have at most ${mostValues} parts`, "more");
  };
  /** Adds a value to the container that is being walked, or starts to walk it. */
  const visit = (value: unknown): void => {
    const node = isContainer(value) ? value : undefined;
    const known = node === undefined ? 1 : sizes.get(node);
    if (node === undefined || known !== undefined) {
      add(known!);
      return;
    }
    if (open.has(node)) refuse("a pickle's lists must not contain themselves", "one that does");
    if (path.length >= MOST_DEPTH) {
      refuse(`a pickle must be nested at most ${MOST_DEPTH} deep`, "more");
    }
    open.add(node);
    path.push({ node, rest: node.values(), parts: 1 });
  };
  visit(root);
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const next = top.rest.next();
    if (next.done !== true) {
      visit(next.value);
      continue;
    }
    path.pop();
    open.delete(top.node);
    sizes.set(top.node, top.parts);
    add(top.parts);
  }
}

function isContainer(value: unknown): value is readonly unknown[] | Map<unknown, unknown> {
  return Array.isArray(value) || value instanceof Map;
}
