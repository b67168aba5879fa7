// Convolution, transposed in its kernels:
//   y[o, c, r, q] = Σ over pairs, n, i, j of x[n, c, S·i + r - P, S·j + q - P] · g[n, o, i, j].
//
//   x [N, C, H, W]   g [N, O, I, J]   y [O, C, R, Q]
// A workgroup computes all taps of one output channel and four input channels, an invocation one
// tap of the four. Loops end at a size + group.z: group.z is 0, but the driver does not know and
// unrolls nothing. Sums run in the order of the formula, so results repeat bit for bit.

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
alias TY = f32;

const N: u32 = 1;
const C: u32 = 1;
const H: u32 = 8;
const W: u32 = 8;
const O: u32 = 4;
const R: u32 = 3;
const Q: u32 = 3;
const I: u32 = 8;
const J: u32 = 8;
const S: u32 = 1;
const P: u32 = 1;
// Pairs of x and g whose results are added.
const PAIRS: u32 = 1;
// Where the inputs start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

@group(0) @binding(0) var<storage, read> x0: array<T0>;
@group(0) @binding(1) var<storage, read> g0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<T2>;
@group(0) @binding(3) var<storage, read> g1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

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

fn add_up(pair: u32, start: vec4f, o: u32, c: vec4u, r: u32, q: u32, zero: u32) -> vec4f {
  var sum = start;
  for (var n = 0u; n < N + zero; n++) {
    let g = (n * O + o) * (I * J);
    let x = (n * C + c) * (H * W);
    for (var i = 0u; i < I + zero; i++) {
      let h = S * i + r;
      if (h < P || h >= H + P) {
        continue;
      }
      for (var j = 0u; j < J + zero; j++) {
        let w = S * j + q;
        if (w >= P && w < W + P) {
          let at = x + (h - P) * W + (w - P);
          let v = vec4f(image(pair, at.x), image(pair, at.y), image(pair, at.z), image(pair, at.w));
          sum = fma(vec4f(cotangent(pair, g + i * J + j)), v, sum);
        }
      }
    }
  }
  return sum;
}

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let o = group.x;
  let c = group.y * 4 + vec4u(0, 1, 2, 3);
  let inside = min(c, vec4u(C - 1));
  for (var tap = lane; tap < R * Q; tap += 16) {
    let r = tap / Q;
    let q = tap % Q;
    var sum = add_up(0, vec4f(), o, inside, r, q, group.z);
    if (PAIRS > 1) {
      sum = add_up(1, sum, o, inside, r, q, group.z);
    }
    for (var a = 0u; a < 4; a++) {
      if (c[a] < C) {
        y[((o * C + c[a]) * R + r) * Q + q] = TY(sum[a]);
      }
    }
  }
}
