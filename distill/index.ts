/** @file The public surface of the package: data sets, recipes, runs, distilled sets and what they are worth. */
export { DataError, type Dataset, type Source, type Split } from "./data/dataset.ts";
export { fromPixels, normalise, toPixels, type Preprocessing } from "./data/preprocess.ts";
export { datasetNames, outlineOf, type Outline } from "./data/known.ts";
export { loadSource, type SourceOptions } from "./data/registry.ts";
export { readRecipe, recipeToYaml, shippedRecipes } from "./recipe-file.ts";
export { RecipeError, resolveRecipe, type Recipe, type RecipeOverrides } from "./recipe.ts";
export {
  beginRun,
  distil,
  openRun,
  teachersOf,
  workOf,
  type RunContext,
  type Work,
} from "./run.ts";
export { scoreDistilled, scoreRandom, scoreWhole } from "./evaluation/score.ts";
export { compare, type CompareOptions, type Entry } from "./evaluation/compare.ts";
export {
  probeEpochs,
  proposeRange,
  type EpochProbe,
  type ProposedRange,
} from "./matching/range.ts";
export { match, DistillError, type MatchOptions, type Matched } from "./matching/match.ts";
export { TrajectoryBuffer } from "./teachers/trajectory.ts";
export { loadDistilled, type SetDescription } from "./exchange/load.ts";
export {
  Classifier,
  loadClassifier,
  trainClassifier,
  type Classification,
  type ClassifierOptions,
} from "./evaluation/classifier.ts";
export { readDistilled, writeDistilled, type DistilledFile } from "./distilled.ts";
export { readNpz, writeNpz } from "./exchange/npz.ts";
export { readPictureFolder, writePictureFolder } from "./exchange/picture-folder.ts";
export { readPublishedSet, writePublishedSet, type Told } from "./exchange/published-set.ts";
export {
  exportReplayBuffers,
  importReplayBuffers,
  replayBuffers,
  type ExportOptions,
  type TeacherTold,
} from "./exchange/replay-buffer.ts";
export { evaluate, type Accuracies, type EvaluationSettings } from "./evaluation/evaluate.ts";
export { syntheticSet, wholeSet } from "./evaluation/baselines.ts";
export { herding, kCenter } from "./evaluation/coresets.ts";
export { labelRobustScore, type RobustScore, type ScoredAccuracies } from "./evaluation/scores.ts";
export { Trainer, type TrainingSet } from "./training/train.ts";
export { createProgress, type Progress } from "./progress.ts";
export { contactSheet } from "./report/pictures.ts";
export { formatTable, type ResultRow } from "./evaluation/table.ts";
export { FileError } from "./files.ts";
