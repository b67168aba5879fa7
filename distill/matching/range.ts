/** @file Which start epochs suit a synthetic set: measured on the teachers, before anything is optimised. */
import type { Gpu, Random } from "../../engine/index.ts";
import type { Model } from "../../models/index.ts";
import { matchingOptions, planMatching, type Teachers } from "./match.ts";
import { openPlace } from "./place.ts";
import type { Recipe } from "../recipe.ts";
import { drawIteration } from "./schedule.ts";
import type { SyntheticSet } from "./start.ts";
import { backwards, forwards } from "./unroll.ts";
import { freshState } from "./update.ts";

/** What a start epoch t is like, on average over teachers. */
export interface EpochProbe {
  readonly epoch: number;
  /** ‖θ_{t+E} - θ_t‖ / ‖θ_t‖: how far the teacher goes in `expert_epochs`. */
  readonly moved: number;
  /** Matching loss of a student on the set as it starts; from 1 on it leads away from the teacher. */
  readonly loss: number;
  /** Root mean square of the loss's gradient for a pixel. */
  readonly gradient: number;
}

/** Settings of a recipe that {@link proposeRange} advises. */
export interface ProposedRange {
  readonly min_start_epoch: number;
  readonly max_start_epoch: number;
  readonly lr_img: number;
}

/** How {@link probeEpochs} measures. */
export interface ProbeOptions {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly recipe: Recipe;
  readonly teachers: Teachers;
  readonly start: SyntheticSet;
  readonly random: Random;
  /** Teachers that are asked; fewer where there are fewer. */
  readonly samples?: number;
  /** Is told how many of how many epochs are done. */
  readonly report?: (done: number, total: number) => void;
}

/**
 * Takes a student from every start epoch that the teachers' epochs allow, on the set that optimisation
 * would start from, and measures. Nothing is updated.
 * @throws DistillError when batch_syn does not suit the set, or nothing fits the adapter.
 */
export async function probeEpochs(options: ProbeOptions): Promise<EpochProbe[]> {
  const { gpu, model, recipe, teachers, start, random, report } = options;
  const images = start.labels.length / model.task.classes;
  const { micro } = planMatching(model, recipe, images, gpu.facts);
  using place = await openPlace(
    gpu,
    { ...matchingOptions(model, recipe, images), micro, trajectories: 1 },
    recipe,
    true,
  );
  place.load(freshState(start, recipe));
  const { program } = place;
  if (place.options.weighted) program.write("importance", new Float32Array(model.size).fill(1));
  const { channels, size } = model.task;
  const shape = { channels, height: size, width: size };
  const drawn = { recipe, teachers: teachers.count, images, shape, continuous: false, random };
  const samples = Math.min(options.samples ?? 2, teachers.count);
  const last = recipe.teachers.epochs - recipe.expert_epochs;
  const probes: EpochProbe[] = [];
  for (let epoch = 0; epoch <= last; epoch++) {
    const sum = { moved: 0, loss: 0, gradient: 0 };
    for (let teacher = 0; teacher < samples; teacher++) {
      const theta = teachers.snapshot(teacher, epoch);
      const target = teachers.snapshot(teacher, epoch + recipe.expert_epochs);
      place.setMinibatches(drawIteration(drawn, epoch * samples + teacher));
      program.write("start", theta);
      program.write("target", target);
      await place.run(forwards(place.options));
      program.run("turn");
      await place.run(backwards(place.options, recipe.syn_steps));
      const [loss, gradient] = await program.read("loss", "gradImages");
      const way = target.map((v, i) => v - theta[i]!);
      sum.moved += norm(way) / norm(theta) / samples;
      sum.loss += loss[0]! / samples;
      sum.gradient += norm(gradient) / Math.sqrt(gradient.length) / samples;
    }
    probes.push({ epoch, ...sum });
    report?.(epoch + 1, last + 1);
  }
  return probes;
}

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((s, v) => s + v * v, 0));

/** From this loss on a student strays so far that gradients through it are large and of little use. */
const HARD = 0.8;
/** Below this part of {@link HARD} the real images teach already what matching would. */
const EASY = 0.5;
/** The part of the pixels' own size that a first update should change. */
const STEP = 0.01;

/**
 * A start range and rate for a set whose input-space pixels have root mean square `rms`: from the first
 * epoch that is not easy for the set to the first that is too hard for it, and the rate at which one
 * update by the gradients of that range moves pixels by a hundredth of their size. Larger sets can
 * follow teachers further, so their ranges are later (DATM's finding, measured on the user's own data).
 */
export function proposeRange(probes: readonly EpochProbe[], rms: number): ProposedRange {
  const hard = probes.findIndex(({ loss }) => !(loss < HARD));
  const max = Math.max(1, hard < 0 ? probes.length : hard);
  const easy = probes.slice(0, max).findIndex(({ loss }) => !(loss < HARD * EASY));
  const min = Math.min(max - 1, Math.max(0, easy));
  const gradients = probes.slice(min, max).map(({ gradient }) => gradient);
  const middle = gradients.sort((a, b) => a - b)[Math.floor((gradients.length - 1) / 2)]!;
  const lr = Number(((STEP * rms) / middle).toPrecision(1));
  return { min_start_epoch: min, max_start_epoch: max, lr_img: lr };
}
