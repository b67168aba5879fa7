// Convolution, or convolution transposed in its images, with the lanes of a subgroup along output
// channels. Formula, arguments and TRANSPOSED are those of conv_pixels.wgsl.
//
//   x [N, B, H, W]   k: strides KA, KB   y [N, A, T, U]
// A subgroup computes 16 pixels of 2·LANES channels. For each tap it loads every pixel's value once,
// one pixel a lane, and hands it to all lanes by broadcast: 4 loads for 32 multiplications, where
// loads are what costs. What is past the end repeats the last and stores nothing.

enable subgroups;

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
// Lanes of a subgroup: 4, or at least 8.
const LANES: u32 = 8;
// Values of a tile of 16 that one load of a subgroup brings.
const WIDTH: u32 = min(LANES, 8);
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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

fn store(pixel: u32, a: u32, value: f32) {
  if (pixel < N * T * U && a < A) {
    y[(pixel / (T * U) * A + a) * (T * U) + pixel % (T * U)] = value;
  }
}

fn store4(pixel: u32, a: u32, values: vec4f) {
  store(pixel, a, values.x);
  store(pixel + 1u, a, values.y);
  store(pixel + 2u, a, values.z);
  store(pixel + 3u, a, values.w);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * 16u;
  let mine = min(first + lane % WIDTH + WIDTH * vec4u(0, 1, 2, 3), vec4u(N * T * U - 1));
  let t = (mine / U) % T;
  let u = mine % U;
  let base = AT0 + mine / (T * U) * (B * H * W);
  let a = group.y * (2 * LANES) + lane;
  let k0 = AT1 + min(a, A - 1) * KA;
  let k1 = AT1 + min(a + LANES, A - 1) * KA;
  var s00 = vec4f();
  var s01 = vec4f();
  var s02 = vec4f();
  var s03 = vec4f();
  var s10 = vec4f();
  var s11 = vec4f();
  var s12 = vec4f();
  var s13 = vec4f();
  for (var r = 0u; r < R + group.z; r++) {
    let h = read_at(t, r, H);
    for (var q = 0u; q < Q + group.z; q++) {
      let w = read_at(u, q, W);
      let valid = (h < vec4u(H)) & (w < vec4u(W));
      let origin = select(base, base + h * W + w, valid);
      let tap = r * Q + q;
      for (var b = 0u; b < B + group.z; b++) {
        let at = origin + b * (H * W);
        let value = select(vec4f(), load(at), valid);
        let w0 = k[k0 + b * KB + tap];
        let w1 = k[k1 + b * KB + tap];
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
  store4(first, a, s00);
  store4(first + 4u, a, s01);
  store4(first + 8u, a, s02);
  store4(first + 12u, a, s03);
  store4(first, a + LANES, s10);
  store4(first + 4u, a + LANES, s11);
  store4(first + 8u, a + LANES, s12);
  store4(first + 12u, a + LANES, s13);
}
