/** @file Recipes: the settings of a run under their usual names, checked. */
import { z } from "zod";

import { parseBytes } from "./matching/memory.ts";
import { METHOD_NAMES, underMethod, withMethod } from "./matching/methods.ts";
import { closest } from "./spelling.ts";
import { DSA_STRATEGY, isStrategy, STRATEGY_RULE } from "./training/strategy.ts";

/** A recipe that can't be followed: one sentence for each problem, a line each. */
export class RecipeError extends Error {
  override readonly name = "RecipeError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** Typed arrays and shader indices are 32 bits wide. */
const MOST = 2 ** 31 - 1;

const rule = (text: string) => ({ error: `must be ${text}` });

function integer(least: number, most = MOST) {
  const must = rule(most === MOST ? `an integer from ${least}` : `an integer in ${least}..${most}`);
  return z.int(must).min(least, must).max(most, must);
}

function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, rule(`one of ${values.join(", ")}`));
}

const aboveZero = rule("a number above 0");
const positive = z.number(aboveZero).positive(aboveZero);
const fromZero = rule("a number from 0");
const notNegative = z.number(fromZero).min(0, fromZero);
const belowOne = rule("a number from 0 and below 1");
const momentum = z.number(belowOne).min(0, belowOne).lt(1, belowOne);
const share = z.number(belowOne).min(0, belowOne).lt(1, belowOne);
const someName = rule("a name");
const name = z.string(someName).min(1, someName);
const group = rule("a group of keys");
const yesOrNo = z.boolean(rule("true or false"));
const epochRange = rule('two epochs like "0..60"');
const bytes = z
  .union([z.string(), z.number()], rule("a size"))
  .refine((size) => parseBytes(size) !== undefined, rule("bytes, or a size like 2GiB or 512MiB"));
const someStrategy = rule(STRATEGY_RULE);

const teachers = z.strictObject(
  {
    /** How many trajectories the buffer holds. */
    experts: integer(1),
    epochs: integer(1),
    /** Plain SGD, or GSAM; by default the method's, FTD and DATM take GSAM. */
    optimizer: oneOf(["sgd", "gsam"]).default("sgd"),
    batch: integer(1).default(256),
    lr: positive.default(0.01),
    momentum: momentum.default(0),
    weight_decay: notNegative.default(0),
    /** Of GSAM: how far its second gradient is taken from θ. */
    rho: positive.default(0.01),
    /** Of GSAM: how much of the first gradient is taken off. */
    alpha: notNegative.default(0.3),
    /** Of GSAM: whether ρ is scaled by the parameters. */
    adaptive: yesOrNo.default(true),
    /** Whether their images are augmented by dsa_strategy; as `dsa` when absent. */
    augment: yesOrNo.optional(),
    /** How parameters are stored; training is always float32. */
    precision: oneOf(["float32", "float16"]).default("float32"),
    /** Snapshots that are stored, first and last included, besides that of the last epoch; by default all. */
    keep_epochs: z
      .string(epochRange)
      .regex(/^\d{1,9}\.\.\d{1,9}$/, epochRange)
      .optional(),
    /** Stores the line between the first and the last of them instead: a convexified trajectory (MCT). */
    line: yesOrNo.default(false),
    /** Where on the line an epoch is: as far as each tensor had gone on its way by then, or evenly. */
    line_spacing: oneOf(["distance", "even"]).default("distance"),
    /** Folder of teachers that are there already; by default the run's own, where they are trained. */
    folder: name.optional(),
  },
  group,
);

const evaluation = z.strictObject(
  {
    num_eval: integer(1).default(5),
    epoch_eval_train: integer(1).default(1000),
    batch: integer(1).default(128),
    momentum: momentum.default(0.9),
    weight_decay: notNegative.default(5e-4),
    /** Whether the images are augmented by dsa_strategy; as `dsa` when absent. */
    augment: yesOrNo.optional(),
    /** Of the baselines, which have no learned lr. */
    lr: positive.optional(),
  },
  group,
);

