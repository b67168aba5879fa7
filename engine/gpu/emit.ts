/**
 * @file Writes the shader of a region: a set of tensors computed together, row by row.
 *
 * A region's outputs are split into `rows` equal runs of memory. Whatever lies between its inputs
 * and its outputs is computed where it is needed, by asking each tensor for its element at a
 * symbolic index ("pulling"); folds over whole rows come first, each in a loop of its own.
 * A region without such folds is an ordinary elementwise kernel, one element a row.
 *
 * Loops end at `count + group.z`. The grid is flat, so group.z is 0; but drivers that do not know
 * that do not unroll, which would make some shaders take seconds to compile.
 */
import { decide, flatten, Ix, unflatten, type Atom, type Within } from "../graph/ix.ts";
import type { Op, Params, ReduceOp, Tensor } from "../graph/tensor.ts";
import { sizeOf } from "../graph/shape.ts";
import { isRowFold, LONGEST_INLINE } from "./rows.ts";
import { none, Scope, union, type Value } from "./scope.ts";

/** Invocations that share a row: one, a subgroup, or a workgroup of that many. */
export interface Lanes {
  readonly kind: "invocation" | "subgroup" | "workgroup";
  readonly count: number;
}

/** A run of memory: part of what is allocated for `root`. */
export interface Storage {
  readonly root: Tensor;
  /** Elements of the allocation before the run. */
  readonly offset: number;
}

export interface RegionPlan {
  readonly rows: number;
  /** Tensors to compute, in an order in which each needs only earlier ones. */
  readonly anchors: readonly Tensor[];
  /** Anchors whose values are stored; the others are folds used within. */
  readonly stored: readonly Tensor[];
  /** Where a tensor lies that is in memory when the region starts, or is stored by it; else undefined. */
  readonly storage: (t: Tensor) => Storage | undefined;
  readonly lanes: Lanes;
  /** An input that may be overwritten by the stored tensor given, element by element. */
  readonly inPlace?: ReadonlyMap<Tensor, Tensor>;
}

export interface RegionCode {
  readonly code: string;
  /** Roots of what is read, then of what is written, in binding order. */
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
  readonly grid: readonly [number, number, number];
  /** Elementwise operations over the whole grid, roughly. */
  readonly flops: number;
  /** Whether the number of the repetition is set before the dispatch. */
  readonly immediate: boolean;
}

/** Why a region cannot be one kernel: `tensor` would have to lie in memory first. */
export class NotFusible extends Error {
  readonly tensor: Tensor;
  constructor(tensor: Tensor) {
    super(`${tensor.op.name} is needed at an index that the region does not hold`);
    this.tensor = tensor;
  }
}

type Counter = (index: string, params: Params) => string;

class Emitter {
  readonly plan: RegionPlan;
  readonly reads: Tensor[] = [];
  readonly writes: readonly Tensor[];
  private names = 0;
  readonly anchors: ReadonlySet<Tensor>;
  readonly row: Ix;
  /** Results of the row folds so far. */
  private readonly folds = new Map<Tensor, Value>();
  /** The place in memory that the current loop computes: an anchor is at hand nowhere else. */
  private own: Ix | undefined;
  readonly root = new Scope();
  flops = 0;
  immediate = false;

  constructor(plan: RegionPlan) {
    this.plan = plan;
    this.anchors = new Set(plan.anchors);
    this.writes = [...new Set(plan.stored.map((t) => plan.storage(t)!.root))];
    this.row = Ix.variable("row", plan.rows);
  }

  fresh(): string {
    return `v${this.names++}`;
  }

  /** The element at flat index `at` of a tensor in memory, as the shader names it. */
  private element(t: Tensor, at: Ix, scope: Scope): string {
    const { root, offset } = this.plan.storage(t)!;
    const target = this.plan.inPlace?.get(t);
    const index = this.index(at.plus(offset), scope);
    if (target) return `${this.written(target)}[${index}]`;
    let binding = this.reads.indexOf(root);
    if (binding < 0) binding = this.reads.push(root) - 1;
    return `x${binding}[${index}]`;
  }

  /** Name of the binding that holds a stored tensor. */
  private written(t: Tensor): string {
    return `y${this.writes.indexOf(this.plan.storage(t)!.root)}`;
  }

