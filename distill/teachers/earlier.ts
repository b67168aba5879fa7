/** @file Teachers that an earlier run has trained already: the same ones, so nothing has to be trained twice. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

import type { Dataset } from "../data/dataset.ts";
import { FileError } from "../files.ts";
import type { Recipe } from "../recipe.ts";
import type { Model } from "../../models/index.ts";
import { givenTeachers, teacherKind } from "./teacher.ts";
import { difference } from "./teacher-meta.ts";

/**
 * A folder of the recipe's own teachers, all of them and no others, in a run or beside runs of the
 * folder `runs`; nothing where there is none, or the recipe names teachers itself.
 */
export function earlierTeachers(
  recipe: Recipe,
  { dataset, model }: { readonly dataset: Dataset; readonly model: Model },
  runs: string,
): string | undefined {
  if (recipe.teachers.folder !== undefined || !existsSync(runs)) return undefined;
  const kind = teacherKind(recipe, dataset);
  return readdirSync(runs, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(runs, name))
    .sort()
    .flatMap((folder) => [join(folder, "buffer"), folder])
    .find((folder) => {
      if (!existsSync(folder)) return false;
      try {
        const { teachers } = givenTeachers(folder, recipe, dataset, model);
        const same = teachers.every(({ meta }) => difference(meta, kind) === undefined);
        return teachers.length === recipe.teachers.experts && same;
      } catch (error) {
        // No teachers, others, or damaged ones.
        if (error instanceof FileError) return false;
        throw error;
      }
    });
}
