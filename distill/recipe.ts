/** @file Recipes checked and laid over one another; every problem is told in one sentence. */
import { z } from "zod";

import { underMethod, withMethod } from "./matching/methods.ts";
import {
  evaluationSchema,
  GROUPS,
  KEYS,
  recipeSchema,
  teachingSchema,
  type Recipe,
  type RecipeOverrides,
  type Teaching,
} from "./recipe-schema.ts";
import { closest } from "./spelling.ts";

export {
  GROUPS,
  KEYS,
  recipeFlags,
  teachingFlags,
  usualEvaluation,
  type Recipe,
  type RecipeFlag,
  type RecipeOverrides,
  type Teaching,
} from "./recipe-schema.ts";

/** A recipe that can't be followed: one sentence for each problem, a line each. */
export class RecipeError extends Error {
  override readonly name = "RecipeError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/**
 * `base` with the `overrides` that are not undefined in place of its own settings, checked again;
 * `source` names their origin in errors. Throws `RecipeError`.
 */
export function resolveRecipe(
  base: Recipe,
  overrides: RecipeOverrides,
  source = "command line",
): Recipe {
  const { teachers: inherited, ...under } = underMethod(base, overrides);
  const merged = {
    ...under,
    ...given(overrides),
    teachers: { ...(inherited as object), ...given(overrides.teachers) },
    evaluation: { ...base.evaluation, ...given(overrides.evaluation) },
  };
  return checkedRecipe(merged, () => source);
}

/** Settings of an evaluation that no recipe describes: the published ones but for `overrides`. Throws `RecipeError`. */
export const evaluationSettings = (
  overrides: RecipeOverrides["evaluation"],
): Recipe["evaluation"] =>
  checkedBy(
    evaluationSchema,
    given(overrides),
    (path) => `command line, ${path.join(".")}`,
    () => [],
  );

/** What a recipe says of teachers. */
export function teachingOf(settings: Recipe): Teaching {
  const keys = Object.keys(teachingSchema.shape) as (keyof Teaching)[];
  const picked = Object.fromEntries(keys.map((key) => [key, settings[key]])) as Teaching;
  const held = heldOutShare(settings);
  return held > 0 ? { ...picked, held_out: held } : picked;
}

/** Share of each class's training images that are held out where evaluations choose on them. */
const HELD_OUT = 0.1;

/** Share of each class's training images that a recipe holds out. */
export function heldOutShare(settings: Teaching | Recipe): number {
  if (settings.held_out !== undefined) return settings.held_out;
  const chosen = "select_on" in settings && settings.eval_every !== undefined;
  return chosen && settings.select_on === "held-out" ? HELD_OUT : 0;
}

/** Which images a recipe's set is chosen on, if evaluations choose it. */
export const chosenOn = ({ eval_every: interval, keep, select_on: on }: Recipe) =>
  interval !== undefined && keep === "best" ? on : undefined;

/**
 * What `base`, a recipe or nothing, says of teachers with the `overrides` in place of its own
 * settings. It need not suit the matching that the base describes. Throws `RecipeError`.
 */
export function resolveTeaching(
  base: Recipe | undefined,
  overrides: RecipeOverrides,
  source = "command line",
): Teaching {
  const merged = {
    ...(base && teachingOf(base)),
    ...given(overrides),
    teachers: { ...base?.teachers, ...given(overrides.teachers) },
  };
  return checkedBy(teachingSchema, merged, () => source, keptProblems);
}

/** Epochs whose snapshots a teacher keeps, first and last included; that of the last epoch comes besides. */
export function keptEpochs({ keep_epochs: range, epochs }: Teaching["teachers"]): [number, number] {
  if (range === undefined) return [0, epochs];
  const [first, last] = range.split("..").map(Number) as [number, number];
  return [first, last];
}

/** Names of the groups that a setting is in, and its own. */
export type Path = readonly PropertyKey[];

type Problem = [path: Path, must: string, got: string | number];

/**
 * A recipe from what a file or flags say; `where` names the place of a setting in errors. Throws
 * `RecipeError`.
 */
export const checkedRecipe = (value: unknown, where: (path: Path) => string): Recipe =>
  checkedBy(recipeSchema, withMethod(value), where, crossCheck);

/** `value` by a schema, and by what must hold between its settings. */
function checkedBy<T>(
  schema: z.ZodType<T>,
  value: unknown,
  where: (path: Path) => string,
  problemsOf: (settings: T) => Problem[],
): T {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) {
    const problems = problemsOf(parsed.data).map(
      ([path, must, got]) => `${where(path)}: ${path.join(".")} ${must}, got ${got}`,
    );
    if (problems.length > 0) throw new RecipeError(problems);
    return parsed.data;
  }
  const unknown: string[] = [];
  const wrong: string[] = [];
  for (const issue of parsed.error.issues) {
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) {
        const path = [...issue.path, key];
        const must = "every key must be one of a recipe's";
        unknown.push(`${where(path)}: ${must}, got ${shown(path.join("."))}${suggestion(path)}`);
      }
    } else {
      const what = issue.path.length === 0 ? "a recipe" : issue.path.join(".");
      wrong.push(`${where(issue.path)}: ${what} ${issue.message}, got ${shown(issue.input)}`);
    }
  }
  // A mistyped key is also a missing one; its true name comes first.
  throw new RecipeError([...unknown, ...wrong]);
}

