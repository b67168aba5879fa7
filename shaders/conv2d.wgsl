// Convolution: y[n, o, i, j] = Σ over c, r, q of x[n, c, S·i + r - P, S·j + q - P] · k[o, c, r, q].
//
//   x [N, C, H, W]   k [O, C, R, Q]   y [N, O, I, J]
// An invocation computes four output channels of four pixels; pixels of one invocation lie 64 apart
// in the flat order of (n, i, j), so that neighbours read neighbours. Channels and pixels past the
// end repeat the last one and store nothing.

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
// Where the first and the second input start in their bindings.
const AT0: u32 = 0;
const AT1: u32 = 0;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pixel = group.x * 256u + lane + vec4u(0, 64, 128, 192);
  let inside = min(pixel, vec4u(N * I * J - 1));
  let n = inside / (I * J);
  let i = (inside / J) % I;
  let j = inside % J;
  let o = group.y * 4u + vec4u(0, 1, 2, 3);
  let ko = min(o, vec4u(O - 1)) * (C * R * Q);
  let base = n * (C * H * W);
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var r = 0u; r < R; r++) {
    let h = S * i + r;
    let rows = (h >= vec4u(P)) & (h < vec4u(H + P));
    for (var q = 0u; q < Q; q++) {
      let w = S * j + q;
      let valid = rows & (w >= vec4u(P)) & (w < vec4u(W + P));
      let at = select(base, base + (h - P) * W + (w - P), valid);
      for (var c = 0u; c < C; c++) {
        let cx = at + c * (H * W);
        let value = select(vec4f(), vec4f(x[AT0 + cx.x], x[AT0 + cx.y], x[AT0 + cx.z], x[AT0 + cx.w]), valid);
        let ck = ko + c * (R * Q) + r * Q + q;
        s0 += k[AT1 + ck.x] * value;
        s1 += k[AT1 + ck.y] * value;
        s2 += k[AT1 + ck.z] * value;
        s3 += k[AT1 + ck.w] * value;
      }
    }
  }
  let sums = array<vec4f, 4>(s0, s1, s2, s3);
  for (var a = 0u; a < 4u; a++) {
    for (var p = 0u; p < 4u; p++) {
      if (o[a] < O && pixel[p] < N * I * J) {
        y[(n[p] * O + o[a]) * (I * J) + i[p] * J + j[p]] = sums[a][p];
      }
    }
  }
}
