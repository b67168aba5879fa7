/** @file What a run would take of memory and disk, planned without a device or data. */
import { planMatching } from "../matching/match.ts";
import { formatBytes } from "../matching/memory.ts";
import type { Recipe } from "../recipe.ts";
import { modelOf } from "../run.ts";
import { teacherSize } from "../teachers/teacher.ts";

/** Lines that say what distilling by a recipe takes. Throws as {@link planMatching} and {@link modelOf}. */
export async function dryRun(recipe: Recipe): Promise<string> {
  const model = await modelOf(recipe);
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
  ].join("\n");
}
