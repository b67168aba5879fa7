/** @file Matrix products with either side transposed, and sums of two: a family closed under differentiation. */
import { ShapeError, showShape } from "../graph/shape.ts";
import {
  apply,
  requireFloat,
  type Kernel,
  type KernelOp,
  type Target,
  type Tensor,
} from "../graph/tensor.ts";

type MatmulParams = { readonly transposeA: boolean; readonly transposeB: boolean };

/** Rows M, inner size K and columns N of a product. */
interface Sizes {
  readonly M: number;
  readonly K: number;
  readonly N: number;
}

function sizesOf(a: Tensor, b: Tensor, p: MatmulParams): Sizes {
  if (a.rank !== 2 || b.rank !== 2)
    throw new ShapeError(
      `matmul: operands must be matrices, got ${showShape(a.shape)} and ${showShape(b.shape)}`,
    );
  const [M, K] = p.transposeA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  const [inner, N] = p.transposeB ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
  if (K !== inner)
    throw new ShapeError(
      `matmul: inner sizes must agree, got ${showShape(a.shape)}${p.transposeA ? "ᵀ" : ""} and ${showShape(b.shape)}${p.transposeB ? "ᵀ" : ""}`,
    );
  return { M, K, N };
}

/** Sizes of the one or two products of [a, b] or [a, b, a′, b′], which must be the same. */
function sizes([a, b, ...second]: readonly Tensor[], params: MatmulParams): Sizes {
  const own = sizesOf(a!, b!, params);
  if (second.length === 0) return own;
  const other = sizesOf(second[0]!, second[1]!, params);
  if (own.M !== other.M || own.K !== other.K || own.N !== other.N) {
    const show = ({ M, K, N }: Sizes): string => `[${M}, ${K}] · [${K}, ${N}]`;
    throw new ShapeError(
      `matmulSum: both products must have the same sizes, got ${show(own)} and ${show(other)}`,
    );
  }
  return own;
}

/** Distances between rows and columns of an operand stored `[rows, columns]` or transposed. */
function strides(rows: number, columns: number, transposed: boolean): [number, number] {
  return transposed ? [1, rows] : [columns, 1];
}

/** `inputs` are one pair [a, b], or two whose products are added: first all of the first. */
const matmulOp: KernelOp<MatmulParams> = {
  form: "kernel",
  name: "matmul",
  addsPairs: true,
  shape(inputs, params) {
    requireFloat("matmul", inputs);
    const { M, N } = sizes(inputs, params);
    return [M, N];
  },
  // Y = A B: ∂A = G Bᵀ, ∂B = Aᵀ G; with a transposed operand its own derivative is transposed.
  vjp: (g, inputs, _, { transposeA: ta, transposeB: tb }) =>
    pairsOf(inputs).flatMap(([a, b]) => [
      ta ? product(b, g, tb, true) : product(g, b, false, !tb),
      tb ? product(g, a, true, ta) : product(a, g, !ta, false),
    ]),
  cpu(data, tensors, y) {
    const params = y.params as MatmulParams;
    const { M, K, N } = sizes(tensors, params);
    const [am, ak] = strides(M, K, params.transposeA);
    const [bk, bn] = strides(K, N, params.transposeB);
    const out = new Float64Array(M * N);
    for (const [a, b] of pairsOf(data))
      for (let i = 0; i < M; i++)
        for (let l = 0; l < K; l++) {
          const left = a[i * am + l * ak]!;
          for (let j = 0; j < N; j++) out[i * N + j]! += left * b[l * bk + j * bn]!;
        }
    return out;
  },
  kernels(inputs, y, target) {
    const { transposeA, transposeB } = y.params as MatmulParams;
    const size = sizes(inputs, { transposeA, transposeB });
    const PAIRS = inputs.length / 2;
    const constants = { ...size, PAIRS, TA: Number(transposeA), TB: Number(transposeB) };
    // The shaders bind two pairs: a single one twice.
    const operands = PAIRS === 1 ? [0, 1, 0, 1] : [0, 1, 2, 3];
    const flops = 2 * PAIRS * size.M * size.K * size.N;
    const [first, ...others] = tilings(size, transposeB, target).map(
      ({ shader, rows, columns, ...own }): Kernel => {
        const grid = [Math.ceil(size.N / columns), Math.ceil(size.M / rows), 1] as const;
        return { shader, operands, constants: { ...constants, ...own.constants }, grid, flops };
      },
    );
    return [first!, ...others];
  },
};

