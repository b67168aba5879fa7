/** @file What is measured: kernels at the shapes that occur, and whole programs. */
import {
  add,
  avgPool,
  conv2d,
  convInput,
  convKernel,
  crossEntropy,
  gather,
  grad,
  instanceNorm,
  matmul,
  mul,
  relu,
  reshape,
  sub,
  sum,
  topological,
  variable,
  vjp,
  type Procedure,
  type Tensor,
} from "../engine/index.ts";
import { buildModel, joinParameters, splitParameters } from "../models/index.ts";
import { studentProcedures } from "../distill/matching/student.ts";

/** One row of the benchmark. */
export interface Workload {
  readonly name: string;
  /** Which roof it is measured against. */
  readonly roof: "fma" | "copy";
  readonly procedures: Readonly<Record<string, Procedure>>;
  /** What a sample runs, in order. */
  readonly run: readonly (readonly [procedure: string, times: number])[];
  /** Into how many equal parts a sample's time is divided; 1 when absent. */
  readonly parts?: number;
  /** Multiplications and additions of the textbook formula; absent where the program's own count serves. */
  readonly flops?: number;
  /** Bytes that no way of doing it can avoid; absent where the program's own count serves. */
  readonly bytes?: number;
  /** A smaller program of the same making, where the oracle would take minutes for the real one. */
  readonly smaller?: Readonly<Record<string, Procedure>>;
}

type Outputs = Readonly<Record<string, Tensor>>;

/** Bytes of a formula: what it is given read once, its results written once. */
function leastTraffic(outputs: Outputs): number {
  const results = Object.values(outputs);
  const inputs = topological(results).filter((t) => t.op.name === "variable");
  return [...inputs, ...results].reduce((sum, t) => sum + 4 * t.size, 0);
}

/** One procedure, whose bytes are those of its formula. */
function kernel(
  name: string,
  roof: Workload["roof"],
  outputs: Outputs,
  more: Pick<Workload, "flops" | "bytes" | "smaller"> = {},
): Workload {
  const procedures = { main: outputs };
  return { name, roof, procedures, run: [["main", 1]], bytes: leastTraffic(outputs), ...more };
}

function square(n: number): Workload {
  const y = matmul(variable("a", [n, n]), variable("b", [n, n]));
  return kernel(`matmul ${n}`, "fma", { y }, { flops: 2 * n ** 3 });
}

/** A classifier's product, its weights `[n, k]`. */
const classifier = (m: number, k: number, n: number): Workload => {
  const y = matmul(variable("x", [m, k]), variable("w", [n, k]), { transposeB: true });
  return kernel(`matmul ${m}x${k}x${n}`, "fma", { y }, { flops: 2 * m * k * n });
};

/** The three convolutions of C → O channels on images of `size` pixels, 3×3, padding 1. */
function convolutions(c: number, o: number, size: number, n: number): Workload[] {
  const x = variable("x", [n, c, size, size]);
  const k = variable("k", [o, c, 3, 3]);
  const g = variable("g", [n, o, size, size]);
  const what = `${c}x${o} ${size}x${size} n${n}`;
  const flops = 2 * n * c * o * size * size * 9;
  const padding = { padding: 1 };
  const row = (kind: string, y: Tensor): Workload =>
    kernel(`conv ${kind} ${what}`, "fma", { y }, { flops });
  return [
    row("forward", conv2d(x, k, padding)),
    row("input", convInput(g, k, [size, size], padding)),
    row("kernel", convKernel(x, g, [3, 3], padding)),
  ];
}

/** Instance norm → ReLU → 2×2 average pool: forward, backward, and the adjoint of the backward. */
function planeFormulas(c: number, size: number, n: number): Record<string, Outputs> {
  const z = variable("z", [n, c, size, size]);
  const scale = variable("scale", [c]);
  const shift = variable("shift", [c]);
  const y = avgPool(relu(instanceNorm(z, scale, shift)), { size: 2 });
  const g = variable("g", y.shape);
  const first = vjp(y, [z, scale, shift], g);
  const u = variable("u", z.shape);
  const along = sum(mul(first[0]!, u));
  const second = grad(along, [z, scale, g]);
  const named = (list: readonly Tensor[]): Outputs =>
    Object.fromEntries(list.map((t, i) => [`out${i}`, t] as const));
  return { forward: { y }, backward: named(first), adjoint: named(second) };
}

