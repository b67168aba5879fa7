/**
 * @file Symbolic index arithmetic: sums of integer multiples of atoms with known bounds.
 * Quotients and remainders of a split axis cancel here, so that a chain of reshapes, slices and
 * pads costs a kernel nothing that can be known when it is compiled.
 */
import type { Tensor } from "./tensor.ts";

/** A non-negative unknown: a loop variable, a quotient or remainder, or an index read from a tensor. */
export interface Atom {
  readonly key: string;
  /** Largest value; the smallest is 0. */
  readonly max: number;
  readonly kind:
    | { readonly is: "variable"; readonly name: string }
    | { readonly is: "quotient" | "remainder"; readonly of: Ix; readonly by: number }
    | { readonly is: "load"; readonly from: Tensor; readonly at: readonly Ix[] };
}

interface Term {
  readonly atom: Atom;
  readonly times: number;
}

/** `lower <= ix < upper`. */
export interface Within {
  readonly ix: Ix;
  readonly lower: number;
  readonly upper: number;
}

/** One element of an input, valid where all conditions hold. */
export interface Pick {
  readonly input: number;
  readonly index: readonly Ix[];
  readonly when: readonly Within[];
}

/** An index: `offset + Σ times · atom`. Immutable; equal values have equal keys. */
export class Ix {
  readonly terms: readonly Term[];
  readonly offset: number;
  private knownKey: string | undefined;
  private knownBounds: { readonly min: number; readonly max: number } | undefined;

  /** `isNormal` says that no two terms can be joined, and that they are in order. */
  constructor(terms: readonly Term[], offset: number, isNormal = false) {
    const kept = isNormal ? terms : terms.filter((term) => term.times !== 0);
    const sum = isNormal || kept.length < 2 ? { terms: kept, offset } : normalised(kept, offset);
    this.terms = sum.terms;
    this.offset = sum.offset;
  }

  get key(): string {
    this.knownKey ??=
      this.terms.map(({ atom, times }) => `${times}*${atom.key}`).join("+") + `+${this.offset}`;
    return this.knownKey;
  }

  get min(): number {
    return this.bounds().min;
  }

  get max(): number {
    return this.bounds().max;
  }

  private bounds(): { readonly min: number; readonly max: number } {
    if (this.knownBounds) return this.knownBounds;
    let [min, max] = [this.offset, this.offset];
    for (const { atom, times } of this.terms)
      if (times > 0) max += times * atom.max;
      else min += times * atom.max;
    return (this.knownBounds = { min, max });
  }

  static constant(value: number): Ix {
    return new Ix([], value);
  }

  /** A loop variable that runs over `0 … count - 1`. */
  static variable(name: string, count: number): Ix {
    if (count === 1) return Ix.constant(0);
    const atom: Atom = { key: name, max: count - 1, kind: { is: "variable", name } };
    return new Ix([{ atom, times: 1 }], 0);
  }

  /** An index read from tensor `from`, which must hold values below `count`. */
  static load(from: Tensor, at: readonly Ix[], count: number): Ix {
    const key = `t${from.id}[${at.map((ix) => ix.key).join(",")}]`;
    return new Ix([{ atom: { key, max: count - 1, kind: { is: "load", from, at } }, times: 1 }], 0);
  }

  get isConstant(): boolean {
    return this.terms.length === 0;
  }

  plus(other: Ix | number): Ix {
    if (typeof other === "number") return new Ix(this.terms, this.offset + other, true);
    if (other.isConstant) return this.plus(other.offset);
    if (this.isConstant) return other.plus(this.offset);
    const sum = new Map<string, Term>();
    for (const term of [...this.terms, ...other.terms]) {
      const times = (sum.get(term.atom.key)?.times ?? 0) + term.times;
      sum.set(term.atom.key, { atom: term.atom, times });
    }
    return new Ix([...sum.values()], this.offset + other.offset);
  }

  times(factor: number): Ix {
    return new Ix(
      this.terms.map(({ atom, times }) => ({ atom, times: times * factor })),
      this.offset * factor,
      factor !== 0,
    );
  }

  /** Splits into `whole · by + rest`, `whole` taking every multiple of `by`. */
  split(by: number): { whole: Ix; rest: Ix } {
    const whole = this.terms.filter((t) => t.times % by === 0);
    const rest = this.terms.filter((t) => t.times % by !== 0);
    const offset = Math.floor(this.offset / by);
    return {
      whole: new Ix(
        whole.map(({ atom, times }) => ({ atom, times: times / by })),
        offset,
        true,
      ),
      rest: new Ix(rest, this.offset - offset * by, true),
    };
  }

  /** ⌊this / by⌋ for an index that is not negative. */
  over(by: number): Ix {
    if (by === 1) return this;
    const { whole, rest } = this.split(by);
    if (rest.min >= 0 && rest.max < by) return whole;
    if (rest.min < 0) return wrapped("quotient", this, by);
    const inner = innerSplit(rest, by);
    if (inner) return whole.plus(inner.whole.over(by / inner.step));
    return whole.plus(wrapped("quotient", rest, by));
  }

