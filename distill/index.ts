/** @file The public surface of the package: data sets, recipes, runs, distilled sets and what they are worth. */
export {
  DataError,
  type Dataset,
  type ImageShape,
  type Normalisation,
  type Source,
  type Split,
} from "./data/dataset.ts";
export {
  fromPixels,
  normalise,
  toPixels,
  type Normalising,
  type Preprocessing,
  type Whitening,
} from "./data/preprocess.ts";
export { datasetNames, outlineOf, type Outline } from "./data/known.ts";
export { loadSource, type SourceOptions } from "./data/registry.ts";
export { readRecipe, recipeToYaml, shippedRecipes } from "./recipe-file.ts";
export {
  RecipeError,
  resolveRecipe,
  type Recipe,
  type RecipeOverrides,
  type Teaching,
} from "./recipe.ts";
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
  type ProbeOptions,
  type ProposedRange,
} from "./matching/range.ts";
export {
  match,
  DistillError,
  type IterationRecord,
  type MatchOptions,
  type MatchState,
  type Matched,
  type Teachers,
} from "./matching/match.ts";
export type { MatchingMethod } from "./matching/methods.ts";
export type { KeptSet, Score } from "./matching/best.ts";
export type { SyntheticSet } from "./matching/start.ts";
export type { DistilledSet } from "./matching/update.ts";
export { Teacher, TrajectoryBuffer } from "./teachers/trajectory.ts";
export type { TeacherKind, TeacherMeta } from "./teachers/teacher-meta.ts";
export { loadDistilled, type SetDescription } from "./exchange/load.ts";
export {
  Classifier,
  loadClassifier,
  trainClassifier,
  type Classification,
  type ClassifierOptions,
} from "./evaluation/classifier.ts";
export {
  readDistilled,
  writeDistilled,
  type DistilledFile,
  type DistilledMeta,
} from "./distilled.ts";
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
export {
  evaluate,
  type Accuracies,
  type Evaluation,
  type EvaluationReport,
  type EvaluationSettings,
  type KeptSeeds,
  type Protocol,
} from "./evaluation/evaluate.ts";
export {
  BASELINES,
  syntheticSet,
  wholeSet,
  type Baseline,
  type Method,
} from "./evaluation/baselines.ts";
export type { Confusion } from "./evaluation/confusion.ts";
export { herding, kCenter, type Features } from "./evaluation/coresets.ts";
export {
  augmentationRobustScore,
  labelRobustScore,
  type AugmentationScore,
  type AugmentedAccuracies,
  type RobustScore,
  type ScoredAccuracies,
} from "./evaluation/scores.ts";
export type { GsamSettings, SgdSettings } from "./training/optimiser.ts";
export type { NetworkState } from "./training/predict.ts";
export type { Operator, Strategy } from "./training/strategy.ts";
export {
  Trainer,
  type TrainerOptions,
  type TrainerState,
  type TrainingSet,
} from "./training/train.ts";
export { createProgress, type Progress, type ProgressOptions } from "./progress.ts";
export { contactSheet, type ContactSheet } from "./report/pictures.ts";
export { formatTable, type ResultRow, type RowKey, type Variant } from "./evaluation/table.ts";
export { FileError } from "./files.ts";