const recipe = z.strictObject(
  {
    /** A known name, or the path of a folder or file. */
    dataset: name,
    /** Training images a class, drawn by the seed; all when it is not given. */
    per_class: integer(1).optional(),
    /** Pixels along a side that a folder of pictures is brought to. */
    size: integer(1, 4096).optional(),
    /** Constants of the channels: the published ones where there are any, or the training images' own. */
    normalisation: oneOf(["published", "computed"]).default("published"),
    /** Whether images are whitened (ZCA) instead. */
    zca: yesOrNo.default(false),
    /** Images a class. */
    ipc: integer(1),
    network: name,
    width: integer(1).default(128),
    seed: integer(0, 2 ** 32 - 1).default(0),
    /** Decides what of labels, lr_y, gradient, ema_decay and sequential is not given. */
    method: oneOf(METHOD_NAMES).default("datm"),
    init: oneOf(["samples_predicted_correctly", "real", "noise"]).default(
      "samples_predicted_correctly",
    ),
    teachers,
    /** The teachers' logits, which lr_y may learn, or the true classes, which stay. */
    labels: oneOf(["soft", "hard"]),
    /** S, the student's updates in one iteration. */
    syn_steps: integer(1),
    /** How many of the teacher's epochs the student must match. */
    expert_epochs: integer(1),
    iterations: integer(1).default(10_000),
    /** K, trajectories whose mean loss an iteration takes: each a teacher, a start and minibatches of its own. */
    trajectories: integer(1).default(1),
    /** Synthetic images in one student update. */
    batch_syn: integer(1),
    /** Synthetic images whose activations the device holds at once; by default as many as `memory` allows. */
    micro_batch: integer(1).optional(),
    /** The most that matching may take of the device, e.g. 2GiB. */
    memory: bytes.optional(),
    /** Through all of the student's steps, or TESLA's, without the Hessian. */
    gradient: oneOf(["exact", "tesla"]),
    /** Rates of the images, the label logits and the student's rate itself; 0 leaves them as they are. */
    lr_img: notNegative,
    momentum_img: momentum.default(0.5),
    lr_y: notNegative,
    momentum_y: momentum.default(0.9),
    lr_lr: notNegative,
    momentum_lr: momentum.default(0.5),
    /** α before the first iteration. */
    lr_teacher: positive.default(0.01),
    /** T⁻: the least start epoch. */
    min_start_epoch: integer(0).default(0),
    /** T: the upper bound of the start epoch at first, exclusive, in a sequential run. */
    current_max_start_epoch: integer(1).optional(),
    /** T⁺: the upper bound of the start epoch, exclusive. */
    max_start_epoch: integer(1),
    /** The iteration at which T has become T⁺, in a sequential run. */
    expansion_end_epoch: integer(1).optional(),
    sequential: yesOrNo,
    /** Whether the student's images are augmented. */
    dsa: yesOrNo.default(false),
    /** Operators of the augmentation joined by _: one of them is drawn for each minibatch. */
    dsa_strategy: z.string(someStrategy).refine(isStrategy, someStrategy).default(DSA_STRATEGY),
    /** An iteration whose matching loss is above this changes nothing. */
    threshold: positive.default(1),
    /** Of the exponential average of the images, which is then what is evaluated and written; 0 is none. */
    ema_decay: momentum,
    /** Whether the student is matched where it comes nearest to the target (ATT). */
    att: yesOrNo.default(false),
    /** Share of the parameters, from the first layer on, that is not matched (PAD). */
    pad_ratio: momentum.default(0),
    /** Share of the parameters, those nearest to their targets, that is not matched (EDF). */
    edf_ratio: momentum.default(0),
    /** Iterations between two evaluations that choose the best set; by default its loss chooses. */
    eval_every: integer(1).optional(),
    /** The images that they choose on: some that are held out of the training set, or, as published, the test set. */
    select_on: oneOf(["held-out", "test"]).default("held-out"),
    /** Share of each class's training images that nothing learns from; 0.1 where it is chosen on, else 0. */
    held_out: share.optional(),
    /** The set to write: that after the last iteration, or the best. */
    keep: oneOf(["last", "best"]).default("last"),
    evaluation: evaluation.prefault({}),
  },
  group,
);

/** What teachers depend on; the rest of a recipe is about what is made with them. */
const teaching = recipe.pick({
  dataset: true,
  per_class: true,
  size: true,
  normalisation: true,
  zca: true,
  network: true,
  width: true,
  seed: true,
  teachers: true,
  held_out: true,
  dsa: true,
  dsa_strategy: true,
});

/** The usual settings of an evaluation. */
export const usualEvaluation = (): Recipe["evaluation"] => evaluation.parse({});

/** A run's settings with every default filled in. */
export type Recipe = z.infer<typeof recipe>;
/** The settings that teachers depend on. */
export type Teaching = z.infer<typeof teaching>;

type Settings<T> = { [K in keyof T]?: T[K] | undefined };

/** Some of a recipe's settings; undefined means not given. */
export type RecipeOverrides = Settings<Omit<Recipe, "teachers" | "evaluation">> & {
  readonly teachers?: Settings<Recipe["teachers"]> | undefined;
  readonly evaluation?: Settings<Recipe["evaluation"]> | undefined;
};

/** Every setting, and every group of settings, in order. */
export const KEYS: readonly string[] = Object.keys(recipe.shape);
/** The settings of each group. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  teachers: Object.keys(teachers.shape),
  evaluation: Object.keys(evaluation.shape),
};

/** A setting as a command-line flag: its dotted name and what it takes. */
export interface RecipeFlag {
  readonly name: string;
  readonly type: "number" | "string" | "boolean";
  /** What it is where nothing says it; undefined where it must be given, or follows from others. */
  readonly usual?: string | number | boolean | undefined;
  /** All that it may be, where that is a list of names. */
  readonly choices?: readonly unknown[] | undefined;
}

/** Every setting of a recipe, groups as `group.key`, in the order of the schema. */
export const recipeFlags = (): RecipeFlag[] => flagsOf(recipe);

/** Every setting that teachers depend on, as {@link recipeFlags}. */
export const teachingFlags = (): RecipeFlag[] => flagsOf(teaching);

function flagsOf(of: z.ZodType): RecipeFlag[] {
  const flags = (schema: z.core.JSONSchema.BaseSchema, prefix: string): RecipeFlag[] =>
    Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
      if (typeof value === "boolean") return [];
      const name = `${prefix}${key}`;
      if (value.properties) return flags(value, `${name}.`);
      const told = value.type === "integer" ? "number" : value.type;
      const type = told === "number" || told === "boolean" ? told : "string";
      return [{ name, type, usual: value.default as RecipeFlag["usual"], choices: value.enum }];
    });
  return flags(z.toJSONSchema(of, { io: "input" }), "");
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
    evaluation,
    given(overrides),
    (path) => `command line, ${path.join(".")}`,
    () => [],
  );

/** What a recipe says of teachers. */
export function teachingOf(settings: Recipe): Teaching {
  const keys = Object.keys(teaching.shape) as (keyof Teaching)[];
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
  return checkedBy(teaching, merged, () => source, keptProblems);
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
  checkedBy(recipe, withMethod(value), where, crossCheck);

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
