// Convolution, transposed in its images:
//   y[n, c, h, w] = Σ over o, r, q of g[n, o, i, j] · k[o, c, r, q] where S·i + r - P = h, S·j + q - P = w.
//
//   g [N, O, I, J]   k [O, C, R, Q]   y [N, C, H, W]
// An invocation computes four input channels of four pixels, 64 apart in the flat order of
// (n, h, w). Channels and pixels past the end repeat the last one and store nothing.

const N: u32 = 1;
const C: u32 = 4;
const H: u32 = 8;
const W: u32 = 8;
const O: u32 = 1;
const R: u32 = 3;
const Q: u32 = 3;
const I: u32 = 8;
const J: u32 = 8;
const S: u32 = 1;
const P: u32 = 1;
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pixel = group.x * 256u + lane + vec4u(0, 64, 128, 192);
  let inside = min(pixel, vec4u(N * H * W - 1));
  let n = inside / (H * W);
  let h = (inside / W) % H;
  let w = inside % W;
  let c = group.y * 4u + vec4u(0, 1, 2, 3);
  let kc = min(c, vec4u(C - 1)) * (R * Q);
  let base = n * (O * I * J);
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var r = 0u; r < R; r++) {
    // h + P - r wraps below zero and then exceeds any image.
    let hs = h + P - r;
    let i = hs / S;
    let rows = (i * S == hs) & (i < vec4u(I));
    for (var q = 0u; q < Q; q++) {
      let ws = w + P - q;
      let j = ws / S;
      let valid = rows & (j * S == ws) & (j < vec4u(J));
      let at = select(base, base + i * J + j, valid);
      for (var o = 0u; o < O; o++) {
        let og = at + o * (I * J);
        let value = select(vec4f(), vec4f(g[AT0 + og.x], g[AT0 + og.y], g[AT0 + og.z], g[AT0 + og.w]), valid);
        let ok = kc + o * (C * R * Q) + r * Q + q;
        s0 += k[AT1 + ok.x] * value;
        s1 += k[AT1 + ok.y] * value;
        s2 += k[AT1 + ok.z] * value;
        s3 += k[AT1 + ok.w] * value;
      }
    }
  }
  let sums = array<vec4f, 4>(s0, s1, s2, s3);
  for (var a = 0u; a < 4u; a++) {
    for (var p = 0u; p < 4u; p++) {
      if (c[a] < C && pixel[p] < N * H * W) {
        y[(n[p] * C + c[a]) * (H * W) + h[p] * W + w[p]] = sums[a][p];
      }
    }
  }
}
