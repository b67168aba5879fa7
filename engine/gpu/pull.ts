/**
 * @file Values of elements in a shader, by "pulling": a tensor is asked for its element at a symbolic
 * index, and asks its inputs for theirs, down to what lies in memory.
 *
 * Four elements that follow each other are one `vec4`: their index contains {@link COMPONENT}, which
 * stands for 0, 1, 2 and 3 at once. What does not depend on it stays a scalar; what cannot be found
 * four at a time (a permuted axis, an edge between two pads) is put together from its parts.
 */
import { decide, flatten, Ix, unflatten, type Atom, type Within } from "../graph/ix.ts";
import type { DType, ElementwiseOp, LayoutOp, ReduceOp, Stored, Tensor } from "../graph/tensor.ts";
import { sizeOf } from "../graph/shape.ts";
import { isRowFold, LONGEST_INLINE } from "./rows.ts";
import { none, Scope, union, type Value } from "./scope.ts";

/** The variable that numbers the elements of a vector. */
export const COMPONENT = "component";

/** A run of memory: part of what is allocated for `root`. */
export interface Storage {
  readonly root: Tensor;
  /** Elements of the allocation before the run. */
  readonly offset: number;
}

/** Memory that a shader reads, element by element or four at a time. */
export interface Binding {
  readonly root: Tensor;
  readonly vector: boolean;
}

/** Why a region cannot be one kernel: `tensor` would have to lie in memory first. */
export class NotFusible extends Error {
  readonly tensor: Tensor;
  constructor(tensor: Tensor) {
    super(`${tensor.op.name} is needed at an index that the region does not hold`);
    this.tensor = tensor;
  }
}

/** What a region tells about its tensors. */
export interface Surroundings {
  /** Where a tensor lies that is in memory when the region starts, or is stored by it; else undefined. */
  readonly storage: (t: Tensor) => Storage | undefined;
  readonly anchors: ReadonlySet<Tensor>;
  /** What the elements of a root are stored as. */
  readonly element: (root: Tensor) => Stored;
  /** Bindings of inputs that the region overwrites, element by element. */
  readonly overwritten: ReadonlyMap<Tensor, { readonly name: string; readonly vector: boolean }>;
  readonly row: Ix;
}

const isVector = (deps: ReadonlySet<string>): boolean => deps.has(COMPONENT);

const VECTORS = { f32: "vec4f", u32: "vec4u", f16: "vec4h" } as const;

/** WGSL's name for one element, or four. */
export const typeName = (type: Stored, vector: boolean): string => (vector ? VECTORS[type] : type);

/** A value's text, repeated four times if `vector` asks for more than it has. */
export const widened = (value: Value, dtype: DType, vector: boolean): string =>
  vector && !isVector(value.deps) ? `${typeName(dtype, true)}(${value.text})` : value.text;

/** Whether an index is a multiple of four but for its offset. */
const isAligned = (ix: Ix): boolean => ix.terms.every(({ times }) => times % 4 === 0);

/** The rest of an index `rest + component` whose rest is a multiple of four, else undefined. */
function blockOf(ix: Ix): Ix | undefined {
  const rest = ix.plus(Ix.variable(COMPONENT, 4).times(-1));
  return isAligned(rest) && rest.offset % 4 === 0 && !rest.mentions(COMPONENT) ? rest : undefined;
}

/** A condition that holds for all four elements or none, without their number; others as they are. */
function withoutComponent(condition: Within): Within {
  const { ix, lower, upper } = condition;
  const rest = ix.mentions(COMPONENT) && lower % 4 === 0 && upper % 4 === 0 && blockOf(ix);
  return rest ? { ix: rest, lower, upper } : condition;
}

export class Puller {
  readonly reads: Binding[] = [];
  /** Results of the row folds so far. */
  readonly folds = new Map<Tensor, Value>();
  /** Vectors that were put together from their parts. */
  assembled = 0;
  flops = 0;
  /** Whether something is told with the launch. */
  immediate = false;
  private readonly around: Surroundings;
  /** Places in memory that the current loop computes: an anchor is at hand nowhere else. */
  private own: ReadonlySet<string> = new Set();
  /** Parts of a vector are being looked for: neighbours will be wanted too. */
  private inParts = false;
  private names = 0;

  constructor(around: Surroundings) {
    this.around = around;
  }

