/**
 * @file The gradient of the matching loss against central differences of it, and TESLA's against the exact
 * one, on the adapter.
 *
 * Differences are taken along the gradient itself and along two halves of it, drawn at random: there the
 * loss changes most, and float32 shows it best. Where a network has kinks (ReLU, maximum pools) a step
 * of training jumps as a unit switches on, and so does the matching loss: differences of it are then
 * right to a few percent at best, whatever the gradient. So they are taken of a smooth network of the
 * same parameters too, where one has that.
 */
import { Program, type Gpu, type HostData, type Random } from "../../engine/index.ts";
import { hasWidth, type Model } from "../../models/index.ts";
import { studentProcedures, type GradientKind, type StudentOptions } from "./student.ts";
import { backwards, forwards, runAll } from "./unroll.ts";

/** What gradients are taken for. */
export const QUANTITIES = ["images", "labels", "lr"] as const;
export type Quantity = (typeof QUANTITIES)[number];

/** Values of a student's variables: `images`, `labels`, `lr`, `start`, `target`, `batches`, `weights`, and others that it has. */
export type StudentValues = Readonly<Record<string, HostData>>;

/** How a quantity's gradients compare. */
export interface Comparison {
  readonly quantity: Quantity;
  /** Euclidean norm of the exact gradient. */
  readonly norm: number;
  /** Worst relative error of the exact gradient's slopes against differences. */
  readonly differences: number;
  /** The same of the smooth network, where there is one. */
  readonly smooth: number | undefined;
  /** ‖g_TESLA - g‖ / ‖g‖. */
  readonly teslaError: number;
  /** ⟨g_TESLA, g⟩ / (‖g_TESLA‖ ‖g‖). */
  readonly teslaCosine: number;
}

export interface CheckOptions {
  readonly options: Omit<StudentOptions, "gradient">;
  /** The network with smooth functions in place of those with kinks: as many parameters, in the same order. */
  readonly smooth?: Model | undefined;
  readonly values: StudentValues;
  readonly quantities?: readonly Quantity[];
  readonly random: Random;
  /** Is told how many of the comparisons' losses are known. */
  readonly report?: (done: number, of: number) => void;
}

/** The widest difference: what changes the loss by this share of it, or the values by that of theirs. */
const CHANGE = { loss: 0.03, values: 0.3 };
/** How much narrower the others are, from where curvature spoils them to where rounding does. */
const WIDTHS = [1, 1 / 3, 1 / 10, 1 / 30, 1 / 100];
const DIRECTIONS = 3;

const GRADIENTS = { images: "gradImages", labels: "gradLabels", lr: "gradLr" } as const;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};
const norm = (a: ArrayLike<number>): number => Math.sqrt(dot(a, a));

/** The gradients of a student by each quantity, exact or TESLA's, and by differences. */
export async function compareGradients(gpu: Gpu, check: CheckOptions): Promise<Comparison[]> {
  const { options, smooth, quantities = QUANTITIES, report } = check;
  const directions = quantities.map((quantity) => directionCount(check.values[quantity]!));
  const each = 2 * WIDTHS.length * directions.reduce((a, b) => a + b, 0);
  const total = each * (smooth ? 2 : 1);
  let losses = 0;
  const told = (): void => report?.(++losses, total);
  const own = await differencesOf(gpu, options, check, told);
  const twin = smooth && (await differencesOf(gpu, { ...options, model: smooth }, check, told));
  const tesla = await gradientsOf(gpu, { ...options, gradient: "tesla" }, check);
  return quantities.map((quantity, i) => {
    const [g, cheap] = [own[i]!.gradient, tesla[quantity]];
    return {
      quantity,
      norm: norm(g),
      differences: own[i]!.error,
      smooth: twin?.[i]!.error,
      teslaError: norm(cheap.map((v, k) => v - g[k]!)) / norm(g),
      teslaCosine: dot(cheap, g) / (norm(cheap) * norm(g)),
    };
  });
}

interface Student extends Disposable {
  loss(values?: StudentValues): Promise<number>;
  gradients(): Promise<Record<Quantity, Float32Array>>;
}