  private store(t: Tensor, at: Ix, value: string, scope: Scope): string {
    const { offset } = this.plan.storage(t)!;
    return `${this.written(t)}[${this.index(at.plus(offset), scope)}] = ${value};`;
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

  deps(ix: Ix): ReadonlySet<string> {
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

  /** The element of `t` at `index`. */
  pull(t: Tensor, index: readonly Ix[], scope: Scope): Value {
    const key = `t${t.id} ${index.map((ix) => ix.key).join(",")}`;
    const known = scope.find(key);
    if (known) return known;
    if (this.anchors.has(t)) {
      const at = flatten(index, t.shape).key;
      const fold = this.folds.get(t);
      if (fold && at === this.row.key) return fold;
      if (at !== this.own?.key || isRowFold(t)) throw new NotFusible(t);
    } else if (this.plan.storage(t)) return this.load(t, index, scope, key);
    const op: Op = t.op;
    switch (op.form) {
      case "source":
        this.immediate ||= op.immediate === true;
        return !op.wgsl
          ? this.load(t, index, scope, key)
          : this.pullSource(t, op.wgsl, index, scope, key);
      case "elementwise": {
        const inputs = t.inputs.map((x) => this.pull(x, index, scope));
        const deps = union(...inputs.map((v) => v.deps));
        this.flops += scope.place(deps).times;
        return this.define(scope, key, deps, () => op.wgsl(...inputs.map((v) => v.text)));
      }
      case "layout":
        return this.pullLayout(t, op, index, scope, key);
      case "reduce":
        return this.pullFold(t, op, index, scope, key);
      case "kernel":
        throw new NotFusible(t);
    }
  }

  /** Declared like any value, so that the shader compiler folds no constants and finds no errors in them. */
  private pullSource(
    t: Tensor,
    write: Counter,
    index: readonly Ix[],
    scope: Scope,
    key: string,
  ): Value {
    const at = t.op.name === "full" ? Ix.constant(0) : flatten(index, t.shape);
    const known = t.op.name === "full" ? `t${t.id}` : key;
    return this.define(scope, known, this.deps(at), () => write(this.index(at, scope), t.params));
  }

  private load(t: Tensor, index: readonly Ix[], scope: Scope, key: string): Value {
    const at = flatten(index, t.shape);
    if (this.plan.inPlace?.has(t) && at.key !== this.own?.key) throw new NotFusible(t);
    return this.define(scope, key, this.deps(at), () => this.element(t, at, scope));
  }

  private pullLayout(
    t: Tensor,
    op: Op & { form: "layout" },
    index: readonly Ix[],
    scope: Scope,
    key: string,
  ): Value {
    const read = op.read;
    const picks = [];
    for (const pick of read.call(op, index, t.inputs, t)) {
      const when = pick.when.map(decide);
      if (when.includes(false)) continue;
      const open = when.filter((c): c is Within => typeof c === "object");
      picks.push({ ...pick, when: open });
      if (open.length === 0) break;
    }
    const zero = t.dtype === "f32" ? "0.0" : "0u";
    if (picks.length === 0) return { text: zero, deps: none };
    const [first] = picks;
    if (first!.when.length === 0) return this.pull(t.inputs[first!.input]!, first!.index, scope);

    const deps = union(...index.map((ix) => this.deps(ix)));
    const target = scope.place(deps);
    const name = this.fresh();
    target.lines.push(`var ${name} = ${zero};`);
    let outer = target;
    let closing = "";
    for (const pick of picks) {
      const branch = new Scope(outer);
      const value = this.pull(t.inputs[pick.input]!, pick.index, branch);
      branch.lines.push(`${name} = ${value.text};`);
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
    const target = scope.place(deps);
    const value = { text: this.fresh(), deps };
    if (count <= LONGEST_INLINE) {
      const parts = Array.from(
        { length: count },
        (_, k) => this.pull(x, at(unflatten(Ix.constant(k), sizes)), target).text,
      );
      this.flops += target.times * count;
      target.lines.push(`let ${value.text} = ${parts.reduce((a, b) => op.wgsl(a, b))};`);
    } else {
      const i = this.fresh();
      const body = new Scope(target, { loop: i, times: count });
      const element = this.pull(x, at(unflatten(Ix.variable(i, count), sizes)), body);
      this.flops += body.times;
      body.lines.push(`${value.text} = ${op.wgsl(value.text, element.text)};`);
      target.lines.push(
        `var ${value.text} = f32(${op.initial});`,
        `for (var ${i} = 0u; ${i} < ${count}u + group.z; ${i}++) {`,
        ...body.lines,
        "}",
      );
    }
    target.memo.set(key, value);
    return value;
  }

  /** A loop over `length` elements of the row, shared by the lanes; `body` gets the loop's index. */
  private rowLoop(length: number, body: (scope: Scope, i: Ix) => void): void {
    const { lanes } = this.plan;
    if (length === 1) {
      if (lanes.count === 1) {
        body(this.root, Ix.constant(0));
        return;
      }
      const alone = new Scope(this.root);
      body(alone, Ix.constant(0));
      this.root.lines.push("if (lane == 0u) {", ...alone.lines, "}");
      return;
    }
    const name = this.fresh();
    const scope = new Scope(this.root, { loop: name, times: length });
    body(scope, Ix.variable(name, length));
    const start = lanes.count === 1 ? "0u" : "lane";
    this.root.lines.push(
      `for (var ${name} = ${start}; ${name} < ${length}u + group.z; ${name} += ${lanes.count}u) {`,
      ...scope.lines,
      "}",
    );
  }

  /** A fold over the row, its result known to all lanes. */
  rowFold(t: Tensor): void {
    const op = t.op as ReduceOp;
    const x = t.inputs[0]!;
    const length = x.size / this.plan.rows;
    const partial = this.fresh();
    this.root.lines.push(`var ${partial} = f32(${op.initial});`);
    this.rowLoop(length, (scope, i) => {
      const run = this.row.times(length).plus(i);
      this.own = run;
      const element = this.pull(x, unflatten(run, x.shape), scope);
      scope.lines.push(`${partial} = ${op.wgsl(partial, element.text)};`);
      this.flops += scope.times;
    });
    const { kind, count } = this.plan.lanes;
    let text = partial;
    if (kind === "subgroup") {
      text = this.fresh();
      this.root.lines.push(`let ${text} = ${op.subgroup}(${partial});`);
    } else if (kind === "workgroup") {
      text = this.fresh();
      this.root.lines.push(
        `shared_values[lane] = ${partial};`,
        `for (var half = ${count / 2}u; half > 0u; half /= 2u) {`,
        `workgroupBarrier();`,
        `if (lane < half) { shared_values[lane] = ${op.wgsl("shared_values[lane]", "shared_values[lane + half]")}; }`,
        `}`,
        `let ${text} = workgroupUniformLoad(&shared_values[0]);`,
      );
    }
    this.folds.set(t, { text, deps: new Set(["row"]) });
    if (this.plan.stored.includes(t)) {
      const store = this.store(t, this.row, text, this.root);
      this.root.lines.push(count === 1 ? store : `if (lane == 0u) { ${store} }`);
    }
  }

  /** Stored tensors with the same number of elements a row, in one loop. */
  storeRun(tensors: readonly Tensor[]): void {
    const length = tensors[0]!.size / this.plan.rows;
    this.rowLoop(length, (scope, i) => {
      const run = this.row.times(length).plus(i);
      this.own = run;
      const values = tensors.map((t) => this.pull(t, unflatten(run, t.shape), scope).text);
      tensors.forEach((t, k) => {
        scope.lines.push(this.store(t, run, values[k]!, scope));
      });
    });
  }
}

/**
 * The shader of a region.
 * @throws NotFusible when some tensor would have to be in memory before the region starts.
 */
export function emitRegion(plan: RegionPlan): RegionCode {
  const emitter = new Emitter(plan);
  const { lanes, rows } = plan;
  const runs = new Map<number, Tensor[]>();
  const fold = (t: Tensor): boolean => isRowFold(t) && t.size === rows;
  for (const t of plan.anchors)
    if (fold(t)) emitter.rowFold(t);
    else runs.set(t.size, [...(runs.get(t.size) ?? []), t]);
  for (const tensors of runs.values()) emitter.storeRun(tensors);

  const width = lanes.kind === "invocation" ? Math.min(64, Math.max(8, rows)) : lanes.count;
  const groups = lanes.kind === "invocation" ? Math.ceil(rows / width) : rows;
  const gx = Math.min(groups, 32768);
  const type = (t: Tensor): string => t.dtype;
  const kept = emitter.reads;
  const lines = [
    ...(lanes.kind === "subgroup" ? ["enable subgroups;"] : []),
    ...(emitter.immediate ? ["var<immediate> repeat: u32;"] : []),
    ...kept.map((t, i) => `@group(0) @binding(${i}) var<storage, read> x${i}: array<${type(t)}>;`),
    ...emitter.writes.map(
      (t, i) =>
        `@group(0) @binding(${kept.length + i}) var<storage, read_write> y${i}: array<${type(t)}>;`,
    ),
    ...(lanes.kind === "workgroup"
      ? [`var<workgroup> shared_values: array<f32, ${lanes.count}>;`]
      : []),
    `@compute @workgroup_size(${width})`,
    `fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {`,
    lanes.kind === "invocation"
      ? `let row = (group.y * ${gx}u + group.x) * ${width}u + lane;`
      : `let row = group.y * ${gx}u + group.x;`,
    `if (row >= ${rows}u) { return; }`,
    ...emitter.root.lines,
    "}",
  ];
  return {
    code: lines.join("\n"),
    reads: kept,
    writes: emitter.writes,
    grid: [gx, Math.ceil(groups / gx), 1],
    flops: emitter.flops * rows,
    immediate: emitter.immediate,
  };
}
