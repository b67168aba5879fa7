/**
 * @file From a schedule to a launch list: where each tensor lies, and in which order everything runs.
 * A place is a variable's own memory or a slot; slots are shared by tensors that never live at the
 * same time, across all procedures of a program.
 */
import { topological, type KernelOp, type Target, type Tensor } from "../graph/tensor.ts";
import { describeKernel, describeRegion, type Description } from "./describe.ts";
import { NotFusible } from "./pull.ts";
import { inputOf, isVariable } from "./anchors.ts";
import { regionCode, schedule, type Schedule, type Unit } from "./schedule.ts";
import { memoryOf } from "./rows.ts";
import { specialise } from "./shader.ts";
import { always, type Choose } from "./tune.ts";

/** Memory of a program: a variable's by name, or a slot by number. */
export type Place = string | number;

/** One launch of a shader. */
export interface Dispatch extends Description {
  readonly kind: "dispatch";
  readonly code: string;
  /** Places in binding order; reads come before writes. */
  readonly bindings: readonly Place[];
  readonly reads: number;
  readonly grid: readonly [number, number, number];
  /** Whether the shader asks for the number of the repetition. */
  readonly immediate: boolean;
  readonly flops: number;
}

/** One launch of a shader, or one copy between places. */
export type Step =
  | Dispatch
  | { readonly kind: "copy"; readonly from: Place; readonly to: Place; readonly bytes: number };

/** What a procedure assigns: a tensor to each variable, all at once. */
export type Assignments = ReadonlyMap<string, Tensor>;

/** Sizes of slots in bytes, and which are free; grows as procedures are planned. */
export class Slots {
  readonly bytes: number[] = [];
  private readonly free = new Set<number>();

  /** The free slot that fits best; enlarges the largest free one or adds one if none fits. */
  take(bytes: number): number {
    const fitting = [...this.free].sort((a, b) => this.bytes[a]! - this.bytes[b]!);
    const slot = fitting.find((s) => this.bytes[s]! >= bytes) ?? fitting[fitting.length - 1];
    if (slot === undefined) return this.bytes.push(bytes) - 1;
    this.free.delete(slot);
    this.bytes[slot] = Math.max(this.bytes[slot]!, bytes);
    return slot;
  }

  give(slot: number): void {
    this.free.add(slot);
  }
}

const bytesOf = (t: Tensor): number => t.size * 4;

/** Bytes of an allocation: a tensor, or all row folds that lie with it. */
function allocationBytes(root: Tensor, { home, storage, element }: Schedule): number {
  const together = home.get(root)?.anchors.filter((t) => storage(t)?.root === root) ?? [];
  const bytes = element(root) === "f16" ? 2 : 4;
  return Math.max(1, together.length) * root.size * bytes;
}

/** A unit with its shader. `reads` are tensors in memory, `writes` its results. */
interface Launch {
  readonly unit: Unit;
  readonly about: Description;
  readonly code: string;
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
  /** Results that are old contents overwritten in part. */
  readonly updates: readonly { readonly result: Tensor; readonly old: Tensor }[];
  readonly grid: readonly [number, number, number];
  readonly immediate: boolean;
  readonly flops: number;
}