  fresh(): string {
    return `v${this.names++}`;
  }

  /** Says which elements of the anchors the code that follows computes. */
  enter(run: Ix): void {
    const parts = run.mentions(COMPONENT) ? [0, 1, 2, 3].map((k) => run.with(COMPONENT, k)) : [];
    this.own = new Set([run, ...parts].map((ix) => ix.key));
  }

  /** Declares `text` once in the right block and returns its name. */
  define(scope: Scope, key: string, deps: ReadonlySet<string>, text: () => string): Value {
    const known = scope.find(key);
    if (known) return known;
    const target = scope.place(deps);
    const name = this.fresh();
    target.lines.push(`let ${name} = ${text()};`);
    const value = { text: name, deps };
    target.memo.set(key, value);
    return value;
  }

  private deps(ix: Ix): ReadonlySet<string> {
    return union(...ix.terms.map(({ atom }) => this.atomDeps(atom)));
  }

  private atomDeps({ kind }: Atom): ReadonlySet<string> {
    switch (kind.is) {
      case "variable":
        return new Set([kind.name]);
      case "load":
        return union(...kind.at.map((ix) => this.deps(ix)));
      case "quotient":
      case "remainder":
        return this.deps(kind.of);
    }
  }

  private atom(atom: Atom, scope: Scope): string {
    const { kind } = atom;
    switch (kind.is) {
      case "variable":
        return kind.name;
      case "load":
        return this.pull(kind.from, kind.at, scope).text;
      case "quotient":
      case "remainder": {
        const sign = kind.is === "quotient" ? "/" : "%";
        return this.define(scope, `ix ${atom.key}`, this.atomDeps(atom), () => {
          return `${this.index(kind.of, scope)} ${sign} ${kind.by}u`;
        }).text;
      }
    }
  }

  private sum(terms: Ix["terms"], extra: number, scope: Scope): string {
    const parts = terms.map(({ atom, times }) => {
      const text = this.atom(atom, scope);
      const count = Math.abs(times);
      return count === 1 ? text : `${text} * ${count}u`;
    });
    if (extra > 0 || parts.length === 0) parts.push(`${extra}u`);
    return parts.length === 1 ? parts[0]! : `(${parts.join(" + ")})`;
  }

  /** An index as unsigned arithmetic: what is subtracted comes last, so no step wraps. */
  index(ix: Ix, scope: Scope): string {
    if (ix.isConstant) return `${ix.offset}u`;
    const plus = ix.terms.filter((t) => t.times > 0);
    const minus = ix.terms.filter((t) => t.times < 0);
    const left = this.sum(plus, Math.max(0, ix.offset), scope);
    if (minus.length === 0 && ix.offset >= 0) return left;
    return `(${left} - ${this.sum(minus, Math.max(0, -ix.offset), scope)})`;
  }

  /** The index of the vector that starts at element `at`, a multiple of four. */
  block(at: Ix, scope: Scope): string {
    const quarter = new Ix(
      at.terms.map(({ atom, times }) => ({ atom, times: times / 4 })),
      at.offset / 4,
    );
    return this.index(quarter, scope);
  }

  /** `lower <= ix < upper` without negative numbers; bounds that always hold are left out. */
  private condition({ ix, lower, upper }: Within, scope: Scope): string {
    const plus = ix.terms.filter((t) => t.times > 0);
    const minus = ix.terms.filter((t) => t.times < 0);
    const compare = (bound: number, sign: string): string => {
      const shift = ix.offset - bound;
      return `${this.sum(plus, Math.max(0, shift), scope)} ${sign} ${this.sum(minus, Math.max(0, -shift), scope)}`;
    };
    const parts = [];
    if (ix.min < lower) parts.push(compare(lower, ">="));
    if (ix.max >= upper) parts.push(compare(upper, "<"));
    return parts.join(" && ");
  }

