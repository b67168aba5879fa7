/** @file The best set of a run so far: by the score of an evaluation, or by the mean of its matching losses. */
import type { DistilledSet } from "./update.ts";

/** A set that was kept, and when. */
export interface KeptSet extends DistilledSet {
  /** Iterations that made it. */
  readonly iteration: number;
  /** What the best set was chosen by: its accuracy in 0..1, or the mean matching loss before it, negative. */
  readonly score?: number;
}

/** What is known of a run's sets: all that `BestSet` needs to go on. */
export interface BestState {
  readonly best: KeptSet | undefined;
  /** Sum and number of the losses since sets were last compared. */
  readonly lossSum: number;
  readonly losses: number;
}

/** Sets are compared this often in a run where no evaluation says otherwise, but not after fewer iterations than LEAST. */
const TIMES = 100;
const LEAST = 25;

/** Evaluates a set: the higher, the better. */
export type Score = (set: DistilledSet, iteration: number) => Promise<number>;

/** Compares the sets of a run at intervals and keeps the best. */
export class BestSet {
  private readonly interval: number;
  private readonly from: number;
  private readonly score: Score | undefined;
  private current: BestState;

  /**
   * Without a score, the mean loss of an interval decides; only of iterations after the first `from`,
   * since losses of other ranges of start epochs do not compare.
   */
  constructor(
    {
      iterations,
      interval,
      from,
    }: { iterations: number; interval?: number | undefined; from: number },
    score: Score | undefined,
    state: BestState = { best: undefined, lossSum: 0, losses: 0 },
  ) {
    this.interval = interval ?? Math.max(LEAST, Math.ceil(iterations / TIMES));
    this.from = from;
    this.score = score;
    this.current = state;
  }

  get state(): BestState {
    return this.current;
  }

  /** Takes note of an iteration (counted from 1) and its loss; compares the set when it is time to. */
  async after(iteration: number, loss: number, set: () => Promise<DistilledSet>): Promise<void> {
    if (this.score === undefined && iteration > this.from && Number.isFinite(loss)) {
      const { lossSum, losses } = this.current;
      this.current = { ...this.current, lossSum: lossSum + loss, losses: losses + 1 };
    }
    if (iteration % this.interval !== 0) return;
    const { best, lossSum, losses } = this.current;
    this.current = { best, lossSum: 0, losses: 0 };
    const known = best?.score ?? -Infinity;
    if (this.score !== undefined) {
      const candidate = await set();
      this.keep({ ...candidate, iteration, score: await this.score(candidate, iteration) });
    } else if (losses === this.interval && -lossSum / losses > known) {
      // Sets are large: only a better one is read.
      this.keep({ ...(await set()), iteration, score: -lossSum / losses });
    }
  }

  private keep(candidate: KeptSet & { readonly score: number }): void {
    if (candidate.score > (this.current.best?.score ?? -Infinity))
      this.current = { ...this.current, best: candidate };
  }
}
