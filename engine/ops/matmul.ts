/** @file Matrix product with either side transposed: a family closed under differentiation. */
import { ShapeError, showShape } from "../graph/shape.ts";
import { apply, requireFloat, type KernelOp, type Tensor } from "../graph/tensor.ts";

type MatmulParams = { readonly transposeA: boolean; readonly transposeB: boolean };

/** Rows M, inner size K and columns N of a product. */
function sizes(inputs: readonly Tensor[], p: MatmulParams): { m: number; k: number; n: number } {
  const [a, b] = inputs;
  if (a!.rank !== 2 || b!.rank !== 2)
    throw new ShapeError(
      `matmul: operands must be matrices, got ${showShape(a!.shape)} and ${showShape(b!.shape)}`,
    );
  const [m, k] = p.transposeA ? [a!.shape[1]!, a!.shape[0]!] : [a!.shape[0]!, a!.shape[1]!];
  const [inner, n] = p.transposeB ? [b!.shape[1]!, b!.shape[0]!] : [b!.shape[0]!, b!.shape[1]!];
  if (k !== inner)
    throw new ShapeError(
      `matmul: inner sizes must agree, got ${showShape(a!.shape)}${p.transposeA ? "ᵀ" : ""} and ${showShape(b!.shape)}${p.transposeB ? "ᵀ" : ""}`,
    );
  return { m, k, n };
}

/** Distances between rows and columns of an operand stored `[rows, columns]` or transposed. */
function strides(rows: number, columns: number, transposed: boolean): [number, number] {
  return transposed ? [1, rows] : [columns, 1];
}

const matmulOp: KernelOp<MatmulParams> = {
  form: "kernel",
  name: "matmul",
  shape(inputs, params) {
    requireFloat("matmul", inputs);
    const { m, n } = sizes(inputs, params);
    return [m, n];
  },
  // Y = A B: ∂A = G Bᵀ, ∂B = Aᵀ G; with a transposed operand its own derivative is transposed.
  vjp: (g, [a, b], _, { transposeA: ta, transposeB: tb }) => [
    ta ? product(b!, g, tb, true) : product(g, b!, false, !tb),
    tb ? product(g, a!, true, ta) : product(a!, g, !ta, false),
  ],
  cpu([a, b], tensors, y) {
    const params = y.params as MatmulParams;
    const { m, k, n } = sizes(tensors, params);
    const [am, ak] = strides(m, k, params.transposeA);
    const [bk, bn] = strides(k, n, params.transposeB);
    const out = new Float64Array(m * n);
    for (let i = 0; i < m; i++)
      for (let l = 0; l < k; l++) {
        const left = a![i * am + l * ak]!;
        for (let j = 0; j < n; j++) out[i * n + j]! += left * b![l * bk + j * bn]!;
      }
    return out;
  },
  kernels(inputs, y, target) {
    const params = y.params as MatmulParams;
    const { m, k, n } = sizes(inputs, params);
    const [am, ak] = strides(m, k, params.transposeA);
    const [bk, bn] = strides(k, n, params.transposeB);
    const constants = { M: m, K: k, N: n, AM: am, AK: ak, BK: bk, BN: bn };
    const flops = 2 * m * k * n;
    const LANES = target.subgroupSize;
    if (LANES < 4) {
      const grid = [Math.ceil(n / 32), Math.ceil(m / 32), 1] as const;
      return [{ shader: "matmul", constants, grid, flops }];
    }
    const grid = [Math.ceil(n / (2 * LANES)), Math.ceil(m / 16), 1] as const;
    return [{ shader: "matmul_lanes", constants: { ...constants, LANES }, grid, flops }];
  },
};

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
