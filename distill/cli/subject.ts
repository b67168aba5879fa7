/** @file What `potstill evaluate` is asked about: the sets of a run, a set in a file, or a data set alone. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Gpu } from "../../engine/index.ts";
import type { Model, Task } from "../../models/index.ts";
import type { Dataset, Source } from "../data/dataset.ts";
import { outlineOf } from "../data/known.ts";
import { normalise, type Preprocessing } from "../data/preprocess.ts";
import { checkData } from "../data/record.ts";
import { loadSource } from "../data/registry.ts";
import { whitenBy } from "../data/whitened.ts";
import { checkPreprocessing, type DistilledFile } from "../distilled.ts";
import type { GivenSet } from "../evaluation/assess.ts";
import type { OwnNetwork } from "../evaluation/pool.ts";
import { planOf, type EvaluationPlan } from "../evaluation/plan.ts";
import { distilledFor } from "../evaluation/score.ts";
import { isSet, kindOf } from "../exchange/kind.ts";
import { isPictureFolder } from "../exchange/picture-folder.ts";
import { isPublishedSet } from "../exchange/published-set.ts";
import { FileError } from "../files.ts";
import type { Progress } from "../progress.ts";
import { readRecipes } from "../recipe-file.ts";
import {
  evaluationSettings,
  RecipeError,
  resolveRecipe,
  type Recipe,
  type RecipeOverrides,
} from "../recipe.ts";
import { distilledFile, openRun, workOf } from "../run.ts";
import { parseStrategy } from "../training/strategy.ts";
import { dataFrom, type CommonArguments } from "./options.ts";
import { modelFor, setAt, type ToldArguments } from "./set-file.ts";
import { namedRecipe } from "./settings.ts";
import { UsageError } from "./usage.ts";

/** Arguments that say what is evaluated. */
export interface SubjectArguments extends CommonArguments, ToldArguments {
  readonly subject: string | undefined;
  readonly recipe: string | undefined;
  readonly out: string | undefined;
  readonly teachers: string | undefined;
}

/** Known before a device is open. */
export interface Subject {
  readonly source: Source;
  readonly plan: EvaluationPlan;
  readonly sets: readonly GivenSet[];
  /** Images a class of the sets, or of the recipe. */
  readonly ipcs: readonly number[];
  /** The network that the sets were made with, or that teachers have. */
  readonly own: OwnNetwork;
  readonly model: Model;
  /** How teachers are trained, where that is known. */
  readonly recipe: Recipe | undefined;
  /** Folder of the results and, unless the recipe names another, the teachers. */
  readonly folder: string;
  /** Whether the folder is a run's, whose baselines are scored unless told otherwise. */
  readonly isRun: boolean;
  /** The data set in the space of the sets' images. Throws `FileError` when it is another one. */
  open(gpu: Gpu, progress: Progress): Promise<Dataset>;
}

/** What images and classes a network is to be made for. */
export const taskOf = ({ channels, height, classes }: Source): Task => ({
  ...{ channels, size: height, classes: classes.length },
});

/**
 * What the arguments name; `evaluation` are the settings that flags give.
 * @throws UsageError, FileError, DataError, RecipeError, ModelError.
 */
export async function subjectOf(
  args: SubjectArguments,
  evaluation: RecipeOverrides["evaluation"] = {},
  onlyBaselines = false,
): Promise<Subject> {
  const { subject = args.dataset } = args;
  if (subject === undefined)
    throw new UsageError(
      "evaluate: a run's folder, a distilled set or a data set must be given, got none (see --help)",
    );
  if (existsSync(join(subject, "recipe.yaml"))) return runSubject(subject, args, evaluation);
  const stat = statSync(subject, { throwIfNoEntry: false });
  const set = stat?.isDirectory() ? isPublishedSet(subject) || isPictureFolder(subject) : stat;
  if (set && args.subject !== undefined) return setSubject(subject, args, evaluation);
  if (outlineOf(subject) || onlyBaselines || args.subject === undefined)
    return dataSubject(subject, args, evaluation);
  throw new FileError(
    `${subject}: must be a run (a folder with recipe.yaml), a distilled set or the name of a data set, got ${stat ? "a folder of none of them" : "nothing of that name"}`,
  );
}

/** The recipe with settings of evaluation and another folder of teachers, if there are any. */
function withFlags(
  recipe: Recipe,
  { teachers: folder }: SubjectArguments,
  evaluation: RecipeOverrides["evaluation"],
): Recipe {
  return resolveRecipe(recipe, {
    evaluation,
    ...(folder !== undefined && { teachers: { folder } }),
  });
}

