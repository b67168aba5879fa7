/** @file What a run would take of memory, disk and time: planned without a device or data, and measured. */
import type { Gpu } from "../../engine/index.ts";
import { shownPerClass } from "../report/snapshot.ts";
import { estimate, estimateTeachers, type Estimate, type Probed } from "../probe.ts";
import { formatTime } from "../progress.ts";
import { planMatching } from "../matching/match.ts";
import { formatBytes } from "../matching/memory.ts";
import type { Recipe, Teaching } from "../recipe.ts";
import { modelOf } from "../run.ts";
import type { Model } from "../../models/index.ts";
import { teacherSize } from "../teachers/teacher.ts";

/** Lines that say what distilling by a recipe takes. Throws as {@link planMatching} and {@link modelOf}. */
export async function dryRun(recipe: Recipe, known?: Model): Promise<string> {
  const model = known ?? (await modelOf(recipe));
  const images = recipe.ipc * model.task.classes;
  const { micro, resident, memory } = planMatching(model, recipe, images);
  const { experts } = recipe.teachers;
  const { snapshots, bytes } = teacherSize(recipe, model);
  const at = micro < recipe.batch_syn ? `, ${micro} at once` : "";
  const place = resident ? "on the device" : "on the host, a micro-batch at a time on the device";
  return [
    `network      ${recipe.network}, ${model.size} parameters`,
    `matching     ${recipe.iterations} iterations of ${recipe.syn_steps} steps, minibatches of ${recipe.batch_syn}${at}`,
    `set          ${images} images, ${place}`,
    `GPU memory   ${formatBytes(memory.total)}: ${formatBytes(memory.variables)} of variables (the parameters of ${recipe.syn_steps + 1} steps are ${formatBytes(4 * (recipe.syn_steps + 1) * model.size)}), ${formatBytes(memory.slots)} of slots`,
    `teachers     ${experts} of ${snapshots} snapshots, ${formatBytes(experts * bytes)} on disk`,
    `disk         ${formatBytes((recipe.teachers.folder === undefined ? experts * bytes : 0) + diskOf(recipe, model))} at most`,
  ].join("\n");
}

/** Snapshots of a run, and their pictures. */
const LOOKS = 21;

/** Bytes that a run leaves on the disk besides its teachers, at its largest: two checkpoints are there then. */
export function diskOf(recipe: Recipe, model: Model): number {
  const { channels, size, classes } = model.task;
  const shape = { channels, height: size, width: size };
  const [pixels, labels] = [channels * size ** 2, 4 * classes];
  const images = recipe.ipc * classes;
  const arrays = (2 + (recipe.ema_decay > 0 ? 1 : 0) + 1) * images * (4 * pixels + labels);
  const looks = LOOKS * shownPerClass(recipe.ipc, shape, classes) * classes * (pixels + labels);
  const lines = 350 * recipe.iterations;
  return 2 * arrays + images * (4 * pixels + labels) + 2 * looks + lines;
}

/** A line that says how long the work would take on the adapter. Throws as {@link estimate}. */
export async function timeLine(gpu: Gpu, probed: Probed): Promise<string> {
  return lineOf(await estimate(gpu, probed), gpu);
}

/** The same of teachers alone. */
export async function teachersLine(gpu: Gpu, probed: Probed<Teaching>): Promise<string> {
  return lineOf({ teachers: await estimateTeachers(gpu, probed) }, gpu);
}

function lineOf(times: Partial<Estimate>, { facts }: Gpu): string {
  const parts = Object.entries(times).filter(([, ms]) => ms > 0);
  const total = parts.reduce((sum, [, ms]) => sum + ms, 0);
  const told = parts.map(([name, ms]) => `${name} ${formatTime(ms)}`).join(", ");
  return `time         about ${formatTime(total)}: ${told}, by a few steps on ${facts.name}`;
}
