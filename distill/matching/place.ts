/** @file Where the synthetic set is while it is matched: on the device, or on the host and streamed through it. */
import { Program, type Gpu, type HostData } from "../../engine/index.ts";
import {
  matchingProcedures,
  streamed,
  streamedProcedures,
  type MatchingOptions,
} from "./placement.ts";
import type { Recipe } from "../recipe.ts";
import type { Draws } from "./schedule.ts";
import { partsOf } from "./student.ts";
import { drawTable, minibatchTables, runAll, type Run } from "./unroll.ts";
import {
  updateOf,
  updateOnHost,
  updateSettings,
  type DistilledSet,
  type SetState,
  type Update,
} from "./update.ts";

/** A synthetic set under optimisation, and the program that does it. It owns the program: hold it by `using`. */
export interface Place extends Disposable {
  readonly options: MatchingOptions;
  /** For what is not the set's: `start`, `target`, `importance`, `loss` and the like. */
  readonly program: Program;
  /** Starts from a state. */
  load(state: SetState): void;
  /** Gradients are added up from nothing again. */
  begin(): void;
  /** Sets the S minibatches of a trajectory, and their augmentations. */
  setMinibatches(draws: Minibatches): void;
  /** Runs the student's procedures. */
  run(runs: readonly Run[]): Promise<void>;
  /** The update by the gradients that the runs have added up. */
  update(): Promise<Update>;
  /** A copy of the set as it is evaluated and written: with the average of the images where there is one. */
  set(): Promise<DistilledSet>;
  /** A copy of the state. */
  state(): Promise<SetState>;
}

type Minibatches = Pick<Draws, "minibatches" | "augmentations">;

/** A place on the device, or on the host where `resident` is false. */
export async function openPlace(
  gpu: Gpu,
  options: MatchingOptions,
  recipe: Recipe,
  resident: boolean,
): Promise<Place> {
  return resident
    ? new OnDevice(await Program.compile(gpu, matchingProcedures(options)), options, recipe)
    : new OnHost(
        await Program.compile(gpu, streamedProcedures(streamed(options))),
        options,
        recipe,
      );
}

/** The arrays of a state. */
const arraysOf = ({ average = false }: MatchingOptions) =>
  [
    "images",
    "labels",
    "velocityImages",
    "velocityLabels",
    ...(average ? (["averageImages"] as const) : []),
  ] as const;

const scalar = (value: number): HostData => Float32Array.of(value);

function writeDraws(
  program: Program,
  options: MatchingOptions,
  augmentations: readonly Float32Array[],
): void {
  if (augmentations.length > 0) program.write("draws", drawTable(options, augmentations));
}

class OnDevice implements Place {
  readonly program: Program;
  readonly options: MatchingOptions;

  constructor(program: Program, options: MatchingOptions, recipe: Recipe) {
    this.program = program;
    this.options = options;
    for (const [name, value] of Object.entries(updateSettings(recipe)))
      program.write(name, scalar(value));
  }

  load(state: SetState): void {
    for (const name of arraysOf(this.options)) this.program.write(name, state[name]!);
    this.program.write("lr", scalar(state.lr));
    this.program.write("velocityLr", scalar(state.velocityLr));
  }

  begin(): void {
    // The procedure of that name does it.
  }

  setMinibatches({ minibatches, augmentations }: Minibatches): void {
    const { batches, weights } = minibatchTables(this.options, minibatches);
    this.program.write("batches", batches);
    this.program.write("weights", weights);
    writeDraws(this.program, this.options, augmentations);
  }

  run(runs: readonly Run[]): Promise<void> {
    runAll(this.program, runs);
    return Promise.resolve();
  }

  async update(): Promise<Update> {
    this.program.run("update");
    const values = await this.program.read("loss", "lr", "accepted", "held", "size");
    const [loss, lr, accepted, held, size] = values.map(([value]) => value!);
    return updateOf({ loss: loss!, lr: lr!, accepted: accepted!, held: held!, size: size! });
  }

  async set(): Promise<DistilledSet> {
    const { average = false } = this.options;
    const images = await this.read(average ? "averageImages" : "images");
    const [labels, lr] = await this.program.read("labels", "lr");
    return { images, labels, lr: lr[0]! };
  }

  async state(): Promise<SetState> {
    const state: Record<string, number | Float32Array> = {};
    for (const name of arraysOf(this.options)) state[name] = await this.read(name);
    for (const name of ["lr", "velocityLr"]) state[name] = (await this.read(name))[0]!;
    return state as unknown as SetState;
  }

  [Symbol.dispose](): void {
    this.program[Symbol.dispose]();
  }

