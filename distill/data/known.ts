/** @file Data sets known by name: shapes, classes, counts and constants, told without their files. */
import { closest } from "../spelling.ts";
import { CIFAR100_CLASSES, TINY_IMAGENET_CLASSES } from "./class-names.ts";
import type { ImageShape, Normalisation } from "./dataset.ts";
import { DIGITS_MEAN, DIGITS_STD } from "./digits.ts";

/** What is known of a data set before its files are read. */
export interface Outline extends ImageShape {
  readonly name: string;
  readonly classes: readonly string[];
  /** Images of the whole set. */
  readonly train: number;
  readonly test: number;
  /** Whether it comes as pictures, which can be brought to another size. */
  readonly pictures?: boolean;
  /** The published constants, where there are any. */
  readonly normalisation?: Normalisation;
}

const grey = { channels: 1, height: 28, width: 28 } as const;
const colour = { channels: 3, height: 32, width: 32 } as const;
const letters = (text: string): string[] => text.split("");
const DIGITS = letters("0123456789");
const CAPITALS = letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
/** Small letters that look unlike their capitals. */
const OWN_SHAPE = letters("abdefghnqrt");

/** Of CIFAR-10's training pixels; the published recipes use them for CIFAR-100 too. */
const CIFAR: Normalisation = { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.201] };

const emnist = (split: string, train: number, test: number, classes: string[]): Outline => ({
  ...grey,
  ...{ name: `emnist-${split}`, train, test, classes },
});

const OUTLINES: readonly Outline[] = [
  {
    ...{ name: "digits", channels: 1, height: 8, width: 8, train: 1297, test: 500 },
    classes: DIGITS,
    normalisation: { mean: [DIGITS_MEAN], std: [DIGITS_STD] },
  },
  {
    ...{ ...grey, name: "mnist", train: 60_000, test: 10_000, classes: DIGITS },
    normalisation: { mean: [0.1307], std: [0.3081] },
  },
  {
    ...{ ...grey, name: "fashion-mnist", train: 60_000, test: 10_000 },
    classes: [
      ...["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"],
      ...["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
    ],
    normalisation: { mean: [0.2861], std: [0.353] },
  },
  {
    ...{ ...grey, name: "kmnist", train: 60_000, test: 10_000 },
    classes: ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
  },
  emnist("balanced", 112_800, 18_800, [...DIGITS, ...CAPITALS, ...OWN_SHAPE]),
  emnist("bymerge", 697_932, 116_323, [...DIGITS, ...CAPITALS, ...OWN_SHAPE]),
  emnist("byclass", 697_932, 116_323, [
    ...DIGITS,
    ...CAPITALS,
    ...CAPITALS.map((letter) => letter.toLowerCase()),
  ]),
  emnist("letters", 124_800, 20_800, CAPITALS),
  emnist("digits", 240_000, 40_000, DIGITS),
  emnist("mnist", 60_000, 10_000, DIGITS),
  {
    ...{ ...colour, name: "cifar-10", train: 50_000, test: 10_000, normalisation: CIFAR },
    classes: [
      ...["airplane", "automobile", "bird", "cat", "deer"],
      ...["dog", "frog", "horse", "ship", "truck"],
    ],
  },
  {
    ...{ ...colour, name: "cifar-100", train: 50_000, test: 10_000, normalisation: CIFAR },
    classes: CIFAR100_CLASSES,
  },
  {
    ...{ name: "tiny-imagenet", channels: 3, height: 64, width: 64, train: 100_000, test: 10_000 },
    pictures: true,
    classes: TINY_IMAGENET_CLASSES,
    normalisation: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  },
];

/** Names that {@link outlineOf} knows. */
export const datasetNames: readonly string[] = OUTLINES.map(({ name }) => name);

/** Case, hyphens and underscores don't count: CIFAR10 is cifar-10. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[-_]/g, "");
const byName = new Map(OUTLINES.map((outline) => [plain(outline.name), outline]));

/**
 * What is known of the data set called `name`, pictures brought to `size` pixels a side; undefined when
 * none is called so.
 */
export function outlineOf(name: string, size?: number): Outline | undefined {
  const outline = byName.get(plain(name));
  if (outline?.pictures !== true || size === undefined) return outline;
  return { ...outline, height: size, width: size };
}

/** The names, and which of them `name` may have been meant for, to end a sentence with. */
export function nameHint(name: string): string {
  const near = closest(name, datasetNames);
  return near === undefined ? "" : ` (did you mean ${near}?)`;
}
