/**
 * @file Divides a graph into units, each one dispatch: hand-written kernels as they are, and everything
 * between them in regions (see emit.ts), as few as can be.
 */
import { topological, type Stored, type Target, type Tensor } from "../graph/tensor.ts";
import { below, findAnchors, halfOf, inputOf, isVariable } from "./anchors.ts";
import { emitRegion, regionReads, type Lanes, type RegionCode, type RegionDraft } from "./emit.ts";
import { NotFusible, type Storage } from "./pull.ts";
import { computed, foldLength, isRowFold, memoryOf } from "./rows.ts";

/** Work for one dispatch. */
export interface Unit {
  readonly rows: number;
  /** Results, in an order in which each needs only earlier ones. A kernel has one. */
  readonly anchors: Tensor[];
  readonly isKernel: boolean;
}

export interface Schedule {
  /** In an order in which each unit needs only earlier ones. */
  readonly units: readonly Unit[];
  /** Tensors that lie in memory, by the unit that writes them. */
  readonly home: ReadonlyMap<Tensor, Unit>;
  /** Units that a unit needs. */
  readonly needs: ReadonlyMap<Unit, ReadonlySet<Unit>>;
  /** Anchors that are stored: needed by another unit, or outputs. */
  readonly stored: ReadonlySet<Tensor>;
  /** Where anchors and variables lie. Row folds of a region share one allocation. */
  readonly storage: (t: Tensor) => Storage | undefined;
  /** What the elements of an allocation are stored as. */
  readonly element: (root: Tensor) => Stored;
}

/** Elements from which on a tensor is worth storing with half the precision. */
const LARGE = 1024;

/** Whether a result is old memory with some elements replaced. */
const isUpdate = ({ op }: Tensor): boolean =>
  op.form === "update" || (op.form === "kernel" && op.updates !== undefined);

class Scheduler {
  private readonly units: Unit[] = [];
  private readonly home = new Map<Tensor, Unit>();
  private readonly needs = new Map<Unit, Set<Unit>>();
  /** What each unit reads: the tensors below its anchors. */
  private readonly leaves = new Map<Unit, Set<Tensor>>();
  /** Memory that each region's shader reads. */
  private readonly roots = new Map<Unit, ReadonlySet<Tensor>>();
  /** Row folds that share an allocation. */
  private readonly packed = new Map<Tensor, Storage>();
  private readonly anchors: ReadonlySet<Tensor>;
  private readonly outputs: ReadonlySet<Tensor>;
  /** Tensors that share no allocation: outputs, and what kernels overwrite. */
  private readonly alone: ReadonlySet<Tensor>;
  private readonly target: Target;
  private readonly fuse: boolean;

  constructor(
    anchors: ReadonlySet<Tensor>,
    outputs: readonly Tensor[],
    target: Target,
    fuse: boolean,
  ) {
    this.outputs = new Set(outputs.map(memoryOf));
    const updated = topological(outputs).flatMap((t) =>
      t.inputs.filter((_, i) => {
        return t.op.form === "update" ? i === 0 : t.op.form === "kernel" && t.op.updates === i;
      }),
    );
    this.alone = new Set([...this.outputs, ...updated.map(memoryOf)]);
    this.anchors = anchors;
    this.target = target;
    this.fuse = fuse;
  }

  run(): Schedule {
    for (const t of topological(this.outputs)) if (this.anchors.has(t)) this.place(t);
    if (this.fuse) this.mergeRegions();
    const stored = new Set<Tensor>();
    for (const [t, unit] of this.home)
      if (!isRowFold(t) || this.outputs.has(t) || this.usedOutside(t, unit)) stored.add(t);
    const { home, needs, storage, element } = this;
    return { units: this.ordered(), home, needs, stored, storage, element };
  }

  private usedOutside(t: Tensor, unit: Unit): boolean {
    return this.units.some((other) => other !== unit && this.leaves.get(other)!.has(t));
  }

  /** Puts an anchor into an existing region if it fits there, else into a unit of its own. */
  private place(t: Tensor): void {
    const reads = below(t, this.anchors);
    if (t.op.form === "kernel") {
      t.inputs.forEach((_, i) => reads.add(inputOf(t, i).root));
      this.join({ rows: 1, anchors: [], isKernel: true }, t, reads);
      return;
    }
    if (this.fuse) {
      // What these need must be complete before t can be computed: it cannot be a part of it.
      const before = this.neededBy([...reads].flatMap((x) => this.home.get(x) ?? []));
      for (const unit of this.candidates(t, reads)) {
        const roots = before.has(unit) ? undefined : this.rootsWith(unit, t);
        if (!roots) continue;
        this.join(unit, t, reads);
        this.roots.set(unit, roots);
        return;
      }
    }
    const unit = { rows: computed(t).size, anchors: [], isKernel: false };
    this.join(unit, t, reads);
    this.roots.set(unit, new Set(regionReads({ ...unit, storage: this.storage }, [t])));
  }

