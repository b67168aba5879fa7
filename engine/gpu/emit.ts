/**
 * @file Writes the shader of a region: a set of tensors computed together, row by row.
 *
 * A region's outputs are split into `rows` equal runs of memory. Whatever lies between its inputs
 * and its outputs is computed where it is needed (see pull.ts). Folds over whole rows and results are
 * computed in loops over the row, as early as what they need is known, and those that run over the
 * same elements share a loop. A region without such folds is an ordinary elementwise kernel. Where
 * the number of elements allows, a loop takes four at a time.
 *
 * Loops end at `count + group.z`. The grid is flat, so group.z is 0; but drivers that do not know
 * that do not unroll, which would make some shaders take seconds to compile.
 */
import { flatten, Ix, unflatten } from "../graph/ix.ts";
import type { ReduceOp, Stored, Tensor } from "../graph/tensor.ts";
import {
  COMPONENT,
  NotFusible,
  Puller,
  typeName,
  widened,
  type Binding,
  type Storage,
} from "./pull.ts";
import { computed, isRowFold, memoryOf } from "./rows.ts";
import { Scope, type Value } from "./scope.ts";

/** Who computes a row: one invocation (`width` of them in a workgroup), a subgroup, or a workgroup. */
export interface Lanes {
  readonly kind: "invocation" | "subgroup" | "workgroup";
  /** Invocations in a workgroup. */
  readonly width: number;
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
  /** What the elements of a root are stored as. */
  readonly element: (root: Tensor) => Stored;
  /** Buffers that a shader may bind. */
  readonly maxBuffers: number;
  /** An input that may be overwritten by the stored tensor given, element by element. */
  readonly inPlace?: ReadonlyMap<Tensor, Tensor>;
}

export interface RegionCode {
  readonly code: string;
  /** Roots of what is read, then of what is written, in binding order; a root may be read under two types. */
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
  readonly grid: readonly [number, number, number];
  /** Elementwise operations over the whole grid, roughly. */
  readonly flops: number;
  /** Whether the number of the repetition is set before the dispatch. */
  readonly immediate: boolean;
}

/** Tensors that are computed in one loop over the same number of elements a row. */
interface Loop {
  readonly length: number;
  readonly folds: Tensor[];
  readonly stores: Tensor[];
}

/** How much longer a shader in vectors may be: one that puts most of them together from parts gains nothing. */
const LONGER = 1.5;

class Emitter {
  private readonly plan: RegionPlan;
  private readonly puller: Puller;
  private readonly root = new Scope();
  private readonly inVectors: boolean;
  /** Whether there are folds, so that rows have more than one element. */
  private readonly hasFolds: boolean;
  private readonly anchors: ReadonlySet<Tensor>;
  private readonly row: Ix;
  private readonly writes: Binding[];

  constructor(plan: RegionPlan, inVectors: boolean) {
    this.plan = plan;
    this.anchors = new Set(plan.anchors);
    for (const t of plan.anchors) {
      const old = t.op.form === "update" && memoryOf(t.inputs[0]!);
      if (old && this.anchors.has(old)) throw new NotFusible(old);
    }
    this.hasFolds = plan.anchors.some((t) => this.isFold(t));
    this.inVectors = inVectors && (this.hasFolds || plan.rows % 4 === 0);
    this.row = Ix.variable("row", this.count);
    const roots = new Map(plan.stored.map((t) => [plan.storage(t)!.root, t] as const));
    this.writes = [...roots].map(([root, t]) => {
      return { root, vector: !this.isFold(t) && this.takesFour(computed(t).size / this.count) };
    });
    const inPlace = [...(plan.inPlace ?? [])];
    const overwritten = new Map(inPlace.map(([input, t]) => [input, this.written(t)] as const));
    const { anchors, row } = this;
    const { storage, element } = plan;
    this.puller = new Puller({ storage, anchors, element, overwritten, row });
  }

  /** Runs that the invocations share out: rows, or elements or vectors where rows have but one. */
  private get count(): number {
    const { rows } = this.plan;
    return !this.hasFolds && this.inVectors ? rows / 4 : rows;
  }

  private isFold(t: Tensor): boolean {
    return isRowFold(t) && t.size === this.plan.rows;
  }

  private takesFour(length: number): boolean {
    return this.inVectors && length % 4 === 0;
  }

  private written(t: Tensor): { name: string; vector: boolean } {
    const at = this.writes.findIndex(({ root }) => root === this.plan.storage(t)!.root);
    return { name: `y${at}`, vector: this.writes[at]!.vector };
  }

