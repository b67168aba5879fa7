// Convolution 3×3 with stride 1 and padding 1 of images whose rows are 4, 8, 16 or 32 pixels, forwards or
// transposed, with the lanes of a subgroup along output channels:
//   y[n, a, t, u] = Σ over pairs, b, r, q of x[n, b, t', u'] · k[a·KA + b·KB + 3·r + q]
// where t' = t + r - 1, or with TRANSPOSED t + 1 - r (u' likewise); what lies outside is zero.
//
//   x [N, B, T, U]   k: strides KA, KB   y [N, A, T, U]
// A subgroup computes 32 pixels, whole rows, of 2·LANES channels. One load a lane brings four pixels of
// one row of taps, which serve all three of its taps and all channels. Sums run in the order of the
// formula, as in conv_channels.wgsl. What is past the end repeats the last and stores nothing. Loops end
// at a size + group.z: group.z is 0, but the driver does not know and unrolls nothing.

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
// Lanes of a subgroup: 4, or at least 8.
const LANES: u32 = 8;
// Where the inputs start in their bindings; those of x are multiples of four.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

const ROW: u32 = U / 4;
const PLANE: u32 = T * U / 4;
const VECTORS: u32 = N * PLANE;
// Whether there is a second half of channels.
const WIDE: bool = A > LANES;

@group(0) @binding(0) var<storage, read> x0: array<vec4<T0>>;
@group(0) @binding(1) var<storage, read> k0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<vec4<T2>>;
@group(0) @binding(3) var<storage, read> k1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<TY>>;

// Sums of the first and the second LANES channels.
var<private> s: array<vec4f, 8>;
var<private> z: array<vec4f, 8>;

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

// A subgroup's pixels of one row of taps, where this lane's four lie at `vector` in (n, t, u).
fn load(pair: u32, vector: u32, b: u32, r: u32) -> vec4f {
  let shift = select(r - 1, 1 - r, TRANSPOSED == 1);
  let valid = vector / ROW % T + shift < T;
  let plane = (vector / PLANE * B + b) * PLANE + vector % PLANE;
  return select(vec4f(), image(pair, select(plane, plane + shift * ROW, valid)), valid);
}

fn add_up(pair: u32, first: u32, lane: u32, a: u32, zero: u32) {
  let m0 = min(first + lane % min(LANES, 8), VECTORS - 1);
  let m1 = min(first + 4 + lane, VECTORS - 1);
  let a0 = min(a, A - 1) * KA;
  let a1 = min(a + LANES, A - 1) * KA;
  for (var b = 0u; b < B + zero; b++) {
    for (var r = 0u; r < 3 + zero; r++) {
      let v = load(pair, m0, b, r);
      let w0 = taps(pair, a0 + b * KB + r * 3);
      let e0 = subgroupBroadcast(v, 0u);
      let e1 = subgroupBroadcast(v, 1u);
      let e2 = subgroupBroadcast(v, 2u);
      let e3 = subgroupBroadcast(v, 3u);
      var e4: vec4f;
      var e5: vec4f;
      var e6: vec4f;
      var e7: vec4f;
      if (LANES >= 8) {
        e4 = subgroupBroadcast(v, 4u);
        e5 = subgroupBroadcast(v, 5u);
        e6 = subgroupBroadcast(v, 6u);
        e7 = subgroupBroadcast(v, 7u);
      } else {
        let others = load(pair, m1, b, r);
        e4 = subgroupBroadcast(others, 0u);
        e5 = subgroupBroadcast(others, 1u);
        e6 = subgroupBroadcast(others, 2u);
        e7 = subgroupBroadcast(others, 3u);
      }
      // Neighbours across an end of a row are zero.
      let n1 = select(vec2f(e0.w, e1.x), vec2f(), 1 % ROW == 0);
      let n2 = select(vec2f(e1.w, e2.x), vec2f(), 2 % ROW == 0);
      let n3 = select(vec2f(e2.w, e3.x), vec2f(), 3 % ROW == 0);
      let n4 = select(vec2f(e3.w, e4.x), vec2f(), 4 % ROW == 0);
      let n5 = select(vec2f(e4.w, e5.x), vec2f(), 5 % ROW == 0);
      let n6 = select(vec2f(e5.w, e6.x), vec2f(), 6 % ROW == 0);
      let n7 = select(vec2f(e6.w, e7.x), vec2f(), 7 % ROW == 0);
      s[0] = row(s[0], w0, 0.0, e0, n1.y);
      s[1] = row(s[1], w0, n1.x, e1, n2.y);
      s[2] = row(s[2], w0, n2.x, e2, n3.y);
      s[3] = row(s[3], w0, n3.x, e3, n4.y);
      s[4] = row(s[4], w0, n4.x, e4, n5.y);
      s[5] = row(s[5], w0, n5.x, e5, n6.y);
      s[6] = row(s[6], w0, n6.x, e6, n7.y);
      s[7] = row(s[7], w0, n7.x, e7, 0.0);
      if (WIDE) {
        let w1 = taps(pair, a1 + b * KB + r * 3);
        z[0] = row(z[0], w1, 0.0, e0, n1.y);
        z[1] = row(z[1], w1, n1.x, e1, n2.y);
        z[2] = row(z[2], w1, n2.x, e2, n3.y);
        z[3] = row(z[3], w1, n3.x, e3, n4.y);
        z[4] = row(z[4], w1, n4.x, e4, n5.y);
        z[5] = row(z[5], w1, n5.x, e5, n6.y);
        z[6] = row(z[6], w1, n6.x, e6, n7.y);
        z[7] = row(z[7], w1, n7.x, e7, 0.0);
      }
    }
  }
}

fn store(vector: u32, a: u32, first: vec4f, second: vec4f) {
  if (vector < VECTORS) {
    let at = (vector / PLANE * A + a) * PLANE + vector % PLANE;
    if (a < A) {
      y[at] = vec4<TY>(first);
    }
    if (WIDE && a + LANES < A) {
      y[at + LANES * PLANE] = vec4<TY>(second);
    }
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * 8;
  let a = group.y * (2 * LANES) + lane;
  add_up(0, first, lane, a, group.z);
  if (PAIRS > 1) {
    add_up(1, first, lane, a, group.z);
  }
  store(first, a, s[0], z[0]);
  store(first + 1, a, s[1], z[1]);
  store(first + 2, a, s[2], z[2]);
  store(first + 3, a, s[3], z[3]);
  store(first + 4, a, s[4], z[4]);
  store(first + 5, a, s[5], z[5]);
  store(first + 6, a, s[6], z[6]);
  store(first + 7, a, s[7], z[7]);
}
