// Convolution 3×3 with stride 1 and padding 1 of images whose rows are 4, 8, 16 or 32 pixels, forwards or
// transposed, to at most four channels, with the lanes of a quad along them. Formula, arguments and
// TRANSPOSED are those of conv_rows.wgsl.
//
//   x [N, B, T, U]   k: strides KA, KB   y [N, A, T, U]
// A quad computes 32 pixels, whole rows, of four channels. Two loads a lane bring eight pixels of one row
// of taps, which serve all three of its taps and all channels. What is past the end repeats the last and
// stores nothing.

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
const KA: u32 = 9;
const KB: u32 = 9;
const TRANSPOSED: u32 = 0;
// Pairs of x and k whose convolutions are added.
const PAIRS: u32 = 1;
// Lanes of a subgroup: a multiple of 4.
const LANES: u32 = 8;
// Where the inputs start in their bindings; those of x are multiples of four.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

const ROW: u32 = U / 4;
const PLANE: u32 = T * U / 4;
const VECTORS: u32 = N * PLANE;

@group(0) @binding(0) var<storage, read> x0: array<vec4<T0>>;
@group(0) @binding(1) var<storage, read> k0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<vec4<T2>>;
@group(0) @binding(3) var<storage, read> k1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<TY>>;

// Sums of the quad's pixels, of this lane's channel.
var<private> s: array<vec4f, 8>;

fn image(pair: u32, at: u32) -> vec4f {
  if (pair == 0) {
    return vec4f(x0[AT0 / 4 + at]);
  }
  return vec4f(x1[AT2 / 4 + at]);
}

fn kernel(pair: u32, at: u32) -> f32 {
  if (pair == 0) {
    return f32(k0[AT1 + at]);
  }
  return f32(k1[AT3 + at]);
}

// Three weights of a row of taps, for its pixels to the left, here and to the right.
fn taps(pair: u32, at: u32) -> vec3f {
  return vec3f(kernel(pair, at), kernel(pair, at + 1), kernel(pair, at + 2));
}

// sum + the row's taps of four pixels, of which `before` and `after` are the neighbours.
fn row(sum: vec4f, w: vec3f, before: f32, here: vec4f, after: f32) -> vec4f {
  let left = vec4f(before, here.xyz);
  let right = vec4f(here.yzw, after);
  if (TRANSPOSED == 0) {
    return fma(vec4f(w.z), right, fma(vec4f(w.y), here, fma(vec4f(w.x), left, sum)));
  }
  return fma(vec4f(w.z), left, fma(vec4f(w.y), here, fma(vec4f(w.x), right, sum)));
}

// Four pixels of one row of taps, of those that lie at `vector` in (n, t, u).
fn load(pair: u32, vector: u32, b: u32, r: u32) -> vec4f {
  let shift = select(r - 1, 1 - r, TRANSPOSED == 1);
  let valid = vector / ROW % T + shift < T;
  let plane = (vector / PLANE * B + b) * PLANE + vector % PLANE;
  return select(vec4f(), image(pair, select(plane, plane + shift * ROW, valid)), valid);
}

fn add_up(pair: u32, first: u32, lane: u32, zero: u32) {
  let m0 = min(first + lane % 4, VECTORS - 1);
  let m1 = min(first + 4 + lane % 4, VECTORS - 1);
  let a = min(lane % 4, A - 1) * KA;
  for (var b = 0u; b < B + zero; b++) {
    for (var r = 0u; r < 3 + zero; r++) {
      let v0 = load(pair, m0, b, r);
      let v1 = load(pair, m1, b, r);
      let w = taps(pair, a + b * KB + r * 3);
      let e0 = quadBroadcast(v0, 0u);
      let e1 = quadBroadcast(v0, 1u);
      let e2 = quadBroadcast(v0, 2u);
      let e3 = quadBroadcast(v0, 3u);
      let e4 = quadBroadcast(v1, 0u);
      let e5 = quadBroadcast(v1, 1u);
      let e6 = quadBroadcast(v1, 2u);
      let e7 = quadBroadcast(v1, 3u);
      // Neighbours across an end of a row are zero.
      let n1 = select(vec2f(e0.w, e1.x), vec2f(), 1 % ROW == 0);
      let n2 = select(vec2f(e1.w, e2.x), vec2f(), 2 % ROW == 0);
      let n3 = select(vec2f(e2.w, e3.x), vec2f(), 3 % ROW == 0);
      let n4 = select(vec2f(e3.w, e4.x), vec2f(), 4 % ROW == 0);
      let n5 = select(vec2f(e4.w, e5.x), vec2f(), 5 % ROW == 0);
      let n6 = select(vec2f(e5.w, e6.x), vec2f(), 6 % ROW == 0);
      let n7 = select(vec2f(e6.w, e7.x), vec2f(), 7 % ROW == 0);
      s[0] = row(s[0], w, 0.0, e0, n1.y);
      s[1] = row(s[1], w, n1.x, e1, n2.y);
      s[2] = row(s[2], w, n2.x, e2, n3.y);
      s[3] = row(s[3], w, n3.x, e3, n4.y);
      s[4] = row(s[4], w, n4.x, e4, n5.y);
      s[5] = row(s[5], w, n5.x, e5, n6.y);
      s[6] = row(s[6], w, n6.x, e6, n7.y);
      s[7] = row(s[7], w, n7.x, e7, 0.0);
    }
  }
}

fn store(vector: u32, a: u32, value: vec4f) {
  if (vector < VECTORS && a < A) {
    y[(vector / PLANE * A + a) * PLANE + vector % PLANE] = vec4<TY>(value);
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = (group.x * (LANES / 4) + lane / 4) * 8;
  let a = lane % 4;
  add_up(0, first, lane, group.z);
  if (PAIRS > 1) {
    add_up(1, first, lane, group.z);
  }
  store(first, a, s[0]);
  store(first + 1, a, s[1]);
  store(first + 2, a, s[2]);
  store(first + 3, a, s[3]);
  store(first + 4, a, s[4]);
  store(first + 5, a, s[5]);
  store(first + 6, a, s[6]);
  store(first + 7, a, s[7]);
}
