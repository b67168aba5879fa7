/** @file Sets as arrays by name: .npz, .npy files in a folder, or safetensors. */
import {
  decodeElements,
  ELEMENT_BYTES,
  elementCount,
  type Elements,
  type ElementType,
} from "../formats/array.ts";
import { decodeNpy, npyLayout } from "../formats/npy.ts";
import { OpenFile, refusing } from "../formats/source.ts";
import { decodeHeader, type Dtype } from "../formats/safetensors.ts";
import { DataError, type ImageShape } from "./dataset.ts";
import { fileRows } from "./file-rows.ts";
import { rowPieces, type PendingHalf, type PendingSet } from "./pending.ts";
import { memoryRows, someRows, type Rows } from "./rows.ts";
import { testImages } from "./split.ts";
import { channelsLast, labelArray } from "./stored.ts";
import type { Tree, TreeFile } from "./tree.ts";

/** An array that was found, not read yet. */
interface FoundArray {
  /** Names it in errors. */
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** Where it lies in a file, row-major and little-endian. */
  readonly place?: { readonly path: string; readonly start: number } | undefined;
  read(): Elements;
}

type Arrays = ReadonlyMap<string, FoundArray>;

/** Names of images and labels for training, then for testing. */
const SPLIT_NAMES = [
  ["x_train", "y_train", "x_test", "y_test"],
  ["train_x", "train_y", "test_x", "test_y"],
  ["train_images", "train_labels", "test_images", "test_labels"],
  ["images_train", "labels_train", "images_test", "labels_test"],
] as const;
/** Of sets that are not split yet. */
const WHOLE_NAMES = [
  ["images", "labels"],
  ["x", "y"],
] as const;

const MOST_SIDE = 4096;
const MOST_CLASSES = 2 ** 16;
/** Of a .npy file; its header is shorter. */
const HEAD_BYTES = 1 << 17;
const MOST_FILES = 64;
const DTYPES: Readonly<Record<Dtype, ElementType>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I32: "int32",
  I64: "int64",
  U8: "uint8",
};

/** The arrays that a tree holds, by their names in small letters; undefined when it holds none. */
export function findArrays(tree: Tree): Arrays | undefined {
  const [only] = tree.files;
  if (only && tree.files.length === 1 && isSafetensors(only)) return tensorsOf(only);
  const files = tree.files.filter(({ path }) => path.endsWith(".npy"));
  if (files.length === 0 || files.length > MOST_FILES) return undefined;
  return new Map(
    files.map((file) => {
      const name = file.path.slice(file.path.lastIndexOf("/") + 1, -".npy".length);
      return [name.toLowerCase(), npyArray(file)];
    }),
  );
}

/** Eight bytes of a length that the file has room for, and JSON. */
function isSafetensors(file: TreeFile): boolean {
  const head = Buffer.from(file.head(9));
  return (
    file.place !== undefined &&
    head.length === 9 &&
    head.readBigUInt64LE(0) < BigInt(file.size) &&
    head[8] === 0x7b
  );
}

function tensorsOf(file: TreeFile): Arrays {
  using open = new OpenFile(file.place!);
  const read = (at: number, length: number) => open.read(at, length);
  const { tensors } = decodeHeader(read, open.size, file.name);
  return new Map(
    Object.entries(tensors).map(([key, { dtype, shape, begin, end }]) => {
      const name = `${file.name}, ${key}`;
      const type = DTYPES[dtype];
      const elements = () => {
        using again = new OpenFile(file.place!);
        return decodeElements(type, again.read(begin, end - begin), "little", refusing(name));
      };
      const place = { path: file.place!, start: begin };
      return [key.toLowerCase(), { name, dtype: type, shape, place, read: elements }];
    }),
  );
}

function npyArray(file: TreeFile): FoundArray {
  const { dtype, order, fortran, shape, dataStart } = npyLayout(file.head(HEAD_BYTES), file.name);
  const inPlace = file.place !== undefined && !fortran && (order === "little" || dtype === "uint8");
  const place = inPlace ? { path: file.place, start: dataStart } : undefined;
  const length = elementCount(shape) * ELEMENT_BYTES[dtype];
  if (file.size - dataStart !== length)
    throw new DataError(
      `${file.name}: ${dtype} [${shape.join(", ")}] must take ${length} bytes after the header, got ${file.size - dataStart} (it is cut or damaged)`,
    );
  return {
    name: file.name,
    dtype,
    shape,
    place,
    read: () => decodeNpy(file.bytes(), file.name).data,
  };
}