  /** The element of `t` at `index`, or the four of them. */
  pull(t: Tensor, index: readonly Ix[], scope: Scope): Value {
    const key = `t${t.id} ${index.map((ix) => ix.key).join(",")}`;
    const known = scope.find(key);
    if (known) return known;
    const { op } = t;
    if (this.around.anchors.has(t)) {
      const at = flatten(index, t.shape).key;
      const fold = this.folds.get(t);
      if (fold && at === this.around.row.key) return fold;
      // One value a row is at hand wherever the row is.
      const isHere = this.own.has(at) || at === this.around.row.key;
      if (!isHere || isRowFold(t)) throw new NotFusible(t);
    } else if (this.around.storage(t)) return this.load(t, index, scope, key);
    switch (op.form) {
      case "source":
        return this.pullSource(t, index, scope, key);
      case "elementwise":
        return this.pullElementwise(t, op, index, scope, key);
      case "layout":
        return this.pullLayout(t, op, index, scope, key);
      case "reduce":
        return this.pullFold(t, op, index, scope, key);
      case "kernel":
      case "update":
        throw new NotFusible(t);
    }
  }

  /** Four elements, each pulled on its own. */
  private assemble(t: Tensor, index: readonly Ix[], scope: Scope, key: string): Value {
    this.assembled++;
    const outer = this.inParts;
    this.inParts = true;
    const parts = [0, 1, 2, 3].map((k) => {
      const at = index.map((ix) => ix.with(COMPONENT, k));
      return this.pull(t, at, scope);
    });
    this.inParts = outer;
    if (parts.every(({ text }) => text === parts[0]!.text)) return parts[0]!;
    const deps = union(new Set([COMPONENT]), ...parts.map((part) => part.deps));
    const texts = parts.map(({ text }) => text).join(", ");
    return this.define(scope, key, deps, () => `${typeName(t.dtype, true)}(${texts})`);
  }

  /** Declared like any value, so that the shader compiler folds no constants and finds no errors in them. */
  private pullSource(t: Tensor, index: readonly Ix[], scope: Scope, key: string): Value {
    const { op } = t;
    const write = op.form === "source" && op.wgsl;
    if (!write) return this.load(t, index, scope, key);
    if (op.immediate) this.immediate = true;
    if (t.op.name === "full")
      return this.define(scope, `t${t.id}`, none, () => write("0u", t.params));
    if (index.some((ix) => ix.mentions(COMPONENT))) return this.assemble(t, index, scope, key);
    const at = flatten(index, t.shape);
    return this.define(scope, key, this.deps(at), () => write(this.index(at, scope), t.params));
  }

  private pullElementwise(
    t: Tensor,
    op: ElementwiseOp,
    index: readonly Ix[],
    scope: Scope,
    key: string,
  ): Value {
    const inputs = t.inputs.map((x) => this.pull(x, index, scope));
    const deps = union(...inputs.map((v) => v.deps));
    const vector = isVector(deps);
    this.flops += scope.place(deps).times * (vector ? 4 : 1);
    return this.define(scope, key, deps, () => {
      const texts = inputs.map((v, i) => widened(v, t.inputs[i]!.dtype, vector));
      return op.wgsl(...texts).replaceAll("F(", `${typeName("f32", vector)}(`);
    });
  }

  private load(t: Tensor, index: readonly Ix[], scope: Scope, key: string): Value {
    const within = flatten(index, t.shape);
    const { root, offset } = this.around.storage(t)!;
    const overwritten = this.around.overwritten.get(t);
    if (overwritten && !this.own.has(within.key)) throw new NotFusible(t);
    const name = overwritten?.name;
    const at = within.plus(offset);
    // A buffer ends with a whole vector only if its size is a multiple of four.
    const inVectors = root.size % 4 === 0;
    if (at.mentions(COMPONENT)) {
      const block = inVectors ? blockOf(at) : undefined;
      if (!block) return this.assemble(t, index, scope, key);
      return this.define(scope, key, this.deps(at), () => this.vector(root, name, block, scope));
    }
    const part = ((at.offset % 4) + 4) % 4;
    const shared = this.inParts && inVectors && isAligned(at);
    if (overwritten ? overwritten.vector : shared) {
      const block = at.plus(-part);
      const whole = this.define(scope, `block ${root.id} ${block.key}`, this.deps(at), () =>
        this.vector(root, name, block, scope),
      );
      return { text: `${whole.text}[${part}]`, deps: this.deps(at) };
    }
    return this.define(scope, key, this.deps(at), () => {
      const binding = name ?? this.binding(root, false);
      return this.widen(root, false, `${binding}[${this.index(at, scope)}]`);
    });
  }

  private vector(root: Tensor, name: string | undefined, at: Ix, scope: Scope): string {
    const binding = name ?? this.binding(root, true);
    return this.widen(root, true, `${binding}[${this.block(at, scope)}]`);
  }

