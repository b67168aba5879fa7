// Convolution, or convolution transposed in its images, with invocations along pixels:
//   y[n, a, t, u] = Σ over b, r, q of x[n, b, t', u'] · k[a·KA + b·KB + r·Q + q]
// where t' = S·t + r - P, or with TRANSPOSED the t' for which S·t' + r - P = t (u' likewise); what
// lies outside the image is zero.
//
//   x [N, B, H, W]   k: strides KA, KB   y [N, A, T, U]
// An invocation computes CHANNELS output channels of four pixels, 64 apart in the flat order of
// (n, t, u), so that neighbours read neighbours. What is past the end repeats the last and stores
// nothing. The grid is flat: group.z is 0, but the shader compiler does not know and unrolls nothing.

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
const CHANNELS: u32 = 4;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pixel = group.x * 256u + lane + vec4u(0, 64, 128, 192);
  let inside = min(pixel, vec4u(N * T * U - 1));
  let n = inside / (T * U);
  let t = (inside / U) % T;
  let u = inside % U;
  let a = group.y * CHANNELS;
  let base = AT0 + n * (B * H * W);
  var sums: array<vec4f, CHANNELS>;
  for (var r = 0u; r < R + group.z; r++) {
    let h = read_at(t, r, H);
    for (var q = 0u; q < Q + group.z; q++) {
      let w = read_at(u, q, W);
      let valid = (h < vec4u(H)) & (w < vec4u(W));
      let origin = select(base, base + h * W + w, valid);
      for (var b = 0u; b < B + group.z; b++) {
        let at = origin + b * (H * W);
        let value = select(vec4f(), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), valid);
        for (var c = 0u; c < CHANNELS; c++) {
          sums[c] += k[AT1 + min(a + c, A - 1) * KA + b * KB + r * Q + q] * value;
        }
      }
    }
  }
  for (var c = 0u; c < CHANNELS; c++) {
    for (var p = 0u; p < 4u; p++) {
      if (a + c < A && pixel[p] < N * T * U) {
        y[((n[p] * A + a + c) * T + t[p]) * U + u[p]] = sums[c][p];
      }
    }
  }
}