  private store(t: Tensor, run: Ix, value: string, scope: Scope): string {
    const { name, vector } = this.written(t);
    const { op } = t;
    const to =
      op.form === "update"
        ? flatten(op.write(unflatten(run, computed(t).shape), t.inputs, t), t.shape)
        : run;
    const at = to.plus(this.plan.storage(t)!.offset);
    const index = vector
      ? this.puller.block(at.with(COMPONENT, 0), scope)
      : this.puller.index(at, scope);
    const type = this.plan.element(this.plan.storage(t)!.root);
    return `${name}[${index}] = ${type === "f16" ? `${typeName(type, vector)}(${value})` : value};`;
  }

  /** Loops by when they can run: what needs the result of a fold comes after it. */
  private loops(anchors: readonly Tensor[]): Loop[] {
    const stages = new Map<Tensor, number>();
    const stageOf = (t: Tensor): number => {
      const known = stages.get(t);
      if (known !== undefined) return known;
      const inMemory = this.plan.storage(t) && !this.anchors.has(t);
      const after = (x: Tensor): number => stageOf(x) + (this.isFold(x) ? 1 : 0);
      const stage = inMemory ? 0 : Math.max(0, ...t.inputs.map(after));
      stages.set(t, stage);
      return stage;
    };
    const last = Math.max(...anchors.map(stageOf));
    const loops = new Map<string, Loop>();
    for (const t of anchors) {
      const fold = this.isFold(t);
      const length = (fold ? t.inputs[0]! : computed(t)).size / this.count;
      // What overwrites an input must wait until nothing needs the input any more.
      const stage = !fold && this.plan.inPlace ? last : stageOf(t);
      const key = `${String(stage).padStart(6, "0")} ${length}`;
      const loop = loops.get(key) ?? { length, folds: [], stores: [] };
      (fold ? loop.folds : loop.stores).push(t);
      loops.set(key, loop);
    }
    return [...loops].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, loop]) => loop);
  }

  private emitLoop({ length, folds, stores }: Loop): void {
    const { puller, root } = this;
    const vector = this.takesFour(length);
    const partials = folds.map((t) => {
      const partial = puller.fresh();
      root.lines.push(
        `var ${partial} = ${typeName("f32", vector)}(${(t.op as ReduceOp).initial});`,
      );
      return partial;
    });
    this.overRow(vector ? length / 4 : length, (scope, i) => {
      const within = vector ? i.times(4).plus(Ix.variable(COMPONENT, 4)) : i;
      const run = this.row.times(length).plus(within);
      puller.enter(run);
      const at = (t: Tensor): Value => puller.pull(t, unflatten(run, t.shape), scope);
      folds.forEach((t, k) => {
        const element = widened(at(t.inputs[0]!), "f32", vector);
        const partial = partials[k]!;
        scope.lines.push(`${partial} = ${(t.op as ReduceOp).wgsl(partial, element)};`);
        puller.flops += scope.times * (vector ? 4 : 1);
      });
      const values = stores.map((t) => widened(at(computed(t)), t.dtype, this.written(t).vector));
      stores.forEach((t, k) => scope.lines.push(this.store(t, run, values[k]!, scope)));
    });
    folds.forEach((t, k) => this.finishFold(t, partials[k]!, vector));
  }

  /** A loop over `count` elements or vectors of the row, shared by the lanes. */
  private overRow(count: number, body: (scope: Scope, i: Ix) => void): void {
    const { kind, width } = this.plan.lanes;
    const alone = kind === "invocation";
    if (count === 1) {
      const scope = alone ? this.root : new Scope(this.root);
      body(scope, Ix.constant(0));
      if (!alone) this.root.lines.push("if (lane == 0u) {", ...scope.lines, "}");
      return;
    }
    const name = this.puller.fresh();
    const scope = new Scope(this.root, { loop: name, times: count });
    body(scope, Ix.variable(name, count));
    this.root.lines.push(
      `for (var ${name} = ${alone ? "0u" : "lane"}; ${name} < ${count}u + group.z; ${name} += ${alone ? 1 : width}u) {`,
      ...scope.lines,
      "}",
    );
  }

  /** The result of a fold from the lanes' partial results, known to all lanes. */
  private finishFold(t: Tensor, partial: string, vector: boolean): void {
    const op = t.op as ReduceOp;
    const { root, puller } = this;
    const { kind, width } = this.plan.lanes;
    let text = partial;
    if (vector) {
      text = puller.fresh();
      const [x, y, z, w] = ["x", "y", "z", "w"].map((component) => `${partial}.${component}`);
      root.lines.push(`let ${text} = ${op.wgsl(op.wgsl(x!, y!), op.wgsl(z!, w!))};`);
    }
    if (kind === "subgroup") {
      const own = text;
      text = puller.fresh();
      root.lines.push(`let ${text} = ${op.subgroup}(${own});`);
    } else if (kind === "workgroup") {
      const own = text;
      text = puller.fresh();
      root.lines.push(
        `shared_values[lane] = ${own};`,
        `for (var half = ${width / 2}u; half > 0u; half /= 2u) {`,
        `workgroupBarrier();`,
        `if (lane < half) { shared_values[lane] = ${op.wgsl("shared_values[lane]", "shared_values[lane + half]")}; }`,
        `}`,
        `let ${text} = workgroupUniformLoad(&shared_values[0]);`,
      );
    }
    puller.folds.set(t, { text, deps: new Set(["row"]) });
    if (!this.plan.stored.includes(t)) return;
    const store = this.store(t, this.row, text, root);
    root.lines.push(kind === "invocation" ? store : `if (lane == 0u) { ${store} }`);
  }

  /** How many vectors had to be put together from their parts. */
  get assembled(): number {
    return this.puller.assembled;
  }

  /** Roots that some of the anchors read; the others are taken as known. */
  readsOf(some: readonly Tensor[]): Tensor[] {
    for (const t of this.plan.anchors)
      if (this.isFold(t) && !some.includes(t))
        this.puller.folds.set(t, { text: "", deps: new Set(["row"]) });
    for (const loop of this.loops(some)) this.emitLoop(loop);
    return this.puller.reads.map(({ root }) => root);
  }

  emit(): RegionCode {
    const { kind, width } = this.plan.lanes;
    for (const loop of this.loops(this.plan.anchors)) this.emitLoop(loop);
    const alone = kind === "invocation";
    const groups = alone ? Math.ceil(this.count / width) : this.count;
    const gx = Math.min(groups, 32768);
    const { reads } = this.puller;
    const all = [...reads, ...this.writes];
    const declare = ({ root, vector }: Binding, name: string, binding: number, access: string) =>
      `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${typeName(this.plan.element(root), vector)}>;`;
    const lines = [
      ...(kind === "subgroup" ? ["enable subgroups;"] : []),
      ...(all.some(({ root }) => this.plan.element(root) === "f16") ? ["enable f16;"] : []),
      ...(this.puller.immediate ? ["var<immediate> repeat: u32;"] : []),
      ...reads.map((read, i) => declare(read, `x${i}`, i, "read")),
      ...this.writes.map((write, i) => declare(write, `y${i}`, reads.length + i, "read_write")),
      ...(kind === "workgroup" ? [`var<workgroup> shared_values: array<f32, ${width}>;`] : []),
      `@compute @workgroup_size(${width})`,
      `fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {`,
      alone
        ? `let row = (group.y * ${gx}u + group.x) * ${width}u + lane;`
        : `let row = group.y * ${gx}u + group.x;`,
      `if (row >= ${this.count}u) { return; }`,
      ...this.root.lines,
      "}",
    ];
    return {
      code: lines.join("\n"),
      reads: reads.map(({ root }) => root),
      writes: this.writes.map(({ root }) => root),
      grid: [gx, Math.ceil(groups / gx), 1],
      flops: this.puller.flops * this.count,
      immediate: this.puller.immediate,
    };
  }
}

/** What a region may hold, before it is known who computes it. */
export type RegionDraft = Pick<RegionPlan, "rows" | "anchors" | "storage">;

/**
 * Roots in memory that `some` anchors of a region read, the others being in it already.
 * @throws NotFusible when some tensor would have to be in memory before the region starts.
 */
export function regionReads(draft: RegionDraft, some: readonly Tensor[]): Tensor[] {
  const lanes: Lanes = { kind: "invocation", width: 1 };
  const element = (root: Tensor): Stored => root.dtype;
  const plan = { ...draft, stored: draft.anchors, lanes, element, maxBuffers: Infinity };
  return new Emitter(plan, false).readsOf(some);
}

/**
 * The shader of a region.
 * @throws NotFusible when some tensor would have to be in memory before the region starts.
 */
export function emitRegion(plan: RegionPlan): RegionCode {
  const vectors = new Emitter(plan, true);
  const code = vectors.emit();
  // Memory that is read both ways is bound twice.
  const fits = code.reads.length + code.writes.length <= plan.maxBuffers;
  if (fits && vectors.assembled === 0) return code;
  const plain = new Emitter(plan, false).emit();
  return fits && code.code.length <= LONGER * plain.code.length ? code : plain;
}
