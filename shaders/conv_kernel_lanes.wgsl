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
// Lanes of a subgroup, at least 8.
const LANES: u32 = 8;
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
  let mine = min(first + (lane & 7u) + vec2u(0, 8), vec2u(COLUMNS - 1));
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
      let rows = h < vec2u(H);
      for (var j = 0u; j < J + group.z; j++) {
        let w = S * j + q - P;
        let valid = rows & (w < vec2u(W));
        let at = select(plane, row + w, valid);
        let value = select(vec2f(), vec2f(x[at.x], x[at.y]), valid);
        let w0 = g[g0 + gn + i * J + j];
        let w1 = g[g1 + gn + i * J + j];
        let v0 = low(value.x);
        let v1 = high(value.x);
        let v2 = low(value.y);
        let v3 = high(value.y);
        s00 += w0 * v0;
        s01 += w0 * v1;
        s02 += w0 * v2;
        s03 += w0 * v3;
        s10 += w1 * v0;
        s11 += w1 * v1;
        s12 += w1 * v2;
        s13 += w1 * v3;
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
