// Convolution, or convolution transposed in its images, with invocations along pixels:
//   y[n, a, t, u] = Σ over pairs, b, r, q of x[n, b, t', u'] · k[a·KA + b·KB + r·Q + q]
// where t' = S·t + r - P, or with TRANSPOSED the t' for which S·t' + r - P = t (u' likewise); what
// lies outside the image is zero.
//
//   x [N, B, H, W]   k: strides KA, KB   y [N, A, T, U]
// An invocation computes CHANNELS output channels of four pixels, 64 apart in the flat order of
// (n, t, u), so that neighbours read neighbours. What is past the end repeats the last and stores
// nothing. The grid is flat: group.z is 0, but the shader compiler does not know and unrolls nothing.

alias T0 = f32;
alias T1 = f32;
alias T2 = f32;
alias T3 = f32;
alias TY = f32;

const N: u32 = 1;
const A: u32 = 4;
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
const CHANNELS: u32 = 4;
// Where the inputs start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;
const AT2: u32 = 0;
const AT3: u32 = 0;

@group(0) @binding(0) var<storage, read> x0: array<T0>;
@group(0) @binding(1) var<storage, read> k0: array<T1>;
@group(0) @binding(2) var<storage, read> x1: array<T2>;
@group(0) @binding(3) var<storage, read> k1: array<T3>;
@group(0) @binding(4) var<storage, read_write> y: array<TY>;

var<private> sums: array<vec4f, CHANNELS>;

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

// Position along one axis of `size` input pixels that tap `tap` of output position `at` reads; at
// least `size` where it reads outside. Numbers below zero wrap and so exceed any size.
fn read_at(at: vec4u, tap: u32, size: u32) -> vec4u {
  if (TRANSPOSED == 0) {
    return S * at + tap - P;
  }
  let scaled = at + P - tap;
  let position = scaled / S;
  return select(vec4u(size), position, position * S == scaled);
}

fn add_up(pair: u32, pixel: vec4u, a: u32, zero: u32) {
  let t = pixel / U % T;
  let u = pixel % U;
  let image_at = pixel / (T * U) * (B * H * W);
  for (var b = 0u; b < B + zero; b++) {
    for (var r = 0u; r < R + zero; r++) {
      let h = read_at(t, r, H);
      let inside = h < vec4u(H);
      let row = image_at + b * (H * W) + select(vec4u(), h * W, inside);
      for (var q = 0u; q < Q + zero; q++) {
        let w = read_at(u, q, W);
        let valid = inside & (w < vec4u(W));
        let at = row + select(vec4u(), w, valid);
        let values = vec4f(image(pair, at.x), image(pair, at.y), image(pair, at.z), image(pair, at.w));
        let v = select(vec4f(), values, valid);
        for (var c = 0u; c < CHANNELS; c++) {
          let weight = kernel(pair, min(a + c, A - 1) * KA + b * KB + r * Q + q);
          sums[c] = fma(vec4f(weight), v, sums[c]);
        }
      }
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pixel = group.x * 256 + lane + vec4u(0, 64, 128, 192);
  let inside = min(pixel, vec4u(N * T * U - 1));
  let a = group.y * CHANNELS;
  add_up(0, inside, a, group.z);
  if (PAIRS > 1) {
    add_up(1, inside, a, group.z);
  }
  let at = inside / (T * U) * (A * T * U) + inside % (T * U);
  for (var c = 0u; c < CHANNELS; c++) {
    for (var p = 0u; p < 4; p++) {
      if (a + c < A && pixel[p] < N * T * U) {
        y[at[p] + (a + c) * (T * U)] = TY(sums[c][p]);
      }
    }
  }
}
