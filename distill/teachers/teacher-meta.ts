/** @file What a teacher's file says of it: how it was trained, what of it is kept, how well it did. */
import { z } from "zod";

import { FileError } from "../files.ts";

/** As in the metadata, where every string is a JSON value. */
const FORMAT = '"potstill-trajectory"';
const VERSION = "2";

const rule = {
  text: { error: "text" },
  count: { error: "a whole number from 0" },
  number: { error: "a number" },
  flag: { error: "true or false" },
  accuracy: { error: "numbers in 0..1, one for each epoch or none" },
  kept: { error: "two epochs, the first and the last that is kept" },
  checksums: { error: "whole numbers, one for each snapshot" },
  tensors: { error: "the sizes of the network's tensors, for a line by distance" },
  shares: { error: "numbers in 0..1 for each kept epoch and tensor, for a line by distance" },
};
const text = z.string(rule.text);
const count = z.int(rule.count).min(0, rule.count);
const number = z.number(rule.number);
const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, { error: `one of ${values.join(", ")}` });
const fractions = (error: { error: string }) =>
  z.array(z.number(error).min(0, error).max(1, error), error).readonly();
const keptEpoch = z.int(rule.kept).min(0, rule.kept);

const kindSchema = z.object({
  dataset: text,
  /** Share of the training images that it has not seen; told where there is one. */
  heldOut: number.optional(),
  /** Checksum of its labels and pixels; other data have another. */
  data: text,
  /** How raw pixels became the network's input, in words. */
  preprocessing: text,
  /** Strategy of the augmentation, or "none". */
  augmentation: text,
  network: text,
  width: count,
  seed: count,
  epochs: count,
  batch: count,
  optimizer: oneOf(["sgd", "gsam"]),
  lr: number,
  momentum: number,
  weightDecay: number,
  /** Of GSAM, as the next two; 0 and false without it. */
  rho: number,
  alpha: number,
  adaptive: z.boolean(rule.flag),
  precision: oneOf(["float32", "float16"]),
  /** The first and the last epoch whose snapshots are kept; that of the last epoch of all comes besides. */
  keepEpochs: z.tuple([keptEpoch, keptEpoch], rule.kept).readonly(),
  /** Whether only the ends of that range are, for the line between them, and how epochs lie on it. */
  line: oneOf(["none", "distance", "even"]),
});
const metaSchema = kindSchema.extend({
  /** Fractions in 0..1 after each epoch, `[epochs]`, or empty when it was not measured. */
  testAccuracy: fractions(rule.accuracy),
});
const fileSchema = metaSchema.extend({
  crc32: z.array(count, rule.checksums).readonly(),
  tensors: z.array(count, rule.tensors).readonly().optional(),
  shares: z.array(fractions(rule.shares), rule.shares).readonly().optional(),
});

/** What makes a teacher what it is; each is a metadata string of the file, as a JSON value. */
export type TeacherKind = Readonly<z.infer<typeof kindSchema>>;
/** How a teacher was trained and how well it did. */
export type TeacherMeta = Readonly<z.infer<typeof metaSchema>>;
/** A teacher's metadata with what only its file needs: checksums, and the places on a line. */
export type FileMeta = Readonly<z.infer<typeof fileSchema>>;

/** Epochs of the snapshots in a teacher's file, ascending. */
export function storedEpochs({
  epochs,
  keepEpochs: [first, last],
  line,
}: Pick<TeacherKind, "epochs" | "keepEpochs" | "line">): number[] {
  const range =
    line === "none" ? Array.from({ length: last - first + 1 }, (_, i) => first + i) : [first, last];
  return last < epochs ? [...range, epochs] : range;
}

const kindKeys = kindSchema.keyof().options;

/** What a teacher must be and what came instead, in the first of `keys` in which it is not as wanted. */
export function difference(
  found: TeacherKind,
  wanted: TeacherKind,
  keys: readonly (keyof TeacherKind)[] = kindKeys,
): { key: keyof TeacherKind; must: string; got: string } | undefined {
  const shown = (value: TeacherKind[keyof TeacherKind]): string => {
    if (value === undefined) return "none";
    return typeof value === "object" ? value.join("..") : JSON.stringify(value);
  };
  for (const key of keys) {
    const [must, got] = [shown(wanted[key]), shown(found[key])];
    if (must !== got) return { key, must, got };
  }
  return undefined;
}

/** Metadata strings of a teacher's file. Throws RangeError when `meta` is not as declared. */
export function encodeMeta(meta: FileMeta): Record<string, string> {
  checked(meta, (problem) => new RangeError(`writeTrajectory: ${problem}`));
  const out: Record<string, string> = { format: FORMAT, version: VERSION };
  for (const key of fileSchema.keyof().options)
    if (meta[key] !== undefined) out[key] = JSON.stringify(meta[key]);
  return out;
}

/** A teacher's metadata from the strings of the file at `path`. Throws `FileError`. */
export function decodeMeta(metadata: Readonly<Record<string, string>>, path: string): FileMeta {
  const { format, version } = metadata;
  if (format !== FORMAT)
    throw new FileError(
      `${path}: metadata "format" must be ${FORMAT}, got ${format?.slice(0, 60) ?? "none"}`,
    );
  if (version === "1")
    throw new FileError(
      `${path}: must be of format version ${VERSION}, got 1; remove it and train the teacher again`,
    );
  if (version !== VERSION)
    throw new FileError(
      `${path}: must be of format version ${VERSION}, got ${version?.slice(0, 60) ?? "none"}; read it with the potstill that wrote it`,
    );
  const values: Record<string, unknown> = {};
  for (const key of fileSchema.keyof().options)
    if (metadata[key] !== undefined) values[key] = parsedOrUndefined(metadata[key]);
  return checked(values, (problem) => new FileError(`${path}: metadata ${problem}`));
}

/** `values` as a file's metadata, or throws `fail` of what is wrong. */
function checked(values: object, fail: (problem: string) => Error): FileMeta {
  const problem = (key: string, must: string) => {
    const value = (values as Record<string, unknown>)[key];
    const got = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 60);
    return fail(`"${key}" must be ${must}, got ${got}`);
  };
  const parsed = fileSchema.safeParse(values);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw problem(String(path[0]), message);
  }
  const meta = parsed.data;
  const { epochs, testAccuracy, keepEpochs, line, crc32, tensors, shares } = meta;
  const [first, last] = keepEpochs;
  if (testAccuracy.length !== epochs && testAccuracy.length !== 0)
    throw problem("testAccuracy", rule.accuracy.error);
  if (last > epochs || first > last || (line !== "none" && first === last))
    throw problem("keepEpochs", rule.kept.error);
  if (crc32.length !== storedEpochs(meta).length) throw problem("crc32", rule.checksums.error);
  const byDistance = line === "distance";
  if (byDistance !== (tensors !== undefined)) throw problem("tensors", rule.tensors.error);
  const fits =
    shares?.length === last - first + 1 && shares.every((row) => row.length === tensors?.length);
  if (byDistance ? !fits : shares !== undefined) throw problem("shares", rule.shares.error);
  return meta;
}

function parsedOrUndefined(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
