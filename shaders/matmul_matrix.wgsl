// Matrix products by subgroup matrices:
//   y[i, j] = Σ over pairs (a, b), then over l, of a[i, l] · b[l, j].
//
//   a0, a1 [M, K], or [K, M] where TA is 1   b0, b1 [K, N], or [N, K] where TB is 1   y [M, N]
// Operands are f16, sums f32; the hardware chooses the order within MK products. A workgroup of four
// subgroups computes 4·MM rows of 4·MN columns, a subgroup 2×2 matrices of MM×MN. Slices of DEPTH of
// both operands go through workgroup memory, where what is past an edge is zero, and so do the results,
// whose elements a subgroup cannot reach.

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

const PAIRS: u32 = 1;
const M: u32 = 16;
const K: u32 = 32;
const N: u32 = 32;
const TA: u32 = 0;
const TB: u32 = 0;
const LANES: u32 = 32;
// Rows, columns and inner size of the adapter's matrices.
const MM: u32 = 16;
const MN: u32 = 16;
const MK: u32 = 16;
// Where the operands start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

alias T0 = f16;
alias T1 = f16;
alias T2 = f16;
alias T3 = f16;
alias TY = f32;

@group(0) @binding(0) var<storage, read> a0: array<T0>;
@group(0) @binding(1) var<storage, read> b0: array<T1>;
@group(0) @binding(2) var<storage, read> a1: array<T2>;
@group(0) @binding(3) var<storage, read> b1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

const ROWS: u32 = 4 * MM;
const COLUMNS: u32 = 4 * MN;
const DEPTH: u32 = 2 * MK;
const SLICES: u32 = (K + DEPTH - 1) / DEPTH;
const INVOCATIONS: u32 = 4 * LANES;

// Row-major: ROWS × DEPTH, DEPTH × COLUMNS, and a matrix of each subgroup.
var<workgroup> a_slice: array<f16, ROWS * DEPTH>;
var<workgroup> b_slice: array<f16, DEPTH * COLUMNS>;
var<workgroup> sums: array<f32, 4 * MM * MN>;

fn load_a(pair: u32, i: u32, l: u32) -> f16 {
  if (i >= M || l >= K) {
    return 0.0h;
  }
  let at = select(i * K + l, l * M + i, TA == 1);
  if (PAIRS == 1 || pair == 0) {
    return f16(a0[AT0 + at]);
  }
  return f16(a1[AT2 + at]);
}

fn load_b(pair: u32, l: u32, j: u32) -> f16 {
  if (l >= K || j >= N) {
    return 0.0h;
  }
  let at = select(l * N + j, j * K + l, TB == 1);
  if (PAIRS == 1 || pair == 0) {
    return f16(b0[AT1 + at]);
  }
  return f16(b1[AT3 + at]);
}

// Brings a slice to workgroup memory; neighbours read along the inner axes.
fn bring(pair: u32, first: u32, row: u32, column: u32, t: u32) {
  for (var n = t; n < ROWS * DEPTH; n += INVOCATIONS) {
    let at = select(vec2u(n / DEPTH, n % DEPTH), vec2u(n % ROWS, n / ROWS), TA == 1);
    a_slice[at.x * DEPTH + at.y] = load_a(pair, row + at.x, first + at.y);
  }
  for (var n = t; n < DEPTH * COLUMNS; n += INVOCATIONS) {
    let at = select(vec2u(n / COLUMNS, n % COLUMNS), vec2u(n % DEPTH, n / DEPTH), TB == 1);
    b_slice[at.x * COLUMNS + at.y] = load_b(pair, first + at.x, column + at.y);
  }
}

// Stores the matrix that the subgroup has at `own` in `sums`, of which y has what is not past an edge.
fn store(own: u32, row: u32, column: u32, lane: u32) {
  workgroupBarrier();
  for (var n = lane; n < MM * MN; n += LANES) {
    let i = row + n / MN;
    let j = column + n % MN;
    if (i < M && j < N) {
      y[i * N + j] = TY(sums[own + n]);
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = group.y * ROWS;
  let column = group.x * COLUMNS;
  // The subgroup's part of the tile.
  let down = t / LANES / 2 * (2 * MM);
  let across = t / LANES % 2 * (2 * MN);
  var s00: subgroup_matrix_result<f32, MN, MM>;
  var s01: subgroup_matrix_result<f32, MN, MM>;
  var s10: subgroup_matrix_result<f32, MN, MM>;
  var s11: subgroup_matrix_result<f32, MN, MM>;
  for (var slice = 0u; slice < PAIRS * SLICES; slice++) {
    bring(slice / SLICES, slice % SLICES * DEPTH, row, column, t);
    workgroupBarrier();
    for (var l = 0u; l < DEPTH; l += MK) {
      let a = down * DEPTH + l;
      let b = l * COLUMNS + across;
      let left0 = subgroupMatrixLoad<subgroup_matrix_left<f16, MK, MM>, row_major>(&a_slice, a, DEPTH);
      let left1 = subgroupMatrixLoad<subgroup_matrix_left<f16, MK, MM>, row_major>(&a_slice, a + MM * DEPTH, DEPTH);
      let right0 = subgroupMatrixLoad<subgroup_matrix_right<f16, MN, MK>, row_major>(&b_slice, b, COLUMNS);
      let right1 = subgroupMatrixLoad<subgroup_matrix_right<f16, MN, MK>, row_major>(&b_slice, b + MN, COLUMNS);
      s00 = subgroupMatrixMultiplyAccumulate(left0, right0, s00);
      s01 = subgroupMatrixMultiplyAccumulate(left0, right1, s01);
      s10 = subgroupMatrixMultiplyAccumulate(left1, right0, s10);
      s11 = subgroupMatrixMultiplyAccumulate(left1, right1, s11);
    }
    workgroupBarrier();
  }
  let own = t / LANES * (MM * MN);
  let i = row + down;
  let j = column + across;
  subgroupMatrixStore<row_major>(&sums, own, s00, MN);
  store(own, i, j, t % LANES);
  subgroupMatrixStore<row_major>(&sums, own, s01, MN);
  store(own, i, j + MN, t % LANES);
  subgroupMatrixStore<row_major>(&sums, own, s10, MN);
  store(own, i + MM, j, t % LANES);
  subgroupMatrixStore<row_major>(&sums, own, s11, MN);
  store(own, i + MM, j + MN, t % LANES);
}
