// Convolution, transposed in its kernels, with the lanes of a subgroup along output channels:
//   y[o, c, r, q] = Σ over pairs, n, i, j of x[n, c, S·i + r - P, S·j + q - P] · g[n, o, i, j].
//
//   x [N, C, H, W]   g [N, O, I, J]   y [O, C·R·Q]
// A subgroup computes 16 columns (c, r, q) of 4·LANES rows o. For each pixel it loads every column's
// input once, one column a lane, and hands it to all lanes by broadcast: 6 loads for 64
// multiplications. Sums run in the order of the formula. What is past the end repeats the last and
// stores nothing.

enable subgroups;

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
alias TY = f32;

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
// Pairs of x and g whose results are added.
const PAIRS: u32 = 1;
// Lanes of a subgroup: 4, or at least 8.
const LANES: u32 = 8;
// Where the inputs start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

// Values of a tile of 16 that one load of a subgroup brings.
const WIDTH: u32 = min(LANES, 8);
const COLUMNS: u32 = C * R * Q;

@group(0) @binding(0) var<storage, read> x0: array<T0>;
@group(0) @binding(1) var<storage, read> g0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<T2>;
@group(0) @binding(3) var<storage, read> g1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

// Sums of 16 columns, of rows LANES apart.
var<private> s: array<mat4x4f, 4>;

fn image(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(x0[AT0 + at]);
  }
  return f32(x1[AT2 + at]);
}

fn cotangent(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(g0[AT1 + at]);
  }
  return f32(g1[AT3 + at]);
}

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
fn load(pair: u32, at: vec4u) -> vec4f {
  if (LANES >= 8) {
    return vec4f(image(pair, at.x), image(pair, at.y), 0.0, 0.0);
  }
  return vec4f(image(pair, at.x), image(pair, at.y), image(pair, at.z), image(pair, at.w));
}

// The 16 values that the lanes hold, in order, to all lanes: wide subgroups hold eight in x and
// eight in y, subgroups of four hold four in each of x, y, z and w.
fn spread(value: vec4f) -> mat4x4f {
  if (LANES >= 8) {
    return mat4x4f(low(value.x), high(value.x), low(value.y), high(value.y));
  }
  return mat4x4f(low(value.x), low(value.y), low(value.z), low(value.w));
}

fn multiply_add(sums: mat4x4f, w: f32, v: mat4x4f) -> mat4x4f {
  return mat4x4f(
    fma(vec4f(w), v[0], sums[0]),
    fma(vec4f(w), v[1], sums[1]),
    fma(vec4f(w), v[2], sums[2]),
    fma(vec4f(w), v[3], sums[3]),
  );
}

fn add_up(pair: u32, column: vec4u, o: u32, zero: u32) {
  let c = column / (R * Q);
  let r = column / Q % R;
  let q = column % Q;
  let row = (I * J) * min(o + LANES * vec4u(0, 1, 2, 3), vec4u(O - 1));
  for (var n = 0u; n < N + zero; n++) {
    let plane = (n * C + c) * (H * W);
    for (var i = 0u; i < I + zero; i++) {
      let h = S * i + r - P;
      let inside = h < vec4u(H);
      let line = plane + select(vec4u(), h * W, inside);
      for (var j = 0u; j < J + zero; j++) {
        let w = S * j + q - P;
        let valid = inside & (w < vec4u(W));
        let v = spread(select(vec4f(), load(pair, line + select(vec4u(), w, valid)), valid));
        let at = row + (n * (O * I * J) + i * J + j);
        s[0] = multiply_add(s[0], cotangent(pair, at.x), v);
        if (O > LANES) {
          s[1] = multiply_add(s[1], cotangent(pair, at.y), v);
        }
        if (O > 2 * LANES) {
          s[2] = multiply_add(s[2], cotangent(pair, at.z), v);
          s[3] = multiply_add(s[3], cotangent(pair, at.w), v);
        }
      }
    }
  }
}

fn store4(column: u32, o: u32, values: vec4f) {
  for (var i = 0u; i < 4; i++) {
    if (column + i < COLUMNS && o < O) {
      y[o * COLUMNS + column + i] = TY(values[i]);
    }
  }
}

fn store16(column: u32, o: u32, values: mat4x4f) {
  store4(column, o, values[0]);
  store4(column + 4, o, values[1]);
  store4(column + 8, o, values[2]);
  store4(column + 12, o, values[3]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * 16;
  let mine = min(first + lane % WIDTH + WIDTH * vec4u(0, 1, 2, 3), vec4u(COLUMNS - 1));
  let o = group.y * (4 * LANES) + lane;
  add_up(0, mine, o, group.z);
  if (PAIRS > 1) {
    add_up(1, mine, o, group.z);
  }
  store16(first, o, s[0]);
  if (O > LANES) {
    store16(first, o + LANES, s[1]);
  }
  if (O > 2 * LANES) {
    store16(first, o + 2 * LANES, s[2]);
    store16(first, o + 3 * LANES, s[3]);
  }
}