  /** The remainder of division by `by`, for an index that is not negative. */
  modulo(by: number): Ix {
    if (by === 1) return Ix.constant(0);
    const { rest } = this.split(by);
    if (rest.min >= 0 && rest.max < by) return rest;
    if (rest.min < 0) return wrapped("remainder", this, by);
    const inner = innerSplit(rest, by);
    if (inner)
      return inner.whole
        .modulo(by / inner.step)
        .times(inner.step)
        .plus(inner.rest);
    return wrapped("remainder", rest, by);
  }

  /** Whether the variable `name` takes part. */
  mentions(name: string): boolean {
    return this.terms.some(({ atom: { kind } }) => {
      switch (kind.is) {
        case "variable":
          return kind.name === name;
        case "load":
          return kind.at.some((ix) => ix.mentions(name));
        case "quotient":
        case "remainder":
          return kind.of.mentions(name);
      }
    });
  }

  /** The index with the variable `name` set to `value`. */
  with(name: string, value: number): Ix {
    if (!this.mentions(name)) return this;
    return this.terms.reduce(
      (sum, { atom, times }) => sum.plus(atomWith(atom, name, value).times(times)),
      Ix.constant(this.offset),
    );
  }

  /** The value for given values of the variables; index tensors are not followed. */
  evaluate(values: ReadonlyMap<string, number>): number {
    let sum = this.offset;
    for (const { atom, times } of this.terms) sum += times * evaluateAtom(atom, values);
    return sum;
  }
}

type Sum = { readonly terms: readonly Term[]; readonly offset: number };

const byKey = (a: Term, b: Term): number => (a.atom.key < b.atom.key ? -1 : 1);

/** Undoes division: k·by·⌊a / by⌋ + k·(a mod by) is k·a, if a is an atom or a multiple of one. */
function normalised(terms: readonly Term[], offset: number): Sum {
  for (const { atom, times } of terms) {
    const { kind } = atom;
    if (kind.is !== "remainder") continue;
    const partner = terms.find(
      ({ atom: { kind: k }, times: n }) =>
        k.is === "quotient" &&
        k.by === kind.by &&
        n === times * kind.by &&
        k.of.key === kind.of.key,
    );
    if (!partner) continue;
    const rest = terms.filter((term) => term.atom !== atom && term !== partner);
    return new Ix(rest, offset).plus(kind.of.times(times));
  }
  return { terms: terms.toSorted(byKey), offset };
}

/**
 * `ix = step · whole + rest` with rest < step and step a divisor of `by`, if its terms allow it:
 * then ⌊ix / by⌋ = ⌊whole / (by / step)⌋, which undoes one level of nested splitting.
 */
function innerSplit(ix: Ix, by: number): { step: number; whole: Ix; rest: Ix } | undefined {
  const steps = [...new Set(ix.terms.map((t) => Math.abs(t.times)))].sort((a, b) => b - a);
  for (const step of steps) {
    if (step === 1 || step >= by || by % step !== 0) continue;
    const { whole, rest } = ix.split(step);
    if (rest.min >= 0 && rest.max < step && whole.min >= 0) return { step, whole, rest };
  }
  return undefined;
}

function wrapped(is: "quotient" | "remainder", of: Ix, by: number): Ix {
  const max = is === "quotient" ? Math.floor(of.max / by) : Math.min(by - 1, of.max);
  const key = `(${of.key})${is === "quotient" ? "/" : "%"}${by}`;
  return new Ix([{ atom: { key, max, kind: { is, of, by } }, times: 1 }], 0);
}

function atomWith(atom: Atom, name: string, value: number): Ix {
  const { kind } = atom;
  switch (kind.is) {
    case "variable":
      return kind.name === name ? Ix.constant(value) : new Ix([{ atom, times: 1 }], 0);
    case "load": {
      const at = kind.at.map((ix) => ix.with(name, value));
      return Ix.load(kind.from, at, atom.max + 1);
    }
    case "quotient":
      return kind.of.with(name, value).over(kind.by);
    case "remainder":
      return kind.of.with(name, value).modulo(kind.by);
  }
}

function evaluateAtom({ kind }: Atom, values: ReadonlyMap<string, number>): number {
  switch (kind.is) {
    case "variable": {
      const value = values.get(kind.name);
      if (value === undefined)
        throw new Error(`internal: index variable ${kind.name} has no value`);
      return value;
    }
    case "quotient":
      return Math.floor(kind.of.evaluate(values) / kind.by);
    case "remainder":
      return kind.of.evaluate(values) % kind.by;
    case "load":
      throw new Error("internal: an index tensor cannot be evaluated symbolically");
  }
}

/** Row-major position of `index` in `shape`. */
export function flatten(index: readonly Ix[], shape: readonly number[]): Ix {
  return index.reduce((sum, ix, axis) => sum.times(shape[axis]!).plus(ix), Ix.constant(0));
}

/** The index in `shape` of a row-major position. */
export function unflatten(position: Ix, shape: readonly number[]): Ix[] {
  const index = new Array<Ix>(shape.length);
  let rest = position;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = axis === 0 ? rest : rest.modulo(shape[axis]!);
    rest = rest.over(shape[axis]!);
  }
  return index;
}

/** `true` or `false` when the bounds decide, else the condition. */
export function decide({ ix, lower, upper }: Within): boolean | Within {
  if (ix.min >= lower && ix.max < upper) return true;
  if (ix.max < lower || ix.min >= upper) return false;
  return { ix, lower, upper };
}