  /** Regions that hold something `t` needs come first, then those that read what it reads. */
  private candidates(t: Tensor, reads: ReadonlySet<Tensor>): Unit[] {
    const score = (unit: Unit): number => {
      let shared = 0;
      for (const x of reads)
        if (this.home.get(x) === unit) shared += 1000;
        else if (this.leaves.get(unit)!.has(x)) shared += 1;
      return shared;
    };
    return this.units
      .filter((unit) => !unit.isKernel && this.sameRows(unit, t))
      .map((unit) => ({ unit, score: score(unit) }))
      .filter(({ score: s }) => s > 0)
      .sort((a, b) => b.score - a.score)
      .map(({ unit }) => unit);
  }

  private sameRows(unit: Unit, t: Tensor): boolean {
    const { size } = computed(t);
    if (unit.rows === size) return true;
    // Only a region with folds has rows of more than one element.
    return !isRowFold(t) && size % unit.rows === 0 && unit.anchors.some(isRowFold);
  }

  /** What a region would read with `t` in it; undefined when it cannot take it. */
  private rootsWith(unit: Unit, t: Tensor): ReadonlySet<Tensor> | undefined {
    // An elementwise region that takes up a fold would change what its rows are.
    if (isRowFold(t) && !unit.anchors.some(isRowFold)) return undefined;
    const storage = (x: Tensor): Storage | undefined =>
      this.storage(x) ?? (x === t ? this.newStorage(unit, t) : undefined);
    const draft = { rows: unit.rows, anchors: [...unit.anchors, t], storage };
    return this.rootsOf(draft, [t], this.roots.get(unit)!);
  }

  /**
   * What these anchors read if they can be one kernel, within the adapter's number of buffers, else
   * undefined. `added` are those that are not known to fit, `known` is what the others read.
   */
  private rootsOf(
    draft: RegionDraft,
    added: readonly Tensor[],
    known: ReadonlySet<Tensor>,
  ): ReadonlySet<Tensor> | undefined {
    try {
      const reads = new Set([...known, ...regionReads(draft, added)]);
      const writes = new Set(draft.anchors.map((t) => draft.storage(t)!.root));
      return reads.size + writes.size <= this.target.maxBuffers ? reads : undefined;
    } catch (error) {
      if (error instanceof NotFusible) return undefined;
      throw error;
    }
  }

  /**
   * Regions over the same rows that read from each other, or the same tensors, become one where
   * nothing between them forbids it: placing one anchor at a time cannot foresee that they meet.
   */
  private mergeRegions(): void {
    for (let i = 0; i < this.units.length; i++)
      for (let j = i + 1; j < this.units.length; j++) {
        const [a, b] = [this.units[i]!, this.units[j]!];
        const roots = this.rootsTogether(a, b);
        if (!roots) continue;
        this.merge(a, b);
        this.roots.set(a, roots);
        j = i;
      }
  }

  /** What two regions would read as one; undefined when they cannot be. */
  private rootsTogether(a: Unit, b: Unit): ReadonlySet<Tensor> | undefined {
    const folds = (unit: Unit): boolean => unit.anchors.some(isRowFold);
    if (a.isKernel || b.isKernel || a.rows !== b.rows || folds(a) !== folds(b)) return undefined;
    const related = (x: Unit, y: Unit): boolean => {
      for (const t of this.leaves.get(x)!)
        if (this.home.get(t) === y || this.leaves.get(y)!.has(t)) return true;
      return false;
    };
    if (!related(a, b) && !related(b, a)) return undefined;
    const around = (x: Unit, y: Unit): boolean => this.neededBy(this.needs.get(x)!).has(y);
    if (around(a, b) || around(b, a)) return undefined;
    const anchors = inOrder([...a.anchors, ...b.anchors]);
    const draft = { rows: a.rows, anchors, storage: this.storage };
    return this.rootsOf(draft, anchors, new Set());
  }

  private merge(a: Unit, b: Unit): void {
    const anchors = inOrder([...a.anchors, ...b.anchors]);
    const reads = new Set([...this.leaves.get(a)!, ...this.leaves.get(b)!]);
    this.units.splice(this.units.indexOf(b), 1);
    for (const needs of this.needs.values()) if (needs.delete(b)) needs.add(a);
    this.needs.delete(b);
    this.leaves.delete(b);
    this.roots.delete(b);
    this.needs.set(a, new Set());
    a.anchors.length = 0;
    for (const t of anchors) {
      this.packed.delete(t);
      this.home.set(t, a);
    }
    for (const t of anchors) this.join(a, t, reads);
    this.needs.get(a)!.delete(a);
  }

  /** Results that fold a row are small and many: those of a region lie in one allocation. */
  private newStorage(unit: Unit, t: Tensor): Storage {
    const first = unit.anchors.find((x) => this.packed.has(x));
    if (!isRowFold(t) || this.alone.has(t)) return { root: t, offset: 0 };
    const count = unit.anchors.filter((x) => this.packed.has(x)).length;
    return { root: first ?? t, offset: count * unit.rows };
  }