/** Planes are independent but for the gradients of scale and shift: the oracle does fewer images. */
function planes(c: number, size: number, n: number): Workload[] {
  const fewer = planeFormulas(c, size, 3);
  return Object.entries(planeFormulas(c, size, n)).map(([kind, outputs]) =>
    kernel(`plane ${kind} ${c} ${size}x${size} n${n}`, "copy", outputs, {
      smaller: { main: fewer[kind]! },
    }),
  );
}

function simple(): Workload[] {
  const x = variable("x", [1024, 1024]);
  const index = variable("index", [512], "u32");
  const some = gather(x, index);
  return [
    kernel("reduce rows 1024x1024", "copy", { y: sum(x, [1]) }),
    kernel("reduce columns 1024x1024", "copy", { y: sum(x, [0]) }),
    kernel("elementwise 1024x1024", "copy", { y: add(mul(x, 0.5), relu(sub(x, 1))) }),
    kernel("gather 512 of 1024x1024", "copy", { y: some }, { bytes: 4 * (2 * some.size + 512) }),
  ];
}

/** One SGD step on a minibatch of real images. */
export function teacherStep(width: number, n: number): Record<string, Procedure> {
  const model = buildModel("ConvNetD3", { channels: 3, size: 32, classes: 10 }, { width });
  const theta = variable("theta", [model.size]);
  const parameters = splitParameters(model, theta);
  const logits = model.forward(parameters, variable("x", [n, 3, 32, 32]));
  const loss = crossEntropy(logits, variable("targets", [n, 10]));
  const step = mul(joinParameters(grad(loss, parameters)), reshape(variable("lr", [1]), [1]));
  return { main: { theta: sub(theta, step), loss } };
}

export function student(width: number, n: number, steps: number): Record<string, Procedure> {
  const model = buildModel("ConvNetD3", { channels: 3, size: 32, classes: 10 }, { width });
  return studentProcedures({ model, images: n, batch: n, steps });
}

function programs(width: number, steps: number): Workload[] {
  const procedures = student(width, 10, steps);
  const smaller = student(4, 2, 2);
  const row = (name: string, run: Workload["run"]): Workload => ({
    name: `${name} ConvNetD3 w${width} n10`,
    roof: "fma",
    procedures,
    run,
    smaller,
  });
  return [
    {
      name: `teacher step ConvNetD3 w${width} n32`,
      roof: "fma",
      procedures: teacherStep(width, 32),
      run: [["main", 1]],
      smaller: teacherStep(4, 2),
    },
    {
      ...row("student step", [["step", steps]]),
      parts: steps,
    },
    {
      ...row("adjoint", [["adjoint", steps]]),
      parts: steps,
    },
    {
      ...row("iteration", [
        ["begin", 1],
        ["step", steps],
        ["turn", 1],
        ["adjoint", steps],
      ]),
      name: `iteration ConvNetD3 w${width} n10 s${steps}`,
    },
  ];
}

/** All rows, in the order of the table. */
export function workloads(quick: boolean): Workload[] {
  return [
    square(512),
    ...(quick ? [] : [square(1024), classifier(10, 512, 10), classifier(50, 64, 10)]),
    ...convolutions(64, 64, 16, 32),
    ...(quick
      ? []
      : [
          ...convolutions(3, 32, 32, 32),
          ...convolutions(32, 32, 16, 32),
          ...convolutions(32, 32, 8, 32),
          ...convolutions(128, 128, 16, 10),
        ]),
    ...planes(32, 32, 32),
    ...(quick ? [] : planes(128, 32, 10)),
    ...simple(),
    ...programs(32, 5),
    ...(quick ? [] : programs(128, 2)),
  ];
}
