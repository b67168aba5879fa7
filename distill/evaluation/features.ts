/** @file Images as a trained network sees them: what its last linear layer is given. */
import { Program, variable, type Gpu } from "../../engine/index.ts";
import { splitBuffers, splitParameters, type Model } from "../../models/index.ts";
import type { Dataset } from "../data/dataset.ts";
import { takeTeacher } from "../matching/start.ts";
import type { TrajectoryBuffer } from "../teachers/trajectory.ts";
import { Trainer } from "../training/train.ts";
import { wholeSet } from "./baselines.ts";
import type { Features } from "./coresets.ts";

/** Images at a time. */
const BLOCK = 256;

/**
 * Features of the training images of each class, in the order of the training set, by a teacher
 * (by its place in the buffer) after its last epoch.
 * @throws FileError when the teacher's file is damaged.
 */
export async function teacherFeatures(
  gpu: Gpu,
  model: Model,
  dataset: Dataset,
  teachers: TrajectoryBuffer,
  teacher = 0,
): Promise<{ numbers: number[]; features: Features }[]> {
  const { train, classes } = dataset;
  const { theta, running } = await stateOf(gpu, model, dataset, teachers, teacher);
  const { channels, size } = model.task;
  const hasBuffers = model.runningSize > 0;
  const features = model.features(
    splitParameters(model, variable("theta", [model.size])),
    hasBuffers ? splitBuffers(model, variable("running", [model.runningSize])) : [],
    variable("images", [BLOCK, channels, size, size]),
  );
  using program = await Program.compile(gpu, { look: { features } });
  program.write("theta", theta);
  if (hasBuffers) program.write("running", running);

  const width = features.shape[1]!;
  const numbers = classes.map((): number[] => []);
  train.labels.forEach((label, i) => numbers[label]!.push(i));
  const of = [];
  const images = new Float32Array(BLOCK * channels * size * size);
  for (const list of numbers) {
    const values = new Float32Array(list.length * width);
    for (let at = 0; at < list.length; at += BLOCK) {
      const some = list.slice(at, at + BLOCK);
      images.fill(0).set(train.images(some));
      program.write("images", images);
      program.run("look");
      const [block] = await program.read("features");
      values.set(block.subarray(0, some.length * width), at * width);
    }
    of.push({ numbers: list, features: { values, size: width } });
  }
  return of;
}

/** Parameters and running statistics of a teacher after its last epoch. */
async function stateOf(
  gpu: Gpu,
  model: Model,
  dataset: Dataset,
  teachers: TrajectoryBuffer,
  teacher: number,
) {
  using trainer = await Trainer.compile(gpu, model, wholeSet(dataset), 1);
  takeTeacher({ dataset, teachers, trainer }, teacher);
  return await trainer.state();
}