  private readonly storage = (t: Tensor): Storage | undefined => {
    if (isVariable(t)) return { root: t, offset: 0 };
    return this.home.has(t) ? (this.packed.get(t) ?? { root: t, offset: 0 }) : undefined;
  };

  /** With half the precision: what is large, and neither a variable nor shares memory with one. */
  private readonly element = (root: Tensor): Stored => {
    const own = this.home.has(root) && !this.alone.has(root) && !isUpdate(root);
    const large = root.size >= LARGE && !isRowFold(root) && root.dtype === "f32";
    return this.target.precision === "f16" && own && large ? "f16" : root.dtype;
  };

  /** All that these units need, directly or through others. */
  private neededBy(units: Iterable<Unit>): Set<Unit> {
    const needed = new Set<Unit>();
    const stack = [...units];
    while (stack.length > 0)
      for (const unit of this.needs.get(stack.pop()!)!)
        if (!needed.has(unit)) {
          needed.add(unit);
          stack.push(unit);
        }
    return needed;
  }

  private join(unit: Unit, t: Tensor, reads: ReadonlySet<Tensor>): void {
    if (!this.needs.has(unit)) {
      this.units.push(unit);
      this.needs.set(unit, new Set());
      this.leaves.set(unit, new Set());
    }
    const storage = this.newStorage(unit, t);
    if (isRowFold(t) && !this.alone.has(t)) this.packed.set(t, storage);
    unit.anchors.push(t);
    this.home.set(t, unit);
    for (const x of reads) {
      this.leaves.get(unit)!.add(x);
      const from = this.home.get(x);
      if (from && from !== unit) this.needs.get(unit)!.add(from);
    }
  }

  private ordered(): Unit[] {
    const order: Unit[] = [];
    const seen = new Set<Unit>();
    const visit = (unit: Unit): void => {
      if (seen.has(unit)) return;
      seen.add(unit);
      for (const needed of this.needs.get(unit)!) visit(needed);
      order.push(unit);
    };
    this.units.forEach(visit);
    return order;
  }
}

/** Tensors with inputs before users. */
function inOrder(tensors: readonly Tensor[]): Tensor[] {
  const wanted = new Set(tensors);
  return topological(tensors).filter((t) => wanted.has(t));
}

/** Who computes a row: what keeps the adapter busy without waiting for each other. */
export function lanesFor(rows: number, anchors: readonly Tensor[], target: Target): Lanes {
  const folds = anchors.filter(isRowFold);
  const { software, subgroupSize, maxWorkgroupSize } = target;
  if (folds.length === 0) return { kind: "invocation", width: Math.min(64, Math.max(8, rows)) };
  const longest = Math.max(...folds.map(foldLength));
  // Lanes that walk rows of their own find nothing in each other's cache lines: only short rows may.
  if (longest <= (software ? SHORT_ROW : 32) && rows >= 32)
    return { kind: "invocation", width: software ? 16 : 64 };
  // A software adapter pays dearly for barriers.
  if (subgroupSize > 0 && (software || longest <= 4096))
    return { kind: "subgroup", width: subgroupSize };
  return { kind: "workgroup", width: Math.min(longest > 4096 ? 256 : 64, maxWorkgroupSize) };
}

/** Elements of a row that one lane of a software adapter may walk alone. */
const SHORT_ROW = 64;

/** Divides the graph below `outputs` into units. `fuse: false` gives every operation its own. */
export function schedule(outputs: readonly Tensor[], target: Target, fuse = true): Schedule {
  const anchors = findAnchors(outputs, fuse);
  for (;;) {
    const plan = new Scheduler(anchors, outputs, target, fuse).run();
    const before = anchors.size;
    // Tensors stored from now on are still without a place.
    const storage = (t: Tensor): Storage | undefined =>
      plan.storage(t) ?? (anchors.has(t) ? { root: t, offset: 0 } : undefined);
    for (const { isKernel, anchors: results, rows } of plan.units) {
      const [t] = results;
      if (isKernel || results.length > 1) continue;
      while (regionReads({ rows, anchors: [t!], storage }, [t!]).length >= target.maxBuffers)
        anchors.add(halfOf(t!, anchors, target.maxBuffers));
    }
    if (anchors.size === before) return plan;
  }
}

/** The shader of a region of a schedule. */
export function regionCode(
  unit: Unit,
  plan: Schedule,
  target: Target,
  inPlace?: ReadonlyMap<Tensor, Tensor>,
): RegionCode {
  return emitRegion({
    rows: unit.rows,
    anchors: unit.anchors,
    stored: unit.anchors.filter((t) => plan.stored.has(t)),
    storage: plan.storage,
    lanes: lanesFor(unit.rows, unit.anchors, target),
    element: plan.element,
    maxBuffers: target.maxBuffers,
    ...(inPlace ? { inPlace } : {}),
  });
}