async function runSubject(
  folder: string,
  args: SubjectArguments,
  evaluation: RecipeOverrides["evaluation"],
): Promise<Subject> {
  const recipes = readRecipes(join(folder, "recipe.yaml")).map((recipe) =>
    withFlags(recipe, args, evaluation),
  );
  const works = await Promise.all(recipes.map((recipe) => workOf(recipe, dataFrom(args))));
  const [first] = works;
  const sets: GivenSet[] = [];
  // Whatever is missing or damaged is told before anything is trained.
  for (const work of works) {
    const { recipe } = work;
    const path = distilledFile(folder, recipe.ipc);
    if (!existsSync(path))
      throw new FileError(`${path}: the run must be finished, got no such file`);
    checkData(folder, work.source);
    for (const key of ["dataset", "network", "width"] as const)
      if (recipe[key] !== recipes[0]![key])
        throw new RecipeError([
          `${folder}: every recipe's ${key} must be ${recipes[0]![key]} as the first one's, got ${recipe[key]}`,
        ]);
    sets.push({ file: distilledFor(folder, work), key: { method: recipe.method } });
  }
  const { recipe, source, model } = first!;
  return {
    ...{ source, plan: planOf(recipe), sets, model, recipe, folder, isRun: true },
    own: recipe,
    ipcs: recipes.map(({ ipc }) => ipc),
    open: async (gpu, progress) => {
      const { dataset } = await openRun(gpu, first!, folder, progress);
      for (const { file } of sets)
        checkPreprocessing(file as DistilledFile, dataset, distilledFile(folder, file.meta.ipc));
      return dataset;
    },
  };
}

/** The recipe that `--recipe` names or that is shipped for the data set, if there is one. */
function recipeFor(
  dataset: string,
  args: SubjectArguments,
  evaluation: RecipeOverrides["evaluation"],
  changes: RecipeOverrides = {},
): Recipe | undefined {
  const known = outlineOf(dataset) !== undefined || args.recipe !== undefined;
  const base = known
    ? namedRecipe({ dataset, recipe: args.recipe }, "evaluate", changes.ipc ?? 1)
    : undefined;
  return base && withFlags(resolveRecipe(base, changes), args, evaluation);
}

async function setSubject(
  path: string,
  args: SubjectArguments,
  evaluation: RecipeOverrides["evaluation"] = {},
): Promise<Subject> {
  const kind = kindOf(path);
  if (!isSet(kind))
    throw new FileError(
      `${path}: must be a distilled set, got ${kind === "replay" ? "a replay buffer" : "teachers"}`,
    );
  const file = await setAt(kind, { ...args, command: "evaluate", path, lr: evaluation.lr });
  const { meta, shape } = file;
  const { network, width, ipc, preprocessing } = meta;
  const size = outlineOf(meta.dataset) ? undefined : shape[2];
  const source = await loadSource(args.dataset ?? meta.dataset, { ...dataFrom(args), size });
  checkAlike(path, file, source);
  const recipe = recipeFor(args.dataset ?? meta.dataset, args, evaluation, { network, width, ipc });
  const seed = meta.seed ?? 0;
  const usual = parseStrategy(evaluation.augment === false ? "none" : meta.augmentation);
  const plan = {
    ...(recipe ? planOf(recipe) : plainPlan(evaluation, file.lr)),
    ...{ seed, augmentation: usual },
  };
  return {
    ...{ source, plan, recipe, own: { network, width }, ipcs: [ipc] },
    ...{ model: modelFor(source, network, width), isRun: false },
    sets: [{ file, key: { method: "datm" } }],
    folder: args.out ?? join("runs", `${source.name}-evaluation`),
    open: (gpu, progress) => inSpaceOf(preprocessing, gpu, source, progress),
  };
}

/** The published settings, where no recipe says others. */
function plainPlan(
  evaluation: RecipeOverrides["evaluation"],
  lr: number,
): Omit<EvaluationPlan, "seed" | "augmentation"> {
  const { num_eval: seeds, epoch_eval_train: epochs, ...settings } = evaluationSettings(evaluation);
  const { batch, momentum, weight_decay: weightDecay } = settings;
  return { seeds, epochs, batch, momentum, weightDecay, lr: settings.lr ?? lr };
}

/** A source's images as those of a set were preprocessed, by the constants or matrices that come with it. */
function inSpaceOf(
  preprocessing: Preprocessing,
  gpu: Gpu,
  source: Source,
  progress: Progress,
): Promise<Dataset> {
  if (preprocessing.kind === "zca") return whitenBy(gpu, source, preprocessing, { progress });
  return Promise.resolve(normalise({ ...source, normalisation: preprocessing }));
}

/** Throws `FileError` unless the set in the file at `path` is of images and classes as the source's. */
function checkAlike(path: string, { shape, meta }: DistilledFile, source: Source): void {
  const told = (images: readonly number[], classes: readonly string[]): string =>
    `images [${images.join(", ")}] of ${classes.length} classes (${classes.slice(0, 10).join(", ")}${classes.length > 10 ? ", …" : ""})`;
  const { channels, height, width, classes, name } = source;
  const must = told(shape.slice(1), meta.classes);
  const got = told([channels, height, width], classes);
  if (must !== got || meta.classes.join() !== classes.join())
    throw new FileError(
      `${path}: the data set must have ${must} as the set has, got ${name} with ${got}`,
    );
}

async function dataSubject(
  dataset: string,
  args: SubjectArguments,
  evaluation: RecipeOverrides["evaluation"],
): Promise<Subject> {
  const { network, width } = args;
  const recipe = recipeFor(dataset, args, evaluation, { network, width });
  if (!recipe)
    throw new RecipeError([`recipe: none is shipped for ${dataset}; name one with --recipe FILE`]);
  const work = await workOf(recipe, dataFrom(args));
  const { source, model } = work;
  const folder = args.out ?? join("runs", `${source.name}-evaluation`);
  return {
    ...{ source, plan: planOf(recipe), sets: [], ipcs: [recipe.ipc], own: recipe },
    ...{ model, recipe, folder, isRun: false },
    open: async (gpu, progress) => (await openRun(gpu, work, folder, progress)).dataset,
  };
}
