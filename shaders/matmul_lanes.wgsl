// Matrix product with the lanes of a subgroup along columns: y[i, j] = Σ over l of a[i, l] · b[l, j].
//
//   a: element (i, l) at i·AM + l·AK     b: element (l, j) at l·BK + j·BN     y [M, N]
// A subgroup computes 16 rows of 2·LANES columns. For each l it loads every row's element once, one
// row a lane, and hands it to all lanes by broadcast: 4 loads for 32 multiplications. Rows and
// columns past the edge repeat the last one and store nothing.

enable subgroups;

const M: u32 = 16;
const K: u32 = 32;
const N: u32 = 32;
const AM: u32 = 32;
const AK: u32 = 1;
const BK: u32 = 32;
const BN: u32 = 1;
// Lanes of a subgroup, at least 8.
const LANES: u32 = 8;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn low(value: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(value, 0u),
    subgroupBroadcast(value, 1u),
    subgroupBroadcast(value, 2u),
    subgroupBroadcast(value, 3u),
  );
}

fn high(value: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(value, 4u),
    subgroupBroadcast(value, 5u),
    subgroupBroadcast(value, 6u),
    subgroupBroadcast(value, 7u),
  );
}

fn store4(row: u32, column: u32, values: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (row + i < M && column < N) {
      y[(row + i) * N + column] = values[i];
    }
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.y * 16u;
  let column = group.x * (2 * LANES) + lane;
  let rows = AT0 + min(first + (lane & 7u) + vec2u(0, 8), vec2u(M - 1)) * AM;
  let b0 = AT1 + min(column, N - 1) * BN;
  let b1 = AT1 + min(column + LANES, N - 1) * BN;
  var s00 = vec4f();
  var s01 = vec4f();
  var s02 = vec4f();
  var s03 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  for (var l = 0u; l < K + group.z; l++) {
    let x0 = a[rows.x + l * AK];
    let x1 = a[rows.y + l * AK];
    let w0 = b[b0 + l * BK];
    let w1 = b[b1 + l * BK];
    let v0 = low(x0);
    let v1 = high(x0);
    let v2 = low(x1);
    let v3 = high(x1);
    s00 += w0 * v0;
    s01 += w0 * v1;
    s02 += w0 * v2;
    s03 += w0 * v3;
    s10 += w1 * v0;
    s11 += w1 * v1;
    s12 += w1 * v2;
    s13 += w1 * v3;
  }
  store4(first, column, s00);
  store4(first + 4u, column, s01);
  store4(first + 8u, column, s02);
  store4(first + 12u, column, s03);
  store4(first, column + LANES, s10);
  store4(first + 4u, column + LANES, s11);
  store4(first + 8u, column + LANES, s12);
  store4(first + 12u, column + LANES, s13);
}