async function compiled(
  gpu: Gpu,
  options: StudentOptions & { readonly gradient?: GradientKind },
  { values }: CheckOptions,
): Promise<Student> {
  const program = await Program.compile(gpu, studentProcedures(options));
  const write = (some: StudentValues): void => {
    for (const [name, data] of Object.entries(some)) program.write(name, data);
  };
  write(values);
  return {
    async loss(changed = {}) {
      write({ ...changed });
      runAll(program, forwards(options));
      program.run("turn");
      const [loss] = await program.read("loss");
      return loss[0]!;
    },
    async gradients() {
      runAll(program, backwards(options));
      const [images, labels, lr] = await program.read("gradImages", "gradLabels", GRADIENTS.lr);
      return { images, labels, lr };
    },
    [Symbol.dispose]: () => program[Symbol.dispose](),
  };
}

async function gradientsOf(gpu: Gpu, options: StudentOptions, check: CheckOptions) {
  using student = await compiled(gpu, options, check);
  await student.loss();
  return await student.gradients();
}

/** The exact gradient of each quantity, and the worst relative error of its slopes. */
async function differencesOf(
  gpu: Gpu,
  options: StudentOptions,
  check: CheckOptions,
  told: () => void,
): Promise<{ gradient: Float32Array; error: number }[]> {
  using student = await compiled(gpu, options, check);
  const base = await student.loss();
  const gradients = await student.gradients();
  const out = [];
  for (const quantity of check.quantities ?? QUANTITIES) {
    const gradient = gradients[quantity];
    const at = check.values[quantity] as Float32Array<ArrayBuffer>;
    const lossAt = async (h: number, direction: Float32Array): Promise<number> => {
      const loss = await student.loss({ [quantity]: at.map((v, i) => v + h * direction[i]!) });
      told();
      return loss;
    };
    let error = 0;
    for (const direction of directionsOf(gradient, check.random.stream(quantity))) {
      const slope = dot(gradient, direction);
      const widest = Math.min((CHANGE.loss * base) / slope, CHANGE.values * norm(at));
      const widths = WIDTHS.map((width) => width * widest);
      const found = await slopeOf(lossAt, direction, widths);
      error = Math.max(error, Math.abs(found / slope - 1));
    }
    await student.loss({ [quantity]: at });
    out.push({ gradient, error });
  }
  return out;
}

/** Unit vectors along a gradient, along a random half of its elements, and along the others. */
function directionsOf(gradient: Float32Array, random: Random): Float32Array[] {
  const half = gradient.map(() => (random.uniform() < 0.5 ? 1 : 0));
  const parts = [
    gradient,
    gradient.map((g, i) => g * half[i]!),
    gradient.map((g, i) => g * (1 - half[i]!)),
  ];
  return parts.slice(0, directionCount(gradient)).map((d) => {
    const length = norm(d);
    return d.map((v) => v / length);
  });
}

const directionCount = ({ length }: ArrayLike<number>): number => (length > 1 ? DIRECTIONS : 1);

/**
 * The slope of the loss along a direction, from central differences of ever narrower `widths`: of two
 * neighbours that agree best, the narrower.
 */
async function slopeOf(
  lossAt: (h: number, direction: Float32Array) => Promise<number>,
  direction: Float32Array,
  widths: readonly number[],
): Promise<number> {
  const slopes: number[] = [];
  for (const h of widths)
    slopes.push(((await lossAt(h, direction)) - (await lossAt(-h, direction))) / (2 * h));
  const gaps = slopes.slice(1).map((slope, i) => Math.abs(slope - slopes[i]!));
  return slopes[1 + gaps.indexOf(Math.min(...gaps))]!;
}

/** Parts of a ConvNet's name that have kinks, and smooth activations. */
const KINKS = /ASwish|AS|AR|AL|MP/g;

/**
 * The name of the network with smooth functions in place of those with kinks, and as many parameters;
 * the same where it has none; undefined for networks that have no such settings.
 */
export function smoothNetwork(name: string): string | undefined {
  if (!hasWidth(name)) return undefined;
  if (name.includes("AS") && !name.includes("MP")) return name;
  const activation = name.includes("AS") && !name.includes("ASwish") ? "AS" : "ASwish";
  return `${name.replace(KINKS, "")}${activation}${name.includes("MP") ? "AP" : ""}`;
}
