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
// Lanes of a subgroup: 4, or at least 8.
const LANES: u32 = 8;
// Values of a tile of 16 that one load of a subgroup brings.
const WIDTH: u32 = min(LANES, 8);
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

// Loads what a tile of 16 needs.
fn load(at: vec4u) -> vec4f {
  if (LANES >= 8) {
    return vec4f(a[at.x], a[at.y], 0.0, 0.0);
  }
  return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}

// The 16 values that the lanes hold, in order, to all lanes: wide subgroups hold eight in x and
// eight in y, subgroups of four hold four in each of x, y, z and w.
fn spread(value: vec4f) -> mat4x4f {
  if (LANES >= 8) {
    return mat4x4f(low(value.x), high(value.x), low(value.y), high(value.y));
  }
  return mat4x4f(low(value.x), low(value.y), low(value.z), low(value.w));
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
  let rows = AT0 + min(first + lane % WIDTH + WIDTH * vec4u(0, 1, 2, 3), vec4u(M - 1)) * AM;
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
    let value = load(rows + l * AK);
    let w0 = b[b0 + l * BK];
    let w1 = b[b1 + l * BK];
    let v = spread(value);
    s00 += w0 * v[0];
    s01 += w0 * v[1];
    s02 += w0 * v[2];
    s03 += w0 * v[3];
    s10 += w1 * v[0];
    s11 += w1 * v[1];
    s12 += w1 * v[2];
    s13 += w1 * v[3];
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
