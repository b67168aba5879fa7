/** @file Our engine, as one of those measured. */
import {
  conv2d,
  convInput,
  convKernel,
  Gpu,
  matmul,
  Program,
  variable,
  type Procedure,
} from "../../engine/index.ts";
import { studentProcedures } from "../../distill/matching/student.ts";
import { teacherStep } from "../workloads.ts";
import type { OpenOptions, Peer, Prepared } from "./peer.ts";
import { LEARNING_RATE, networkOf, outputOf, type Arrays, type Task } from "./tasks.ts";

/** A task as procedures, the variables to write besides its inputs, and what to run. */
interface Plan {
  readonly procedures: Readonly<Record<string, Procedure>>;
  readonly variables: Readonly<
    Record<string, Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>
  >;
  readonly run: readonly (readonly [procedure: string, times: number])[];
}

function planOf(task: Task, inputs: Arrays): Plan {
  const run: Plan["run"] = [["main", 1]];
  switch (task.kind) {
    case "matmul": {
      const { n } = task;
      const y = matmul(variable("a", [n, n]), variable("b", [n, n]));
      return { procedures: { main: { y } }, variables: inputs, run };
    }
    case "conv": {
      const { of, channels, filters, size, batch } = task;
      const x = variable("x", [batch, channels, size, size]);
      const k = variable("k", [filters, channels, 3, 3]);
      const g = variable("g", [batch, filters, size, size]);
      const padding = { padding: 1 };
      const y = {
        forward: () => conv2d(x, k, padding),
        input: () => convInput(g, k, [size, size], padding),
        kernel: () => convKernel(x, g, [3, 3], padding),
      }[of]();
      return { procedures: { main: { y } }, variables: inputs, run };
    }
    case "teacher step": {
      const lr = Float32Array.of(LEARNING_RATE);
      return {
        procedures: teacherStep(task.width, task.batch),
        variables: { ...inputs, lr },
        run,
      };
    }
    case "iteration": {
      const { width, batch, steps } = task;
      const { start, target, images, labels } = inputs;
      return {
        procedures: studentProcedures({ model: networkOf(width), images: batch, batch, steps }),
        variables: {
          start: start!,
          target: target!,
          images: images!,
          labels: labels!,
          lr: Float32Array.of(LEARNING_RATE),
          batches: Uint32Array.from({ length: steps * batch }, (_, i) => i % batch),
          weights: new Float32Array(steps * batch).fill(1 / batch),
        },
        run: [
          ["begin", 1],
          ["step", steps],
          ["turn", 1],
          ["adjoint", steps],
        ],
      };
    }
  }
}

export async function openOurs({ adapter, checks }: OpenOptions): Promise<Peer> {
  const gpu = await Gpu.open({ adapter: adapter === "" ? undefined : adapter, checks });
  const { name, driver, webgpuVersion } = gpu.facts;
  return {
    versions: { webgpu: webgpuVersion, node: process.versions.node },
    adapter: { name, driver },
    async prepare(task, inputs): Promise<Prepared> {
      const { procedures, variables, run } = planOf(task, inputs);
      const program = await Program.compile(gpu, procedures);
      for (const [variable, data] of Object.entries(variables)) program.write(variable, data);
      const once = (): void => {
        for (const [procedure, times] of run) program.run(procedure, times);
      };
      return {
        async first() {
          once();
          const [output] = await program.read(outputOf(task).name);
          return output;
        },
        async repeat(times) {
          for (let i = 0; i < times; i++) once();
          await program.done();
        },
      };
    },
  };
}