/** What must hold between the settings of teachers. */
function keptProblems({ teachers }: Pick<Teaching, "teachers">): Problem[] {
  const { epochs, line } = teachers;
  const [first, last] = keptEpochs(teachers);
  const path = ["teachers", "keep_epochs"];
  if (last > epochs)
    return [[path, `must end at the last epoch (${epochs}) at most`, `${first}..${last}`]];
  if (first > last || (line && first === last))
    return [[path, line ? "must be two epochs" : "must not go backwards", `${first}..${last}`]];
  return [];
}

/** What must hold between settings. */
function crossCheck(settings: Recipe): Problem[] {
  const { sequential, min_start_epoch: least, max_start_epoch: most } = settings;
  const { current_max_start_epoch: current, expansion_end_epoch: end, held_out } = settings;
  const problems = keptProblems(settings);
  if (least >= most) {
    problems.push([["min_start_epoch"], `must be below max_start_epoch (${most})`, least]);
  }
  // The upper bound is exclusive, so the last start is most - 1.
  const needed = most - 1 + settings.expert_epochs;
  if (needed > settings.teachers.epochs) {
    const must = `must reach the last target, max_start_epoch - 1 + expert_epochs = ${needed}`;
    problems.push([["teachers", "epochs"], must, settings.teachers.epochs]);
  } else {
    const [first, last] = keptEpochs(settings.teachers);
    if (problems.length === 0 && (least < first || needed > last)) {
      const must = `must include the epochs that are matched (${least}..${needed})`;
      problems.push([["teachers", "keep_epochs"], must, `${first}..${last}`]);
    }
  }
  if (sequential && current === undefined) {
    problems.push([["current_max_start_epoch"], "must be given when sequential", "nothing"]);
  }
  if (sequential && end === undefined) {
    problems.push([["expansion_end_epoch"], "must be given when sequential", "nothing"]);
  }
  if (sequential && current !== undefined && (current <= least || current > most)) {
    const must = `must be above min_start_epoch (${least}) and at most max_start_epoch (${most})`;
    problems.push([["current_max_start_epoch"], must, current]);
  }
  if (settings.labels === "hard" && settings.lr_y > 0) {
    problems.push([["lr_y"], "must be 0 with hard labels, which are not learned", settings.lr_y]);
  }
  if (settings.eval_every !== undefined && settings.select_on === "held-out" && held_out === 0) {
    const must = "must be above 0 where eval_every chooses on held-out images";
    problems.push([["held_out"], must, held_out]);
  }
  const { micro_batch: micro, batch_syn: batch } = settings;
  if (micro !== undefined && micro > batch) {
    problems.push([["micro_batch"], `must be at most batch_syn (${batch})`, micro]);
  }
  return problems;
}

/** " (did you mean …?)" for an unknown key, or nothing when no key comes near. */
function suggestion(path: Path): string {
  const group = path.slice(0, -1).join(".");
  const inGroups = Object.entries(GROUPS).flatMap(([parent, keys]) =>
    keys.map((key) => `${parent}.${key}`),
  );
  const isHere = (key: string) => key.slice(0, Math.max(0, key.lastIndexOf("."))) === group;
  // The same word in another group is likelier meant than a letter wrong in this one.
  const handicap = (key: string) => (isHere(key) ? 0 : 0.5);
  const meant = closest(String(path.at(-1)), [...KEYS, ...inGroups], handicap);
  return meant === undefined ? "" : ` (did you mean ${shown(meant)}?)`;
}

function given(values: object = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a group";
  if (typeof value === "number") return String(value);
  return JSON.stringify(typeof value === "string" ? value.slice(0, 40) : value);
}
