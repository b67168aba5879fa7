/** @file Blocks of a shader under construction: where a value may be declared, and what is known there. */

export interface Value {
  readonly text: string;
  /** Loop variables that the value depends on. */
  readonly deps: ReadonlySet<string>;
}

/** Statements of one block of the shader, with what they have computed. */
export class Scope {
  readonly lines: string[];
  readonly memo = new Map<string, Value>();
  readonly parent: Scope | undefined;
  /** The loop's variable, if this block is a loop's body, else empty. */
  readonly loop: string;
  /** How often the block runs, for counting operations. */
  readonly times: number;

  /** `lines` are another block's when the text goes on there, as an else branch does. */
  constructor(parent?: Scope, { loop = "", times = 1, lines = [] as string[] } = {}) {
    this.parent = parent;
    this.loop = loop;
    this.lines = lines;
    this.times = (parent?.times ?? 1) * times;
  }

  find(key: string): Value | undefined {
    return this.memo.get(key) ?? this.parent?.find(key);
  }

  /** The outermost block in which a value with these dependencies may stand: loops are left, branches not. */
  place(deps: ReadonlySet<string>): Scope {
    const leaves = this.loop !== "" && !deps.has(this.loop);
    return this.parent && leaves ? this.parent.place(deps) : this;
  }
}

/** Depends on nothing. */
export const none: ReadonlySet<string> = new Set();

export function union(...sets: ReadonlySet<string>[]): ReadonlySet<string> {
  const filled = sets.filter((set) => set.size > 0);
  return filled.length <= 1 ? (filled[0] ?? none) : new Set(filled.flatMap((set) => [...set]));
}
