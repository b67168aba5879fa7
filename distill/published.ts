/** @file What others have published for the shipped recipes: test accuracies, and where they stand. */

/** A number that a recipe's settings were published with. */
export interface Published {
  /** Mean test accuracy in 0..1 of ConvNets trained on the distilled set. */
  readonly accuracy: number;
  readonly source: string;
}

const DATM = "Guo et al., ICLR 2024, arXiv 2310.05773, Table 1";

/** Of ConvNet by shipped recipe, in percent. */
const TABLE: Readonly<Record<string, number>> = {
  "cifar-10-ipc1": 46.9,
  "cifar-10-ipc10": 66.8,
  "cifar-10-ipc50": 76.1,
  "cifar-10-ipc500": 83.5,
  "cifar-10-ipc1000": 85.5,
  "cifar-100-ipc1": 27.9,
  "cifar-100-ipc10": 47.2,
  "cifar-100-ipc50": 55.0,
  "cifar-100-ipc100": 57.5,
  "tiny-imagenet-ipc1": 17.1,
  "tiny-imagenet-ipc10": 31.1,
  "tiny-imagenet-ipc50": 39.7,
};

/** Names of the recipes whose numbers are published. */
export const publishedRecipes = Object.keys(TABLE);

/** What was published for a shipped recipe, or nothing. */
export function publishedFor(recipe: string): Published | undefined {
  const percent = Object.hasOwn(TABLE, recipe) ? TABLE[recipe] : undefined;
  return percent === undefined ? undefined : { accuracy: percent / 100, source: DATM };
}
