/** @file Networks by their published names. */
import { alexNet } from "./alexnet.ts";
import { convNet, type Activation, type ConvNetOptions, type Pool } from "./convnet.ts";
import type { Norm } from "./layers.ts";
import { leNet } from "./lenet.ts";
import { mlp } from "./mlp.ts";
import { ModelError, type Model, type Task } from "./model.ts";
import { resNet18 } from "./resnet.ts";
import { vgg } from "./vgg.ts";

export { convNet, type Activation, type ConvNetOptions, type Pool } from "./convnet.ts";
export type { Norm } from "./layers.ts";
export {
  initialBuffers,
  initialise,
  joinParameters,
  ModelError,
  splitBuffers,
  splitParameters,
  type Model,
  type Parameter,
  type Task,
  type TrainingPass,
} from "./model.ts";

/** Networks without settings. Where there is a choice the norm is instance norm, and BN says batch norm. */
const fixed = new Map<string, (name: string, task: Task) => Model>([
  ["MLP", mlp],
  ["LeNet", leNet],
  ["AlexNet", (name, task) => alexNet(name, task, "none")],
  ["AlexNetBN", (name, task) => alexNet(name, task, "batch")],
]);
for (const [suffix, norm] of [
  ["", "instance"],
  ["BN", "batch"],
] as const) {
  for (const depth of [11, 13, 16, 19] as const)
    fixed.set(`VGG${depth}${suffix}`, (name, task) => vgg(name, task, depth, norm));
  fixed.set(`ResNet18${suffix}`, (name, task) => resNet18(name, task, { norm, halving: "stride" }));
  fixed.set(`ResNet18${suffix}_AP`, (name, task) =>
    resNet18(name, task, { norm, halving: "pool" }),
  );
}

const published: ConvNetOptions = {
  depth: 3,
  width: 128,
  norm: "instance",
  activation: "relu",
  pool: "avg",
};

const norms: Record<string, Norm> = {
  NN: "none",
  BN: "batch",
  LN: "layer",
  IN: "instance",
  GN: "group",
};
const activations: Record<string, Activation> = {
  AS: "sigmoid",
  AR: "relu",
  AL: "leakyrelu",
  ASwish: "swish",
};
const poolings: Record<string, Pool> = { NP: "none", MP: "max", AP: "avg" };

/** Suffixes that a name may carry, in any number and order, each at most once. */
const SUFFIX = /^(?:D(\d+)|W(\d+)|(NN|BN|LN|IN|GN)|(ASwish|AS|AR|AL)|(NP|MP|AP))/;

/** Options that a ConvNet's name states, e.g. `ConvNetD2W32GN`; undefined for other names. */
function convNetOptions(name: string): Partial<ConvNetOptions> | undefined {
  if (!name.startsWith("ConvNet")) return undefined;
  let rest = name.slice("ConvNet".length);
  const stated: { -readonly [K in keyof ConvNetOptions]?: ConvNetOptions[K] } = {};
  while (rest.length > 0) {
    const match = SUFFIX.exec(rest);
    if (!match) return undefined;
    const [text, depth, width, norm, activation, pool] = match;
    const before = Object.keys(stated).length;
    if (depth) stated.depth = Number(depth);
    if (width) stated.width = Number(width);
    if (norm) stated.norm = norms[norm]!;
    if (activation) stated.activation = activations[activation]!;
    if (pool) stated.pool = poolings[pool]!;
    if (Object.keys(stated).length === before) return undefined;
    rest = rest.slice(text.length);
  }
  return stated;
}

/** Names that exist, for messages and help. */
export const networkNames = [
  "ConvNet",
  "ConvNetD1 … ConvNetD8",
  "ConvNetW32 … ConvNetW1024",
  "ConvNetNN|BN|LN|IN|GN",
  "ConvNetAS|AR|AL|ASwish",
  "ConvNetNP|MP|AP",
  "MLP",
  "LeNet",
  "AlexNet[BN]",
  "VGG11|13|16|19[BN]",
  "ResNet18[BN][_AP]",
] as const;

/** Whether a network of that name exists. */
export function isNetwork(name: string): boolean {
  return fixed.has(name) || hasWidth(name);
}

/** Whether the network of that name has a width (and a depth) that can be set: ConvNets alone. */
export function hasWidth(name: string): boolean {
  return convNetOptions(name) !== undefined;
}

/**
 * The network called `name` for a task. `overrides` give what the name of a ConvNet does not state;
 * other networks have no such settings and take no notice, so that one call builds a whole list.
 * @throws ModelError when there is none, a size is absurd, or it does not suit the images.
 */
export function buildModel(
  name: string,
  task: Task,
  overrides: Partial<ConvNetOptions> = {},
): Model {
  const build = fixed.get(name);
  if (build) return build(name, task);
  const stated = convNetOptions(name);
  if (!stated)
    throw new ModelError(`network: must be one of ${networkNames.join(", ")}, got "${name}"`);
  const options = { ...published, ...overrides, ...stated };
  if (options.depth < 1 || options.depth > 8 || options.width < 1 || options.width > 4096)
    throw new ModelError(
      `network: depth must be 1 to 8 and width 1 to 4096, got ${options.depth} and ${options.width}`,
    );
  return convNet(name, task, options);
}
