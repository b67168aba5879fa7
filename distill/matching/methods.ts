/** @file Methods of trajectory matching, as defaults of a recipe's settings: the loop is one and the same. */

type Group = Readonly<Record<string, unknown>>;

/** Names of the methods, the default first. */
export const METHOD_NAMES = ["datm", "mtt", "ftd", "tesla"] as const;

/** A method of matching trajectories, as recipes name it. */
export type MatchingMethod = (typeof METHOD_NAMES)[number];

/**
 * What each method decides where a recipe does not, and the teachers' optimiser. `lr_y` is a recipe's
 * own where labels are learned.
 *
 * - `mtt` (Cazenavette et al. 2022, arXiv 2203.11932): hard labels, start epochs from a fixed range.
 * - `ftd` (Du et al. 2023, arXiv 2211.11004): MTT with teachers by GSAM and an exponential average of
 *   the images.
 * - `tesla` (Cui et al. 2023, arXiv 2211.10586): MTT with a gradient that leaves out the Hessian, and
 *   teachers' soft labels, which are not learned. The published program makes them anew in every
 *   iteration, of the target; here they are the mean over all teachers, once.
 * - `datm` (Guo et al. 2024, arXiv 2310.05773): soft labels that are learned, teachers by GSAM; the
 *   range of start epochs grows where the recipe says how.
 */
const METHODS: Readonly<Record<MatchingMethod, { optimizer: string; own: Group }>> = {
  mtt: { optimizer: "sgd", own: fixed({ labels: "hard", lr_y: 0 }) },
  ftd: { optimizer: "gsam", own: fixed({ labels: "hard", lr_y: 0, ema_decay: 0.999 }) },
  tesla: { optimizer: "sgd", own: fixed({ labels: "soft", lr_y: 0, gradient: "tesla" }) },
  datm: { optimizer: "gsam", own: { labels: "soft", gradient: "exact", ema_decay: 0 } },
};

function fixed(own: Group): Group {
  return { gradient: "exact", ema_decay: 0, sequential: false, ...own };
}

/** Settings that a method decides, besides the teachers' optimiser. */
const DECIDED = ["labels", "lr_y", "gradient", "ema_decay", "sequential"];

const isGroup = (value: unknown): value is Group =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const methodOf = ({ method = METHOD_NAMES[0] }: Group): unknown => method;

/** What a recipe says, with what its method decides if it says nothing. */
export function withMethod(value: unknown): unknown {
  if (!isGroup(value)) return value;
  const method = METHOD_NAMES.find((name) => name === methodOf(value)) ?? METHOD_NAMES[0];
  const { optimizer, own } = METHODS[method];
  const grows = ["current_max_start_epoch", "expansion_end_epoch"].every((key) => key in value);
  const labels = value["labels"] === "hard" ? { lr_y: 0 } : {};
  const { teachers } = value;
  return {
    ...{ sequential: grows, ...own, ...labels, ...value },
    ...(isGroup(teachers) ? { teachers: { optimizer, ...teachers } } : {}),
  };
}

/** What a recipe says, less what its method decides if `over`, which goes over it, names another. */
export function underMethod(under: Group, over: Group): Group {
  if (over["method"] === undefined || over["method"] === methodOf(under)) return under;
  const without = (group: Group, keys: readonly string[]): Group =>
    Object.fromEntries(Object.entries(group).filter(([key]) => !keys.includes(key)));
  const { teachers } = under;
  return {
    ...without(under, DECIDED),
    ...(isGroup(teachers) ? { teachers: without(teachers, ["optimizer"]) } : {}),
  };
}
