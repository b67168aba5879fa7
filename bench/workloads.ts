/** @file What is measured: kernels at the shapes that occur, and whole programs. */
import {
  add,
  avgPool,
  conv2d,
  convInput,
  convKernel,
  crossEntropy,
  full,
  gather,
  grad,
  instanceNorm,
  matmul,
  mul,
  relu,
  reshape,
  sub,
  sum,
  variable,
  vjp,
  type Procedure,
  type Tensor,
} from "../engine/index.ts";
import { buildModel, joinParameters, splitParameters } from "../models/index.ts";
import { studentProcedures } from "../distill/student.ts";

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
  /** A smaller program of the same making, where the oracle would take minutes for the real one. */
  readonly smaller?: Readonly<Record<string, Procedure>>;
}

function kernel(
  name: string,
  roof: Workload["roof"],
  y: Tensor | Readonly<Record<string, Tensor>>,
  flops?: number,
): Workload {
  const outputs = "op" in y ? { y: y as Tensor } : y;
  return {
    name,
    roof,
    procedures: { main: outputs },
    run: [["main", 1]],
    ...(flops === undefined ? {} : { flops }),
  };
}

const square = (n: number): Workload =>
  kernel(`matmul ${n}`, "fma", matmul(variable("a", [n, n]), variable("b", [n, n])), 2 * n ** 3);

/** The three convolutions of C → O channels on images of `size` pixels, 3×3, padding 1. */
function convolutions(c: number, o: number, size: number, n: number): Workload[] {
  const x = variable("x", [n, c, size, size]);
  const k = variable("k", [o, c, 3, 3]);
  const g = variable("g", [n, o, size, size]);
  const what = `${c}x${o} ${size}x${size} n${n}`;
  const flops = 2 * n * c * o * size * size * 9;
  const padding = { padding: 1 };
  return [
    kernel(`conv forward ${what}`, "fma", conv2d(x, k, padding), flops),
    kernel(`conv input ${what}`, "fma", convInput(g, k, [size, size], padding), flops),
    kernel(`conv kernel ${what}`, "fma", convKernel(x, g, [3, 3], padding), flops),
  ];
}

/** Instance norm → ReLU → 2×2 average pool: forward, backward, and the adjoint of the backward. */
function planes(c: number, size: number, n: number): Workload[] {
  const z = variable("z", [n, c, size, size]);
  const scale = variable("scale", [c]);
  const shift = variable("shift", [c]);
  const y = avgPool(relu(instanceNorm(z, scale, shift)), { size: 2 });
  const g = variable("g", y.shape);
  const first = vjp(y, [z, scale, shift], g);
  const u = variable("u", z.shape);
  const along = sum(mul(first[0]!, u));
  const second = grad(along, [z, scale, g]);
  const what = `${c} ${size}x${size} n${n}`;
  const named = (list: readonly Tensor[]) =>
    Object.fromEntries(list.map((t, i) => [`out${i}`, t] as const));
  return [
    kernel(`plane forward ${what}`, "copy", y),
    kernel(`plane backward ${what}`, "copy", named(first)),
    kernel(`plane adjoint ${what}`, "copy", named(second)),
  ];
}

function simple(): Workload[] {
  const x = variable("x", [1024, 1024]);
  const index = variable("index", [512], "u32");
  return [
    kernel("reduce rows 1024x1024", "copy", sum(x, [1])),
    kernel("reduce columns 1024x1024", "copy", sum(x, [0])),
    kernel("elementwise 1024x1024", "copy", add(mul(x, 0.5), relu(sub(x, 1)))),
    kernel("gather 512 of 1024x1024", "copy", gather(x, index)),
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

function student(width: number, n: number, steps: number): Record<string, Procedure> {
  const model = buildModel("ConvNetD3", { channels: 3, size: 32, classes: 10 }, { width });
  const procedures = studentProcedures({ model, images: n, batch: n, steps });
  const setStep = (at: number): Procedure => ({ step: full([], at, "u32") });
  return { ...procedures, first: setStep(0), last: setStep(steps) };
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
      ...row("student step", [
        ["first", 1],
        ["step", steps],
      ]),
      parts: steps,
    },
    {
      ...row("adjoint", [
        ["last", 1],
        ["adjoint", steps],
      ]),
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
    ...(quick ? [] : [square(1024)]),
    ...convolutions(64, 64, 16, 32),
    ...(quick
      ? []
      : [
          ...convolutions(3, 32, 32, 32),
          ...convolutions(32, 32, 16, 32),
          ...convolutions(32, 32, 8, 32),
        ]),
    ...planes(32, 32, 32),
    ...simple(),
    ...programs(32, 5),
    ...(quick ? [] : programs(128, 2)),
  ];
}
