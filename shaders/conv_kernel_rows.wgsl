// Convolution 3×3 with stride 1 and padding 1, transposed in its kernels, of images whose rows are whole
// vectors, with the lanes of a subgroup along output channels:
//   y[o, c, r, q] = Σ over pairs, n, i, j of x[n, c, i + r - 1, j + q - 1] · g[n, o, i, j].
//
//   x [N, C, T, U]   g [N, O, T, U]   y [O, C, 3, 3]
// A subgroup computes two input channels of 2·LANES output channels. Six lanes bring four pixels each of
// the six rows of taps, one load for all their taps. Sums run in the order of the formula, as in
// conv_kernel_lanes.wgsl. What is past the end repeats the last and stores nothing.

enable subgroups;

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
alias TY = f32;

const N: u32 = 1;
const C: u32 = 1;
const O: u32 = 16;
const T: u32 = 8;
const U: u32 = 8;
// Pairs of x and g whose results are added.
const PAIRS: u32 = 1;
// Lanes of a subgroup: 4, or at least 8.
const LANES: u32 = 8;
// Where the inputs start in their bindings: multiples of four.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

const ROW: u32 = U / 4;
const PLANE: u32 = T * U / 4;
// Whether there is a second half of output channels.
const WIDE: bool = O > LANES;

@group(0) @binding(0) var<storage, read> x0: array<vec4<T0>>;
@group(0) @binding(1) var<storage, read> g0: array<vec4<T1>>;
@group(0) @binding(2) var<storage, read> x1: array<vec4<T2>>;
@group(0) @binding(3) var<storage, read> g1: array<vec4<T3>>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

// Sums of the six rows of taps, (c, r) in order, of the first and the second LANES output channels.
var<private> s: array<vec3f, 6>;
var<private> z: array<vec3f, 6>;

fn image(pair: u32, at: u32) -> vec4f {
  if (pair == 0) {
    return vec4f(x0[AT0 / 4 + at]);
  }
  return vec4f(x1[AT2 / 4 + at]);
}

fn cotangent(pair: u32, at: u32) -> vec4f {
  if (pair == 0) {
    return vec4f(g0[AT1 / 4 + at]);
  }
  return vec4f(g1[AT3 / 4 + at]);
}

// The vector that row r of taps reads for vector `at` of plane (n, c).
fn load(pair: u32, n: u32, c: u32, r: u32, at: u32) -> vec4f {
  let place = at + (r - 1) * ROW;
  let plane = (n * C + c) * PLANE;
  return select(vec4f(), image(pair, plane + select(0, place, place < PLANE)), place < PLANE);
}

// sums + g · one row's taps of four pixels, in the order of the pixels.
fn fold(sums: vec3f, g: vec4f, here: vec4f, before: f32, after: f32) -> vec3f {
  let first = fma(vec3f(g.x), vec3f(before, here.xy), sums);
  let second = fma(vec3f(g.y), here.xyz, first);
  let third = fma(vec3f(g.z), here.yzw, second);
  return fma(vec3f(g.w), vec3f(here.zw, after), third);
}

