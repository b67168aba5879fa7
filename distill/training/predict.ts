/** @file Logits of images under a network's parameters, a block of images at a time. */
import { Program, variable, type Gpu, type Tensor } from "../../engine/index.ts";
import { splitBuffers, splitParameters, type Model } from "../../models/index.ts";

/** A network's numbers. */
export interface NetworkState {
  /** Parameters `[P]`. */
  readonly theta: Float32Array<ArrayBuffer>;
  /** Running statistics of batch norms `[R]`. */
  readonly running: Float32Array<ArrayBuffer>;
}

/** Images that are classified at once where nothing is trained: few, since often there is only one. */
const BLOCK = 32;

/**
 * Logits `[block, K]` of the variable `queries` `[block, C, H, W]`, under `theta` `[P]` and `running`
 * `[R]`.
 */
export function prediction(model: Model, block: number): Tensor {
  const { channels, size } = model.task;
  const parameters = splitParameters(model, variable("theta", [model.size]));
  const queries = variable("queries", [block, channels, size, size]);
  const { runningSize } = model;
  const buffers = runningSize === 0 ? [] : splitBuffers(model, variable("running", [runningSize]));
  return model.evaluate(parameters, buffers, queries);
}

/**
 * Logits `[count, K]` of images given in blocks by `images(indices)`, from a program whose procedure
 * `predict` has {@link prediction} as `logits`.
 */
export async function logitsBy(
  program: Program,
  { task: { channels, size, classes } }: Model,
  block: number,
  images: (indices: ArrayLike<number>) => Float32Array,
  count: number,
): Promise<Float32Array<ArrayBuffer>> {
  const out = new Float32Array(count * classes);
  const queries = new Float32Array(block * channels * size * size);
  for (let at = 0; at < count; at += block) {
    const n = Math.min(block, count - at);
    queries.fill(0).set(images(Array.from({ length: n }, (_, i) => at + i)));
    program.write("queries", queries);
    program.run("predict");
    const [logits] = await program.read("logits");
    out.set(logits.subarray(0, n * classes), at * classes);
  }
  return out;
}

/** A network that is asked and not trained. It owns a program: hold it by `using`. */
export class Predictor implements Disposable {
  private readonly program: Program;
  private readonly model: Model;

  private constructor(program: Program, model: Model) {
    this.program = program;
    this.model = model;
  }

  static async compile(gpu: Gpu, model: Model, { theta, running }: NetworkState) {
    const procedures = { predict: { logits: prediction(model, BLOCK) } };
    const program = await Program.compile(gpu, procedures);
    program.write("theta", theta);
    if (model.runningSize > 0) program.write("running", running);
    return new Predictor(program, model);
  }

  /** Logits `[count, K]` of images `[n, C, H, W]` given in blocks by `images(indices)`. */
  logits(
    images: (indices: ArrayLike<number>) => Float32Array,
    count: number,
  ): Promise<Float32Array<ArrayBuffer>> {
    return logitsBy(this.program, this.model, BLOCK, images, count);
  }

  [Symbol.dispose](): void {
    this.program[Symbol.dispose]();
  }
}