function pairsOf<T>(items: readonly T[]): (readonly [T, T])[] {
  return items.flatMap((a, i) => (i % 2 === 0 ? [[a, items[i + 1]!] as const] : []));
}

/** A shader with the rows and columns that a workgroup of it computes. */
interface Tiling {
  readonly shader: string;
  readonly rows: number;
  readonly columns: number;
  readonly constants?: Readonly<Record<string, number>>;
}

/** Ways to divide the result, the likeliest to be fast first. */
function tilings(size: Sizes, transposeB: boolean, target: Target): readonly Tiling[] {
  // The order of sums is the hardware's: no choice among others.
  const { matrix, precision, subgroupSize } = target;
  if (matrix && precision === "f16") return [matrixTiling(matrix, subgroupSize)];
  const plain: Tiling = { shader: "matmul", rows: 32, columns: 32 };
  if (target.software) {
    const wide = subgroupSize < 4 ? [] : lanes(size, transposeB, subgroupSize);
    // A small product takes no longer by the kernel that compiles three times as fast.
    return size.M * size.K * size.N < SMALL ? [plain, ...wide] : [...wide, plain];
  }
  return [...workgroups(size), plain];
}

function matrixTiling(
  { m: MM, k: MK, n: MN }: NonNullable<Target["matrix"]>,
  LANES: number,
): Tiling {
  const constants = { MM, MK, MN, LANES };
  return { shader: "matmul_matrix", rows: 4 * MM, columns: 4 * MN, constants };
}

/** Products below which any kernel does. */
const SMALL = 2 ** 17;

/** Products from which the long compilation of 32 rows at a time is made up for. */
const LARGE = 2 ** 24;

/** Tiles of a subgroup, a processor's vector: what is beyond the edge costs as much as the rest. */
function lanes({ M, K, N }: Sizes, transposeB: boolean, LANES: number): readonly Tiling[] {
  const rows = M > 16 && M * K * N >= LARGE ? [32, 16, 8] : M > 8 ? [16, 8, 32] : [8];
  const useful = rows.filter((count) => count < 2 * M + 8);
  // One column a lane wastes less of a narrow product, but loads more for each.
  const columns = N > 2 * LANES ? [4] : transposeB ? [1, 4] : [4, 1];
  return columns.flatMap((COLUMNS) =>
    useful.map((ROWS) => ({
      shader: "matmul_lanes",
      rows: ROWS,
      columns: COLUMNS * LANES,
      constants: { LANES, ROWS, COLUMNS },
    })),
  );
}

/** Multiprocessors of a large GPU: fewer workgroups leave some idle. */
const BUSY = 132;

/** Tiles of a workgroup: the largest that keep a GPU busy first. */
function workgroups({ M, N }: Sizes): readonly Tiling[] {
  const tiles = [
    { SIDE: 16, DOWN: 2, ACROSS: 2, DEPTH: 16 },
    { SIDE: 16, DOWN: 1, ACROSS: 2, DEPTH: 16 },
    { SIDE: 16, DOWN: 1, ACROSS: 1, DEPTH: 32 },
    { SIDE: 8, DOWN: 1, ACROSS: 1, DEPTH: 16 },
  ].map((constants) => {
    const { SIDE, DOWN, ACROSS } = constants;
    return { shader: "matmul_tiled", rows: 4 * SIDE * DOWN, columns: 4 * SIDE * ACROSS, constants };
  });
  const count = ({ rows, columns }: Tiling): number => Math.ceil(M / rows) * Math.ceil(N / columns);
  const busy = tiles.filter((tile) => count(tile) >= BUSY);
  const idle = tiles.filter((tile) => count(tile) < BUSY).reverse();
  return [...busy, ...idle];
}

function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return apply(matmulOp, [a, b], { transposeA, transposeB });
}

/**
 * Matrix product `[M, K] · [K, N] → [M, N]`; a flag reads that operand transposed.
 * @throws ShapeError when the operands are not matrices or their inner sizes differ.
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false }: Partial<MatmulParams> = {},
): Tensor {
  return product(a, b, transposeA, transposeB);
}

/**
 * Sum of two matrix products of the same sizes, in one launch: `a·b + c·d` for pairs [a, b] and
 * [c, d]; a flag reads that side of both transposed.
 * @throws ShapeError when the operands are not matrices or their sizes differ.
 */
export function matmulSum(
  pairs: readonly [readonly [Tensor, Tensor], readonly [Tensor, Tensor]],
  { transposeA = false, transposeB = false }: Partial<MatmulParams> = {},
): Tensor {
  return apply(matmulOp, pairs.flat(), { transposeA, transposeB });
}
