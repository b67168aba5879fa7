/**
 * @file Seeded random numbers by counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011). A draw depends on key and position alone, so any draw can be repeated
 * and streams of other keys never meet.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of the product of two unsigned 32-bit numbers. */
function mulHigh(a: number, b: number): number {
  const [ah, al, bh, bl] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const low = al * bl;
  const middle = ah * bl + (low >>> 16);
  const cross = al * bh + (middle & 0xffff);
  return (ah * bh + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) >>> 0;
}

/** One Philox block: four 32-bit words from a 128-bit counter and a 64-bit key, written to `out`. */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
  out: Uint32Array,
): void {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [h0, l0] = [mulHigh(M0, c0), Math.imul(M0, c0) >>> 0];
    const [h1, l1] = [mulHigh(M1, c2), Math.imul(M1, c2) >>> 0];
    c0 = (h1 ^ c1 ^ k0) >>> 0;
    c2 = (h0 ^ c3 ^ k1) >>> 0;
    c1 = l1;
    c3 = l0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/**
 * A stream of draws. `position` counts the 32-bit words taken, so a checkpoint needs nothing but
 * the seed, the stream's name and that number.
 */
export class Random {
  position: number;
  private readonly key: readonly [number, number];
  private readonly block = new Uint32Array(4);
  private blockNumber = -1;

  /** The root stream of a seed, a whole number. */
  constructor(seed: number | readonly [number, number], position = 0) {
    this.key =
      typeof seed === "number" ? [seed >>> 0, Math.floor(seed / 0x1_0000_0000) >>> 0] : seed;
    this.position = position;
  }

  /** The stream called `name` under this one; this one does not move. */
  stream(name: string): Random {
    const out = new Uint32Array(4);
    let key = this.key;
    for (let i = 0; i < name.length; i++) {
      // A chain over the characters; the third word keeps names apart from ordinary draws.
      philox([name.charCodeAt(i), i, 0x5eed, name.length], key, out);
      key = [out[0]!, out[1]!];
    }
    return new Random(key);
  }

  /** The next 32 bits. */
  word(): number {
    const block = Math.floor(this.position / 4);
    if (block !== this.blockNumber) {
      philox([block >>> 0, Math.floor(block / 0x1_0000_0000), 0, 0], this.key, this.block);
      this.blockNumber = block;
    }
    return this.block[this.position++ % 4]!;
  }

  /** Uniform in [0, 1), a multiple of 2⁻³². */
  uniform(): number {
    return this.word() / 0x1_0000_0000;
  }

  /** A whole number in 0 … count - 1. */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** Standard normal, by Box and Muller; two draws each. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** The numbers 0 … count - 1 in random order (Fisher and Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }

  /** `count` values uniform in [lo, hi), rounded to float32. */
  fill(count: number, lo: number, hi: number): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: count }, () => lo + (hi - lo) * this.uniform());
  }
}