  /** One at a time: what is read at once lies a second time on the device. */
  private async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    const [values] = await this.program.read(name);
    return values;
  }
}

/** The set on the host: the device has the images of one micro-batch, and gives their gradients back. */
class OnHost implements Place {
  readonly program: Program;
  readonly options: MatchingOptions;
  private readonly recipe: Recipe;
  private current: SetState | undefined;
  private readonly gradients: { images: Float32Array; labels: Float32Array };
  private tables: ReturnType<typeof minibatchTables> | undefined;

  constructor(program: Program, options: MatchingOptions, recipe: Recipe) {
    this.program = program;
    this.options = options;
    this.recipe = recipe;
    const { channels, size, classes } = options.model.task;
    this.gradients = {
      images: new Float32Array(options.images * channels * size ** 2),
      labels: new Float32Array(options.images * classes),
    };
    const { parts, micro } = partsOf(options);
    const row = Uint32Array.from({ length: options.steps * parts * micro }, (_, i) => i % micro);
    program.write("batches", row);
  }

  load(state: SetState): void {
    this.current = copyOf(state);
    this.program.write("lr", scalar(state.lr));
  }

  begin(): void {
    this.gradients.images.fill(0);
    this.gradients.labels.fill(0);
  }

  setMinibatches({ minibatches, augmentations }: Minibatches): void {
    this.tables = minibatchTables(this.options, minibatches);
    this.program.write("weights", this.tables.weights);
    writeDraws(this.program, this.options, augmentations);
  }

  async run(runs: readonly Run[]): Promise<void> {
    for (const { procedure, times, first, row, adds = false } of runs) {
      if (!row) {
        this.program.run(procedure, times, { first });
        continue;
      }
      for (let repetition = first; repetition < first + times; repetition++) {
        const numbers = this.numbersOf(row(repetition));
        this.send(numbers);
        if (adds) this.program.run("clear");
        this.program.run(procedure, 1, { first: repetition });
        if (adds) await this.collect(numbers);
      }
    }
  }

  async update(): Promise<Update> {
    const [loss, lr] = await this.program.read("loss", "gradLr");
    const gradients = { ...this.gradients, lr: lr[0]! };
    const { state, update } = updateOnHost(this.held, gradients, loss[0]!, this.recipe);
    this.current = state;
    this.program.write("lr", scalar(state.lr));
    return update;
  }

  set(): Promise<DistilledSet> {
    const { averageImages, images, labels, lr } = this.held;
    const set = { images: (averageImages ?? images).slice(), labels: labels.slice(), lr };
    return Promise.resolve(set);
  }

  state(): Promise<SetState> {
    return Promise.resolve(copyOf(this.held));
  }

  [Symbol.dispose](): void {
    this.program[Symbol.dispose]();
  }

  private get held(): SetState {
    if (!this.current) throw new Error("internal: a set must be loaded before it is used");
    return this.current;
  }

  /** Numbers of the images in a row of the tables, idle ones left out: they are the last. */
  private numbersOf(row: number): Uint32Array {
    const { micro } = partsOf(this.options);
    const { batches, weights } = this.tables!;
    const [from, to] = [row * micro, (row + 1) * micro];
    const idle = weights.subarray(from, to).indexOf(0);
    return batches.subarray(from, idle < 0 ? to : from + idle);
  }

  /** Puts images and labels where the device looks for its only micro-batch. */
  private send(numbers: Uint32Array): void {
    for (const name of ["images", "labels"] as const) {
      const from = this.held[name];
      const size = from.length / this.options.images;
      const rows = new Float32Array(partsOf(this.options).micro * size);
      numbers.forEach((n, i) => {
        rows.set(from.subarray(n * size, (n + 1) * size), i * size);
      });
      this.program.write(name, rows);
    }
  }

  /** Adds the device's gradients of a micro-batch to those of the set. */
  private async collect(numbers: Uint32Array): Promise<void> {
    const [images, labels] = await this.program.read("gradImages", "gradLabels");
    addRows(this.gradients.images, numbers, images, this.options.images);
    addRows(this.gradients.labels, numbers, labels, this.options.images);
  }
}

function addRows(to: Float32Array, numbers: Uint32Array, rows: Float32Array, count: number): void {
  const size = to.length / count;
  numbers.forEach((n, i) => {
    for (let k = 0; k < size; k++) to[n * size + k]! += rows[i * size + k]!;
  });
}

function copyOf({ averageImages: average, ...state }: SetState): SetState {
  return {
    ...state,
    images: state.images.slice(),
    labels: state.labels.slice(),
    velocityImages: state.velocityImages.slice(),
    velocityLabels: state.velocityLabels.slice(),
    ...(average ? { averageImages: average.slice() } : {}),
  };
}