function kernelLaunch(unit: Unit, plan: Schedule, target: Target, choose: Choose): Launch {
  const t = unit.anchors[0]!;
  const op = t.op as KernelOp;
  const views = t.inputs.map((_, i) => {
    const view = inputOf(t, i);
    const { root, offset } = plan.storage(view.root)!;
    return { root, offset: view.offset + offset };
  });
  const starts = views.map(({ offset }) => offset);
  const about = describeKernel(t);
  const old = op.updates === undefined ? undefined : views[op.updates]!.root;
  const launches = op.kernels(t.inputs, t, target, starts).map((kernel): Launch => {
    const operands = kernel.operands ?? views.map((_, i) => i);
    const read = operands.filter((i) => i !== op.updates).map((i) => views[i]!);
    const at = Object.fromEntries(read.map(({ offset }, i) => [`AT${i}`, offset]));
    const types = [...read.map(({ root }, i) => [`T${i}`, root] as const), ["TY", t] as const]
      .filter(([, root]) => root.dtype === "f32")
      .map(([alias, root]) => [alias, plan.element(root)] as const);
    return {
      unit,
      about,
      code: specialise(kernel.shader, { ...kernel.constants, ...at }, Object.fromEntries(types)),
      reads: read.map(({ root }) => root),
      writes: [t],
      updates: old ? [{ result: t, old }] : [],
      grid: kernel.grid,
      immediate: false,
      flops: kernel.flops,
    };
  });
  const candidates = launches.map(({ code, grid, reads, writes, flops }) => ({
    label: op.name,
    code,
    grid,
    reads: reads.map((root) => allocationBytes(root, plan)),
    writes: writes.map((root) => allocationBytes(root, plan)),
    flops,
  }));
  return launches[choose(candidates)]!;
}

function regionLaunch(
  unit: Unit,
  plan: Schedule,
  target: Target,
  inPlace?: ReadonlyMap<Tensor, Tensor>,
): Launch {
  const stored = unit.anchors.filter((t) => plan.stored.has(t));
  const about = describeRegion(unit.anchors, stored, (t) => plan.storage(t) !== undefined);
  const updates = stored
    .filter((t) => t.op.form === "update")
    .map((result) => ({ result, old: memoryOf(result.inputs[0]!) }));
  return { unit, about, updates, ...regionCode(unit, plan, target, inPlace) };
}

/** Plans one procedure; takes its slots from `slots` and gives all back. */
export class Planner {
  private readonly plan: Schedule;
  private readonly launches = new Map<Unit, Launch>();
  /** Results written straight into a variable. */
  private readonly direct = new Map<Tensor, string>();
  private readonly variables: ReadonlyMap<string, Tensor>;
  private readonly assignments: Assignments;
  private readonly after = new Map<Unit, Set<Unit>>();

  constructor(assignments: Assignments, target: Target, fuse: boolean, choose: Choose = always(0)) {
    this.assignments = assignments;
    const outputs = [...assignments.values()];
    this.plan = schedule(outputs, target, fuse);
    this.variables = new Map(
      topological(outputs)
        .filter(isVariable)
        .map((t) => [t.params["name"] as string, t]),
    );
    for (const unit of this.plan.units) {
      this.after.set(unit, new Set(this.plan.needs.get(unit)));
      const launch = unit.isKernel
        ? kernelLaunch(unit, this.plan, target, choose)
        : regionLaunch(unit, this.plan, target);
      this.launches.set(unit, launch);
    }
    for (const [name, value] of assignments) this.assignDirectly(name, memoryOf(value), target);
  }

  /** Lets a result be written into its variable if nothing needs the old value any more by then. */
  private assignDirectly(name: string, t: Tensor, target: Target): void {
    const unit = this.plan.home.get(t);
    if (!unit || this.direct.has(t)) return;
    const old = this.variables.get(name);
    if (!old) {
      this.direct.set(t, name);
      return;
    }
    const readers = this.plan.units.filter((u) => {
      const { reads, updates } = this.launches.get(u)!;
      return u !== unit && (reads.includes(old) || updates.some((update) => update.old === old));
    });
    if (readers.some((reader) => this.follows(reader, unit))) return;
    const launch = this.launches.get(unit)!;
    if (launch.reads.includes(old)) {
      if (unit.isKernel || launch.updates.some(({ result }) => result === t)) return;
      try {
        const others = [...this.direct].filter(([x]) => unit.anchors.includes(x));
        const inPlace = new Map([[old, t] as const]);
        for (const [x, n] of others) {
          const v = this.variables.get(n);
          if (v && !launch.reads.includes(v)) inPlace.set(v, x);
        }
        this.launches.set(unit, regionLaunch(unit, this.plan, target, inPlace));
      } catch (error) {
        if (error instanceof NotFusible) return;
        throw error;
      }
    }
    this.direct.set(t, name);
    for (const reader of readers) this.after.get(unit)!.add(reader);
  }

