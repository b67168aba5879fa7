/** @file Networks that a set is evaluated with: by their names, or by the letter of a published pool. */
import { buildModel, ModelError, type Model, type Task } from "../../models/index.ts";

/**
 * Pools by letter as the field's programs have them: DC, DSA and DM (Zhao and Bilen) and, since, MTT
 * and DATM, whose M leaves out MLP and LeNet.
 */
const POOLS: Readonly<Record<string, readonly string[]>> = {
  M: ["MLP", "ConvNet", "LeNet", "AlexNet", "VGG11", "ResNet18"],
  B: ["ConvNetBN", "ConvNetASwishBN", "AlexNetBN", "VGG11BN", "ResNet18BN"],
  W: ["ConvNetW32", "ConvNetW64", "ConvNetW128", "ConvNetW256"],
  D: ["ConvNetD1", "ConvNetD2", "ConvNetD3", "ConvNetD4"],
  A: ["ConvNetAS", "ConvNetAR", "ConvNetAL", "ConvNetASwish"],
  P: ["ConvNetNP", "ConvNetMP", "ConvNetAP"],
  N: ["ConvNetNN", "ConvNetBN", "ConvNetLN", "ConvNetIN", "ConvNetGN"],
};

/** Letters with what they stand for, for help. */
export const POOL_LETTERS =
  "S the same network (a batch norm replaced by an instance norm), SS with its batch norm, " +
  "C the same and ConvNet, M mixed, B batch norms, W widths, D depths, A activations, P pools, N norms";

/** The network that a set was made with. */
export interface OwnNetwork {
  readonly network: string;
  readonly width: number;
}

/** The name as it is with the default norm. */
const withoutBatchNorm = (network: string): string => network.replace("BN", "");

function namesOf(word: string, own: string): readonly string[] {
  switch (word) {
    case "S":
      return [withoutBatchNorm(own)];
    case "SS":
      return [own];
    case "C":
      return [own, "ConvNet"];
    default:
      return Object.hasOwn(POOLS, word) ? POOLS[word]! : [word];
  }
}

/**
 * The networks of `text`, names and letters of pools joined by commas, each once, for images of a
 * task. ConvNets whose name states no width have the width of the network that the set was made with.
 * @throws ModelError for an unknown name, or a network that does not suit the images.
 */
export function networkPool(text: string, task: Task, own: OwnNetwork): Model[] {
  const words = text.split(",").map((word) => word.trim());
  if (words.some((word) => word === ""))
    throw new ModelError(`networks: must be names or letters joined by commas, got "${text}"`);
  const names = new Set(words.flatMap((word) => namesOf(word, own.network)));
  return [...names].map((name) => buildModel(name, task, { width: own.width }));
}