/**
 * The set in arrays. Images are `[N, H, W]`, `[N, C, H, W]` where the second axis is 1 or 3, or
 * `[N, H, W, C]` where the last one is; values in 0..255, or in [0, 1] where no float is larger.
 * Labels are class numbers from 0, `[N]` or `[N, 1]`. Without arrays for testing a fifth of each class
 * is taken for it.
 * @throws DataError, FileError when arrays are missing, damaged, or do not fit together.
 */
export function readArrays(tree: Tree, arrays: Arrays): PendingSet {
  const spelling = SPLIT_NAMES.find((names) => names.every((name) => arrays.has(name)));
  if (spelling) {
    const [x, y, xTest, yTest] = spelling.map((name) => arrays.get(name)!);
    return fromHalves(tree, [x!, xTest!], [y!, yTest!]);
  }
  const whole = WHOLE_NAMES.find((names) => names.every((name) => arrays.has(name)));
  if (whole) return fromWhole(tree, arrays.get(whole[0])!, arrays.get(whole[1])!);
  throw new DataError(
    `${tree.name}: must hold arrays x_train, y_train, x_test and y_test, or images and labels, got ${[...arrays.keys()].slice(0, 8).join(", ") || "none"}`,
  );
}

function fromHalves(
  tree: Tree,
  images: readonly FoundArray[],
  labels: readonly FoundArray[],
): PendingSet {
  const [shape, other] = images.map(imageShape);
  const { channels, height, width, last } = shape!;
  if (
    ["channels", "height", "width", "last"].some(
      (key) => shape![key as "last"] !== other![key as "last"],
    )
  )
    throw new DataError(
      `${images[1]!.name}: images must be [N, ${images[0]!.shape.slice(1).join(", ")}] as those for training, got [${images[1]!.shape.join(", ")}]`,
    );
  const numbers = labels.map((array, half) => classNumbers(array, images[half]!));
  const classes = classNames(tree, numbers.flat());
  const stored = images.map((array) => storedPixels(array, channels * height * width));
  const [train, test] = stored.map(({ rows, inMemory }, half): PendingHalf => {
    return { labels: labelArray(numbers[half]!, classes.length), pixels: { rows, inMemory } };
  });
  return {
    ...{ channels, height, width, classes, train: train!, test: test! },
    ...valueRange(images, stored),
    order: last ? channelsLast(shape!) : undefined,
  };
}

function fromWhole(tree: Tree, images: FoundArray, labels: FoundArray): PendingSet {
  const { channels, height, width, last } = imageShape(images);
  const numbers = classNumbers(labels, images);
  const classes = classNames(tree, numbers);
  const forTest = testImages(numbers, classes, tree.name);
  const stored = storedPixels(images, channels * height * width);
  const half = (test: boolean): PendingHalf => {
    const indices = Uint32Array.from(numbers.keys()).filter((i) => forTest.has(i) === test);
    return {
      labels: labelArray(
        Array.from(indices, (i) => numbers[i]!),
        classes.length,
      ),
      pixels: { rows: someRows(stored.rows, indices), inMemory: stored.inMemory },
    };
  };
  return {
    ...{ channels, height, width, classes, train: half(false), test: half(true) },
    ...valueRange([images], [stored]),
    order: last ? channelsLast({ channels, height, width }) : undefined,
  };
}