  /** Whether `a` must run after `b`. */
  private follows(a: Unit, b: Unit): boolean {
    const stack = [...this.after.get(a)!];
    const seen = new Set<Unit>();
    while (stack.length > 0) {
      const unit = stack.pop()!;
      if (unit === b) return true;
      if (seen.has(unit)) continue;
      seen.add(unit);
      stack.push(...this.after.get(unit)!);
    }
    return false;
  }

  private ordered(): Unit[] {
    const order: Unit[] = [];
    const seen = new Set<Unit>();
    const visit = (unit: Unit): void => {
      if (seen.has(unit)) return;
      seen.add(unit);
      this.after.get(unit)!.forEach(visit);
      order.push(unit);
    };
    this.plan.units.forEach(visit);
    return order;
  }

  /** The launch list. Assignments that could not be written directly are copied at the end. */
  steps(slots: Slots): Step[] {
    const launches = this.ordered().map((unit) => this.launches.get(unit)!);
    const lastUse = this.lastUses(launches);
    const steps: Step[] = [];
    const aside = this.setAside(slots, steps);
    const held = new Map<Tensor, number>();
    const place = (t: Tensor): Place =>
      isVariable(t) ? (t.params["name"] as string) : (this.direct.get(t) ?? held.get(t)!);

    launches.forEach((launch, i) => {
      for (const t of launch.writes)
        if (!this.direct.has(t)) held.set(t, slots.take(allocationBytes(t, this.plan)));
      for (const { result, old } of launch.updates) {
        const [from, to] = [place(old), place(result)];
        if (from !== to) steps.push({ kind: "copy", from, to, bytes: bytesOf(old) });
      }
      const used = [...launch.reads, ...launch.writes];
      steps.push({
        kind: "dispatch",
        ...launch.about,
        code: launch.code,
        bindings: used.map(place),
        reads: launch.reads.length,
        grid: launch.grid,
        immediate: launch.immediate,
        flops: launch.flops,
      });
      for (const [t, slot] of held)
        if (lastUse.get(t) === i) {
          slots.give(slot);
          held.delete(t);
        }
    });

    for (const [name, value] of this.assignments) {
      const t = memoryOf(value);
      const own = place(t);
      if (own === name) continue;
      const from = isVariable(t) ? (aside.get(own as string) ?? own) : own;
      steps.push({ kind: "copy", from, to: name, bytes: bytesOf(t) });
    }
    for (const slot of [...held.values(), ...aside.values()]) slots.give(slot);
    return steps;
  }

  /** The launch after which nothing needs a tensor; assigned ones are needed to the end. */
  private lastUses(launches: readonly Launch[]): Map<Tensor, number> {
    const lastUse = new Map<Tensor, number>();
    launches.forEach((launch, i) => {
      for (const t of [...launch.reads, ...launch.writes]) lastUse.set(t, i);
      for (const { old } of launch.updates) lastUse.set(old, i);
    });
    for (const value of this.assignments.values()) lastUse.set(memoryOf(value), Infinity);
    return lastUse;
  }

  /**
   * Variables that are assigned to others and get a new value themselves: copied aside before
   * anything runs.
   */
  private setAside(slots: Slots, steps: Step[]): Map<string, number> {
    const aside = new Map<string, number>();
    for (const [name, value] of this.assignments) {
      const t = memoryOf(value);
      const from = isVariable(t) ? (t.params["name"] as string) : name;
      if (from === name || aside.has(from) || !this.assignments.has(from)) continue;
      const slot = slots.take(bytesOf(t));
      aside.set(from, slot);
      steps.push({ kind: "copy", from, to: slot, bytes: bytesOf(t) });
    }
    return aside;
  }
}