fn add_up(pair: u32, lane: u32, first: u32, o: u32, zero: u32) {
  let c = min(first + select(0, lane / 3, LANES >= 8), C - 1);
  let r = lane % 3;
  let o0 = min(o, O - 1);
  let o1 = min(o + LANES, O - 1);
  for (var n = 0u; n < N + zero; n++) {
    var ahead = load(pair, n, c, r, 0);
    var second = load(pair, n, min(first + 1, C - 1), r, 0);
    var edge = 0.0;
    var other_edge = 0.0;
    for (var at = 0u; at < PLANE + zero; at++) {
      let v = ahead;
      let before = select(edge, 0.0, at % ROW == 0);
      ahead = load(pair, n, c, r, at + 1);
      edge = v.w;
      let after = select(ahead.x, 0.0, (at + 1) % ROW == 0);
      let h0 = subgroupBroadcast(v, 0u);
      let h1 = subgroupBroadcast(v, 1u);
      let h2 = subgroupBroadcast(v, 2u);
      let b0 = subgroupBroadcast(before, 0u);
      let b1 = subgroupBroadcast(before, 1u);
      let b2 = subgroupBroadcast(before, 2u);
      let a0 = subgroupBroadcast(after, 0u);
      let a1 = subgroupBroadcast(after, 1u);
      let a2 = subgroupBroadcast(after, 2u);
      let g0 = cotangent(pair, (n * O + o0) * PLANE + at);
      s[0] = fold(s[0], g0, h0, b0, a0);
      s[1] = fold(s[1], g0, h1, b1, a1);
      s[2] = fold(s[2], g0, h2, b2, a2);
      var g1: vec4f;
      if (WIDE) {
        g1 = cotangent(pair, (n * O + o1) * PLANE + at);
        z[0] = fold(z[0], g1, h0, b0, a0);
        z[1] = fold(z[1], g1, h1, b1, a1);
        z[2] = fold(z[2], g1, h2, b2, a2);
      }
      if (C > 1) {
        var h3: vec4f;
        var h4: vec4f;
        var h5: vec4f;
        var b: vec3f;
        var a: vec3f;
        if (LANES >= 8) {
          h3 = subgroupBroadcast(v, 3u);
          h4 = subgroupBroadcast(v, 4u);
          h5 = subgroupBroadcast(v, 5u);
          b = vec3f(
            subgroupBroadcast(before, 3u),
            subgroupBroadcast(before, 4u),
            subgroupBroadcast(before, 5u),
          );
          a = vec3f(
            subgroupBroadcast(after, 3u),
            subgroupBroadcast(after, 4u),
            subgroupBroadcast(after, 5u),
          );
        } else {
          let w = second;
          let other_before = select(other_edge, 0.0, at % ROW == 0);
          second = load(pair, n, min(first + 1, C - 1), r, at + 1);
          other_edge = w.w;
          let other_after = select(second.x, 0.0, (at + 1) % ROW == 0);
          h3 = subgroupBroadcast(w, 0u);
          h4 = subgroupBroadcast(w, 1u);
          h5 = subgroupBroadcast(w, 2u);
          b = vec3f(
            subgroupBroadcast(other_before, 0u),
            subgroupBroadcast(other_before, 1u),
            subgroupBroadcast(other_before, 2u),
          );
          a = vec3f(
            subgroupBroadcast(other_after, 0u),
            subgroupBroadcast(other_after, 1u),
            subgroupBroadcast(other_after, 2u),
          );
        }
        s[3] = fold(s[3], g0, h3, b.x, a.x);
        s[4] = fold(s[4], g0, h4, b.y, a.y);
        s[5] = fold(s[5], g0, h5, b.z, a.z);
        if (WIDE) {
          z[3] = fold(z[3], g1, h3, b.x, a.x);
          z[4] = fold(z[4], g1, h4, b.y, a.y);
          z[5] = fold(z[5], g1, h5, b.z, a.z);
        }
      }
    }
  }
}

fn store(o: u32, c: u32, r: u32, sums: vec3f) {
  if (o < O && c < C) {
    let at = (o * C + c) * 9 + 3 * r;
    y[at] = TY(sums.x);
    y[at + 1] = TY(sums.y);
    y[at + 2] = TY(sums.z);
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = group.x * 2;
  let o = group.y * (2 * LANES) + lane;
  add_up(0, lane, c, o, group.z);
  if (PAIRS > 1) {
    add_up(1, lane, c, o, group.z);
  }
  store(o, c, 0, s[0]);
  store(o, c, 1, s[1]);
  store(o, c, 2, s[2]);
  store(o, c + 1, 0, s[3]);
  store(o, c + 1, 1, s[4]);
  store(o, c + 1, 2, s[5]);
  if (WIDE) {
    store(o + LANES, c, 0, z[0]);
    store(o + LANES, c, 1, z[1]);
    store(o + LANES, c, 2, z[2]);
    store(o + LANES, c + 1, 0, z[3]);
    store(o + LANES, c + 1, 1, z[4]);
    store(o + LANES, c + 1, 2, z[5]);
  }
}