  /** What is loaded, as it is computed with. */
  private widen(root: Tensor, vector: boolean, loaded: string): string {
    const half = this.around.element(root) === "f16";
    return half ? `${typeName("f32", vector)}(${loaded})` : loaded;
  }

  private binding(root: Tensor, vector: boolean): string {
    let at = this.reads.findIndex((read) => read.root === root && read.vector === vector);
    if (at < 0) at = this.reads.push({ root, vector }) - 1;
    return `x${at}`;
  }

  private pullLayout(
    t: Tensor,
    op: LayoutOp,
    index: readonly Ix[],
    scope: Scope,
    key: string,
  ): Value {
    const picks = [];
    for (const pick of op.read(index, t.inputs, t)) {
      const when = pick.when.map((condition) => decide(withoutComponent(condition)));
      if (when.includes(false)) continue;
      const open = when.filter((c): c is Within => typeof c === "object");
      picks.push({ ...pick, when: open });
      if (open.length === 0) break;
    }
    const zero = t.dtype === "f32" ? "0.0" : "0u";
    if (picks.length === 0) return { text: zero, deps: none };
    const [first] = picks;
    if (first!.when.length === 0) return this.pull(t.inputs[first!.input]!, first!.index, scope);
    if (picks.some(({ when }) => when.some(({ ix }) => ix.mentions(COMPONENT))))
      return this.assemble(t, index, scope, key);

    const deps = union(...index.map((ix) => this.deps(ix)));
    const target = scope.place(deps);
    const name = this.fresh();
    target.lines.push(`var ${name} = ${typeName(t.dtype, isVector(deps))}(${zero});`);
    let outer = target;
    let closing = "";
    for (const pick of picks) {
      const branch = new Scope(outer);
      const value = this.pull(t.inputs[pick.input]!, pick.index, branch);
      branch.lines.push(`${name} = ${widened(value, t.dtype, isVector(deps))};`);
      if (pick.when.length === 0) {
        outer.lines.push(...branch.lines);
        break;
      }
      const test = pick.when.map((c) => this.condition(c, outer)).join(" && ");
      outer.lines.push(`if (${test}) {`, ...branch.lines, "}");
      if (pick === picks[picks.length - 1]) break;
      outer.lines.push("else {");
      closing += "}";
      outer = new Scope(outer, { lines: outer.lines });
    }
    target.lines.push(closing);
    const value = { text: name, deps };
    target.memo.set(key, value);
    return value;
  }

  /** A fold within one invocation. */
  private pullFold(
    t: Tensor,
    op: ReduceOp,
    index: readonly Ix[],
    scope: Scope,
    key: string,
  ): Value {
    const x = t.inputs[0]!;
    const axes = t.params["axes"] as readonly number[];
    const sizes = axes.map((axis) => x.shape[axis]!);
    const count = sizeOf(sizes);
    const at = (folded: readonly Ix[]): Ix[] => {
      const rest = [...index];
      return x.shape.map((_, axis) =>
        axes.includes(axis) ? folded[axes.indexOf(axis)]! : rest.shift()!,
      );
    };
    const deps = union(...index.map((ix) => this.deps(ix)));
    const vector = isVector(deps);
    const target = scope.place(deps);
    const value = { text: this.fresh(), deps };
    if (count <= LONGEST_INLINE) {
      const parts = Array.from({ length: count }, (_, k) => {
        const part = this.pull(x, at(unflatten(Ix.constant(k), sizes)), target);
        return widened(part, "f32", vector);
      });
      this.flops += target.times * count * (vector ? 4 : 1);
      target.lines.push(`let ${value.text} = ${parts.reduce((a, b) => op.wgsl(a, b))};`);
    } else {
      const i = this.fresh();
      const body = new Scope(target, { loop: i, times: count });
      const element = this.pull(x, at(unflatten(Ix.variable(i, count), sizes)), body);
      this.flops += body.times * (vector ? 4 : 1);
      body.lines.push(`${value.text} = ${op.wgsl(value.text, widened(element, "f32", vector))};`);
      target.lines.push(
        `var ${value.text} = ${typeName("f32", vector)}(${op.initial});`,
        `for (var ${i} = 0u; ${i} < ${count}u + group.z; ${i}++) {`,
        ...body.lines,
        "}",
      );
    }
    target.memo.set(key, value);
    return value;
  }
}
