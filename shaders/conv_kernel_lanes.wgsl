// Convolution, transposed in its kernels, with the lanes of a subgroup along output channels:
//   y[o, c, r, q] = Σ over n, i, j of x[n, c, S·i + r - P, S·j + q - P] · g[n, o, i, j].
//
//   x [N, C, H, W]   g [N, O, I, J]   y [O, C·R·Q]
// A subgroup computes 16 columns (c, r, q) of 2·LANES rows o. For each pixel it loads every column's
// input once, one column a lane, and hands it to all lanes by broadcast: 4 loads for 32
// multiplications. Sums run in the order of (n, i, j). What is past the end repeats the last and
// stores nothing.

enable subgroups;

const N: u32 = 1;
const C: u32 = 1;
const H: u32 = 8;
const W: u32 = 8;
const O: u32 = 16;
const R: u32 = 3;
const Q: u32 = 3;
const I: u32 = 8;
const J: u32 = 8;
const S: u32 = 1;
const P: u32 = 1;
// Lanes of a subgroup: 4, or at least 8.
const LANES: u32 = 8;
// Values of a tile of 16 that one load of a subgroup brings.
const WIDTH: u32 = min(LANES, 8);
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

const COLUMNS: u32 = C * R * Q;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
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
    return vec4f(x[at.x], x[at.y], 0.0, 0.0);
  }
  return vec4f(x[at.x], x[at.y], x[at.z], x[at.w]);
}

// The 16 values that the lanes hold, in order, to all lanes: wide subgroups hold eight in x and
// eight in y, subgroups of four hold four in each of x, y, z and w.
fn spread(value: vec4f) -> mat4x4f {
  if (LANES >= 8) {
    return mat4x4f(low(value.x), high(value.x), low(value.y), high(value.y));
  }
  return mat4x4f(low(value.x), low(value.y), low(value.z), low(value.w));
}

fn store4(column: u32, o: u32, values: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (column + i < COLUMNS && o < O) {
      y[o * COLUMNS + column + i] = values[i];
    }
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * 16u;
  let mine = min(first + lane % WIDTH + WIDTH * vec4u(0, 1, 2, 3), vec4u(COLUMNS - 1));
  let c = mine / (R * Q);
  let r = (mine / Q) % R;
  let q = mine % Q;
  let o = group.y * (2 * LANES) + lane;
  let g0 = AT1 + min(o, O - 1) * (I * J);
  let g1 = AT1 + min(o + LANES, O - 1) * (I * J);
  var s00 = vec4f();
  var s01 = vec4f();
  var s02 = vec4f();
  var s03 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  for (var n = 0u; n < N + group.z; n++) {
    let plane = AT0 + (n * C + c) * (H * W);
    let gn = n * (O * I * J);
    for (var i = 0u; i < I + group.z; i++) {
      let h = S * i + r - P;
      let row = plane + h * W;
      let rows = h < vec4u(H);
      for (var j = 0u; j < J + group.z; j++) {
        let w = S * j + q - P;
        let valid = rows & (w < vec4u(W));
        let at = select(plane, row + w, valid);
        let value = select(vec4f(), load(at), valid);
        let w0 = g[g0 + gn + i * J + j];
        let w1 = g[g1 + gn + i * J + j];
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
    }
  }
  store4(first, o, s00);
  store4(first + 4u, o, s01);
  store4(first + 8u, o, s02);
  store4(first + 12u, o, s03);
  store4(first, o + LANES, s10);
  store4(first + 4u, o + LANES, s11);
  store4(first + 8u, o + LANES, s12);
  store4(first + 12u, o + LANES, s13);
}
