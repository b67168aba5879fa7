// Convolution, or convolution transposed in its images, with the lanes of a subgroup along output
// channels. Formula, arguments and TRANSPOSED are those of conv_pixels.wgsl.
//
//   x [N, B, H, W]   k: strides KA, KB   y [N, A, T, U]
// A subgroup computes 16 pixels of 4·LANES channels. For each tap it loads every pixel's value once,
// one pixel a lane, and hands it to all lanes by broadcast: 6 loads for 64 multiplications, where
// loads are what costs. What is past the end repeats the last and stores nothing.

enable subgroups;

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
alias TY = f32;

const N: u32 = 1;
const A: u32 = 16;
const B: u32 = 1;
const T: u32 = 8;
const U: u32 = 8;
const H: u32 = 8;
const W: u32 = 8;
const R: u32 = 3;
const Q: u32 = 3;
const S: u32 = 1;
const P: u32 = 1;
const KA: u32 = 9;
const KB: u32 = 9;
const TRANSPOSED: u32 = 0;
// Pairs of x and k whose convolutions are added.
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

@group(0) @binding(0) var<storage, read> x0: array<T0>;
@group(0) @binding(1) var<storage, read> k0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<T2>;
@group(0) @binding(3) var<storage, read> k1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

// Sums of 16 pixels, of channels LANES apart.
var<private> s: array<mat4x4f, 4>;

fn image(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(x0[AT0 + at]);
  }
  return f32(x1[AT2 + at]);
}

fn kernel(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(k0[AT1 + at]);
  }
  return f32(k1[AT3 + at]);
}

// As in conv_pixels.wgsl, for the pixels that a lane loads.
fn read_at(at: vec4u, tap: u32, size: u32) -> vec4u {
  if (TRANSPOSED == 0) {
    return S * at + tap - P;
  }
  let scaled = at + P - tap;
  let position = scaled / S;
  return select(vec4u(size), position, position * S == scaled);
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

fn add_up(pair: u32, pixel: vec4u, a: u32, zero: u32) {
  let t = pixel / U % T;
  let u = pixel % U;
  let image = pixel / (T * U) * (B * H * W);
  let ka = KA * min(a + LANES * vec4u(0, 1, 2, 3), vec4u(A - 1));
  for (var b = 0u; b < B + zero; b++) {
    for (var r = 0u; r < R + zero; r++) {
      let h = read_at(t, r, H);
      let inside = h < vec4u(H);
      let row = image + b * (H * W) + select(vec4u(), h * W, inside);
      for (var q = 0u; q < Q + zero; q++) {
        let w = read_at(u, q, W);
        let valid = inside & (w < vec4u(W));
        let v = spread(select(vec4f(), load(pair, row + select(vec4u(), w, valid)), valid));
        let at = ka + (b * KB + r * Q + q);
        s[0] = multiply_add(s[0], kernel(pair, at.x), v);
        if (A > LANES) {
          s[1] = multiply_add(s[1], kernel(pair, at.y), v);
        }
        if (A > 2 * LANES) {
          s[2] = multiply_add(s[2], kernel(pair, at.z), v);
          s[3] = multiply_add(s[3], kernel(pair, at.w), v);
        }
      }
    }
  }
}

fn store(pixel: u32, a: u32, value: f32) {
  if (pixel < N * T * U && a < A) {
    y[(pixel / (T * U) * A + a) * (T * U) + pixel % (T * U)] = TY(value);
  }
}

fn store4(pixel: u32, a: u32, values: vec4f) {
  store(pixel, a, values.x);
  store(pixel + 1, a, values.y);
  store(pixel + 2, a, values.z);
  store(pixel + 3, a, values.w);
}

fn store16(pixel: u32, a: u32, values: mat4x4f) {
  store4(pixel, a, values[0]);
  store4(pixel + 4, a, values[1]);
  store4(pixel + 8, a, values[2]);
  store4(pixel + 12, a, values[3]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * 16;
  let mine = min(first + lane % WIDTH + WIDTH * vec4u(0, 1, 2, 3), vec4u(N * T * U - 1));
  let a = group.y * (4 * LANES) + lane;
  add_up(0, mine, a, group.z);
  if (PAIRS > 1) {
    add_up(1, mine, a, group.z);
  }
  store16(first, a, s[0]);
  if (A > LANES) {
    store16(first, a + LANES, s[1]);
  }
  if (A > 2 * LANES) {
    store16(first, a + 2 * LANES, s[2]);
    store16(first, a + 3 * LANES, s[3]);
  }
}
