/** @file The schema of recipes: every setting with its name, what it may be, and what it is by default. */
import { z } from "zod";

import { parseBytes } from "./matching/memory.ts";
import { METHOD_NAMES } from "./matching/methods.ts";
import { DSA_STRATEGY, isStrategy, STRATEGY_RULE } from "./training/strategy.ts";

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

const teachersSchema = z.strictObject(
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

export const evaluationSchema = z.strictObject(
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

export const recipeSchema = z.strictObject(
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
    teachers: teachersSchema,
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
    evaluation: evaluationSchema.prefault({}),
  },
  group,
);

/** What teachers depend on; the rest of a recipe is about what is made with them. */
export const teachingSchema = recipeSchema.pick({
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
export const usualEvaluation = (): Recipe["evaluation"] => evaluationSchema.parse({});

/** A run's settings with every default filled in. */
export type Recipe = z.infer<typeof recipeSchema>;
/** The settings that teachers depend on. */
export type Teaching = z.infer<typeof teachingSchema>;

type Settings<T> = { [K in keyof T]?: T[K] | undefined };

/** Some of a recipe's settings; undefined means not given. */
export type RecipeOverrides = Settings<Omit<Recipe, "teachers" | "evaluation">> & {
  readonly teachers?: Settings<Recipe["teachers"]> | undefined;
  readonly evaluation?: Settings<Recipe["evaluation"]> | undefined;
};

/** Every setting, and every group of settings, in order. */
export const KEYS: readonly string[] = Object.keys(recipeSchema.shape);
/** The settings of each group. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  teachers: Object.keys(teachersSchema.shape),
  evaluation: Object.keys(evaluationSchema.shape),
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
export const recipeFlags = (): RecipeFlag[] => flagsOf(recipeSchema);

/** Every setting that teachers depend on, as {@link recipeFlags}. */
export const teachingFlags = (): RecipeFlag[] => flagsOf(teachingSchema);

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