/** `last` says that channels are the last axis. */
function imageShape({ name, shape }: FoundArray): ImageShape & { readonly last: boolean } {
  const [count = 0, a = 0, b = 0, c = 0] = shape;
  const isChannels = (axis: number): boolean => axis === 1 || axis === 3;
  const axes = shape.length;
  const first = axes === 4 && isChannels(a);
  const last = axes === 4 && !first && isChannels(c);
  const [channels, height, width] = first ? [a, b, c] : last ? [c, a, b] : [1, a, b];
  const fits = [height, width].every((side) => side >= 1 && side <= MOST_SIDE);
  if (count < 1 || !fits || (axes !== 3 && !first && !last))
    throw new DataError(
      `${name}: images must be [N, H, W], [N, C, H, W] or [N, H, W, C] with 1 or 3 channels and at most ${MOST_SIDE} pixels a side, got [${shape.join(", ")}]`,
    );
  return { channels, height, width, last };
}

/** Labels for as many images, checked. */
function classNumbers(labels: FoundArray, images: FoundArray): number[] {
  const [count, one = 1, more] = labels.shape;
  if (count !== images.shape[0] || one !== 1 || more !== undefined)
    throw new DataError(
      `${labels.name}: labels must be [${images.shape[0]!}], a class number for each image, got [${labels.shape.join(", ")}]`,
    );
  const numbers = Array.from(labels.read());
  const wrong = numbers.findIndex((k) => !Number.isInteger(k) || k < 0 || k >= MOST_CLASSES);
  if (wrong >= 0)
    throw new DataError(
      `${labels.name}: labels must be whole numbers in 0..${MOST_CLASSES - 1}, got ${numbers[wrong]!} as number ${wrong}`,
    );
  return numbers;
}

function classNames(tree: Tree, numbers: readonly number[]): string[] {
  const count = numbers.reduce((most, label) => Math.max(most, label), 0) + 1;
  if (count < 2)
    throw new DataError(`${tree.name}: labels must be of at least 2 classes, got only 0`);
  return Array.from({ length: count }, (_, k) => String(k));
}

interface StoredPixels {
  readonly rows: Rows;
  readonly inMemory: boolean;
  readonly element: "u8" | "f32";
}

/** Rows of `size` pixels: bytes and float32 where they lie, other numbers brought to one of the two. */
function storedPixels({ name, dtype, shape, place, read }: FoundArray, size: number): StoredPixels {
  const count = shape[0]!;
  const element = dtype === "float32" ? "f32" : "u8";
  if (place && (dtype === "uint8" || dtype === "float32")) {
    const record = size * ELEMENT_BYTES[dtype];
    const rows = fileRows(place.path, record, { start: place.start, count });
    return { rows, inMemory: false, element };
  }
  const data = read();
  if (data instanceof Uint8Array)
    return { rows: memoryRows(data, size), inMemory: true, element: "u8" };
  if (
    data.every((value) => Number.isInteger(value) && value >= 0 && value <= 255) &&
    isInteger(dtype)
  )
    return { rows: memoryRows(Uint8Array.from(data), size), inMemory: true, element: "u8" };
  if (isInteger(dtype))
    throw new DataError(`${name}: pixels must be integers in 0..255, got others`);
  const floats = Float32Array.from(data);
  const rows = memoryRows(new Uint8Array(floats.buffer), 4 * size);
  return { rows, inMemory: true, element: "f32" };
}

const isInteger = (dtype: ElementType): boolean => dtype === "bool" || dtype.includes("int");

/** How pixels are stored, and which value means 1: for floats it shows in the values of all halves. */
function valueRange(
  images: readonly FoundArray[],
  halves: readonly StoredPixels[],
): { element: "u8" | "f32"; levels: number } {
  const { element } = halves[0]!;
  if (halves.some((half) => half.element !== element))
    throw new DataError(
      `${images[1]!.name}: images must be of the same type as those for training, ${images[0]!.dtype}, got ${images[1]!.dtype}`,
    );
  if (element === "u8")
    return { element, levels: images.every(({ dtype }) => dtype === "bool") ? 1 : 255 };
  let most = 0;
  halves.forEach(({ rows }, half) => {
    for (const piece of rowPieces(rows)) {
      for (const value of new Float32Array(piece.slice().buffer)) {
        if (!(value >= 0 && value <= 255))
          throw new DataError(
            `${images[half]!.name}: pixels must be in [0, 1] or in 0..255, got ${value}`,
          );
        if (value > most) most = value;
      }
    }
  });
  return { element, levels: most > 1 ? 255 : 1 };
}
